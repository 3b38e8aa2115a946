"""Directories that several accounts share: made with the owner, group and mode that they need, never changed."""

from __future__ import annotations

import grp
import os
import pwd
from contextlib import suppress
from dataclasses import dataclass

from archq import durable
from archq.doctor.visit import Finding, Verdict
from archq.errors import CannotCreateError, ExitStatus, UsageError, from_os_error


@dataclass(frozen=True, slots=True, kw_only=True)
class Directory:
    """One directory as it should be; ``purpose`` is a word for it."""

    purpose: str
    path: str
    mode: int
    uid: int
    gid: int


def account(name: str, option: str) -> pwd.struct_passwd:
    """Return the account ``name``; raise UsageError, which names the ``option`` that said it."""
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise UsageError(f"{option} {name}: there is no such account: make it first, with useradd -r {name}") from None


def our_account() -> pwd.struct_passwd:
    """Return the account that this process runs as; raise UsageError where it has no name."""
    try:
        return pwd.getpwuid(os.geteuid())
    except KeyError:
        raise UsageError(f"this account, uid {os.geteuid()}, has no name: say --owner ACCOUNT") from None


def group(name: str, option: str) -> grp.struct_group:
    """Return the group ``name``; raise UsageError, which names the ``option`` that said it."""
    try:
        return grp.getgrnam(name)
    except KeyError:
        raise UsageError(f"{option} {name}: there is no such group: make it first, with groupadd -r {name}") from None


def made(directory: Directory) -> Finding:
    """Make ``directory`` if there is none, and tell how it is; raise CannotCreateError."""
    try:
        if not os.path.isdir(directory.path):
            _make(directory)
        facts = os.stat(directory.path)
    except OSError as error:
        advice = "; only root can give directories to others" if isinstance(error, PermissionError) else ""
        what = f"make the {directory.purpose} directory {directory.path} for {_whose(directory.uid, directory.gid)}"
        raise CannotCreateError(f"{from_os_error(error, what)}{advice}") from error
    wanted = (directory.mode, directory.uid, directory.gid)
    text = f"{directory.path}, mode {facts.st_mode & 0o7777:04o}, {_whose(facts.st_uid, facts.st_gid)}"
    if (facts.st_mode & 0o7777, facts.st_uid, facts.st_gid) == wanted:
        return Finding(step=directory.purpose, text=text)
    return Finding(
        step=directory.purpose,
        verdict=Verdict.FAILED,
        text=f"{text}, was there already and is left as it is",
        advice=f"chown {_whose(directory.uid, directory.gid)} and chmod {directory.mode:04o} it, if nothing forbids it",
        status=ExitStatus.CONFIGURATION,
    )


def _make(directory: Directory) -> None:
    """Close it to others until it is whose it should be; giving away takes the set-group-ID bit from some."""
    durable.make_directory(os.path.dirname(directory.path), 0o755)
    durable.make_directory(directory.path, 0o700)
    facts = os.stat(directory.path)
    if (facts.st_uid, facts.st_gid) != (directory.uid, directory.gid):
        try:
            os.chown(directory.path, directory.uid, directory.gid)
        except OSError:
            os.rmdir(directory.path)  # so that the next try does not take it for somebody's
            raise
    os.chmod(directory.path, directory.mode)


def membership(who: pwd.struct_passwd, gid: int) -> Finding | None:
    """Return what is wrong if ``who`` is not in the group ``gid`` and cannot do without, None if all is well."""
    if who.pw_uid == 0 or gid in os.getgrouplist(who.pw_name, who.pw_gid):
        return None
    name = _group_name(gid)
    return Finding(
        step="group",
        verdict=Verdict.FAILED,
        text=f"{who.pw_name} is not in the group {name}, whose files it has to read",
        advice=f"usermod -aG {name} {who.pw_name}",
        status=ExitStatus.CONFIGURATION,
    )


def _whose(uid: int, gid: int) -> str:
    name = str(uid)
    with suppress(KeyError):
        name = pwd.getpwuid(uid).pw_name
    return f"{name}:{_group_name(gid)}"


def _group_name(gid: int) -> str:
    try:
        return grp.getgrgid(gid).gr_name
    except KeyError:
        return str(gid)
