"""Set a new host up: its configuration, the directories it needs, and a look at whether all of it works."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from archq import durable
from archq.config import SYSTEM_FILE, parse, user_file
from archq.doctor import PARTS, check_values, line_of
from archq.doctor.visit import Finding, Verdict
from archq.errors import CannotCreateError, ConfigurationError, NotPermittedError, UsageError, from_os_error
from archq.setup.directories import Directory, account, group, made, membership, our_account
from archq.setup.sites import DROP_BOXES, ArchiveHost, InstrumentComputer
from archq.setup.template import examples, filled

if TYPE_CHECKING:
    import pwd
    from collections.abc import Callable, Iterator

    from archq.doctor import Say
    from archq.setup.sites import Sections

_SHARED, _OURS, _PUBLIC = 0o2770, 0o700, 0o755
_MEMBERS = 0o3770  # each member has a directory of its own in it, which the others cannot rename
_GROUP_ARCHIVE = 0o2775

# Comments, as they may be put into a file together with a drop box.
_NEXT = (
    "",
    "# -- and then, as the account that sweeps --",
    "# sweeper --configured --doctor        tells whether it may do all that it has to",
    "# */10 * * * * sweeper --configured    is the line for its crontab",
)


def set_up(
    wishes: dict[str, Any],
    say: Say,
    complain: Callable[[str], None],
    *,
    archive: bool,
    system: bool,
    user: bool,
    force: bool,
) -> int:
    """Set an instrument computer up, or with ``archive`` an archive host; tell ``say`` what was done and found.

    ``wishes`` are the command's words by name, None where nothing was said: what is missing is asked for on a
    terminal.  Return the exit status of what does not work yet; raise an ArchqError before anything is made.
    """
    path = configuration_file(system=system, user=user)
    if os.path.lexists(path) and not force:
        raise CannotCreateError(
            f"there is a configuration already: {path}; --force writes a new one, and keeps a copy of it"
        )
    _check_place(path)
    wishes = {key: value for key, value in wishes.items() if value not in (None, ())}
    if archive:
        return _set_up_archive(_archive_host(wishes, path), path, say, complain, wishes.get("drop_box"))
    return _set_up_instrument(_instrument_computer(wishes, path), path, say)


def configuration_file(*, system: bool, user: bool) -> str:
    """Return where the new configuration goes; raise UsageError where it would not be found."""
    named = os.environ.get("ARCHQ_CONFIG")
    if system and user:
        raise UsageError("say --system or --user, not both")
    if named and (system or user):
        raise UsageError(f"ARCHQ_CONFIG names {named}, so that --system or --user would not be read: unset it")
    return (
        os.path.abspath(named) if named else SYSTEM_FILE if system or (not user and not os.geteuid()) else user_file()
    )


def _check_place(path: str) -> None:
    """Raise CannotCreateError, before anything is asked, if the configuration ``path`` cannot be written."""
    place = os.path.dirname(path)
    while not os.path.lexists(place):
        place = os.path.dirname(place)
    if not os.path.isdir(place):
        raise CannotCreateError(f"cannot write the configuration {path}: {place} is no directory")
    if not os.access(place, os.W_OK | os.X_OK):
        us = our_account().pw_name
        advice = "do it as root, or say --user" if path == SYSTEM_FILE else "name another place in ARCHQ_CONFIG"
        raise CannotCreateError(f"cannot write the configuration {path}: {us} may not write to {place}; {advice}")


# The instrument computer.


def _instrument_computer(wishes: dict[str, Any], path: str) -> InstrumentComputer:
    if foreign := [key for key in ("incoming", "directory", "uploader", "ftp_log", "drop_box") if key in wishes]:
        raise UsageError(f"--{foreign[0].replace('_', '-')} is for the archive host: say --archive too")
    if "url" not in wishes:
        from archq.setup.questions import about_instrument_computer

        _refuse_questions("--url, such as sftp://user@archive.example.edu/incoming")
        system = path == SYSTEM_FILE
        wishes = about_instrument_computer(wishes, system=system, path=path)
    elif path == SYSTEM_FILE:
        wishes = {"spool": "/var/spool/archq", **wishes}
    _check_nights(wishes)
    host = InstrumentComputer(**_absolute(wishes, "spool", "password_file", "key"))
    if host.group and not host.spool:
        raise UsageError("--group: a spool that a group shares needs a place: say --spool DIR too")
    return host


def _set_up_instrument(host: InstrumentComputer, path: str, say: Say) -> int:
    owner = account(host.owner, "--owner") if host.owner else our_account()
    spool = _spool_directory(host, owner)
    text = _checked_text(host.sections(), path)
    findings = [made(spool)] if spool else []
    for finding in findings:
        say(*line_of(finding))
    if host.password and host.password_file:
        _write_password(host.password_file, host.password, owner)
        say(*line_of(Finding(step="password", text=host.password_file)))
    _write(path, text, say)
    status = max([doctor(owner, path), *(finding.status for finding in findings)])
    done = "all of it works: archq submit -w FILE sends a first file"
    say(f"when that is mended, here or in {path}: archq doctor" if status else done)
    return status


def _spool_directory(host: InstrumentComputer, owner: pwd.struct_passwd) -> Directory | None:
    if not host.spool:
        return None
    gid = group(host.group, "--group").gr_gid if host.group else owner.pw_gid
    mode = _SHARED if host.group else _OURS
    return Directory(purpose="spool", path=host.spool, mode=mode, uid=owner.pw_uid, gid=gid)


def _write_password(path: str, password: str, owner: pwd.struct_passwd) -> None:
    try:
        durable.make_directory(os.path.dirname(path), _PUBLIC)
        durable.write_new(path, f"{password}\n".encode(), 0o600)
        if owner.pw_uid != os.geteuid():
            os.chown(path, owner.pw_uid, owner.pw_gid)
    except OSError as error:
        raise CannotCreateError(str(from_os_error(error, f"write the password to {path}"))) from error


def doctor(owner: pwd.struct_passwd, path: str) -> int:
    """Take doctor's walk as the account that ships: what others may read and write tells nothing."""
    sys.stdout.flush()
    environment = {**os.environ, "ARCHQ_CONFIG": path}
    identity: dict[str, Any] = {}
    if owner.pw_uid != os.geteuid():
        environment["HOME"] = owner.pw_dir
        identity = {
            "user": owner.pw_uid,
            "group": owner.pw_gid,
            "extra_groups": os.getgrouplist(owner.pw_name, owner.pw_gid),
            "cwd": "/",
        }
    command = [sys.executable, "-m", "archq.cli", "doctor"]
    try:
        return subprocess.run(command, env=environment, check=False, **identity).returncode
    except OSError as error:
        raise NotPermittedError(
            f"cannot run {sys.executable} as {owner.pw_name}: {error.strerror}; install archq where all may read it"
        ) from error


# The archive host.


def _archive_host(wishes: dict[str, Any], path: str) -> ArchiveHost:
    if foreign := [key for key in ("url", "queue", "spool", "password_file", "key") if key in wishes]:
        raise UsageError(f"--{foreign[0].replace('_', '-')} is for the instrument computer: leave --archive out")
    if "incoming" not in wishes:
        from archq.setup.questions import about_archive_host

        _refuse_questions("--incoming DIR")
        wishes = about_archive_host(wishes, path=path)
    _check_nights(wishes)
    wishes = {key: value for key, value in wishes.items() if key != "drop_box"}
    if wishes.get("instruments") and "directory" not in wishes:
        raise UsageError("--instrument: say with --directory below which directory its archive is to be")
    host = ArchiveHost(**{"directory": "", **_absolute(wishes, "incoming", "directory", "ftp_log")})
    return host if host.owner or host.group else replace(host, owner=our_account().pw_name)


def _set_up_archive(
    host: ArchiveHost, path: str, say: Say, complain: Callable[[str], None], drop_box: str | None
) -> int:
    places, members = _places(host)
    text = _checked_text(host.sections(), path)
    findings = [made(place) for place in places] + members + list(_chroot(host))
    _write(path, text, say)
    for finding in findings:
        say(*line_of(finding))
    for name in [drop_box] if drop_box else DROP_BOXES:
        text = host.drop_box((examples() / "archive" / DROP_BOXES[name]).read_text())
        for line in ("", f"# -- /{DROP_BOXES[name]} --", *text.rstrip("\n").split("\n")):
            say(line)
    for line in [] if drop_box else _NEXT:
        say(line)
    for finding in findings:
        if finding.verdict is Verdict.FAILED:  # once more, where the drop boxes do not hide it
            complain(f"{finding.step}: {finding.text}: {finding.advice}")
    return max(finding.status for finding in findings)


def _places(host: ArchiveHost) -> tuple[list[Directory], list[Finding]]:
    """Return the directories of the set-up that is wanted, and which accounts are in the wrong groups."""
    uploader = account(host.uploader, "--uploader") if host.uploader else None
    if host.owner:
        sweeper = account(host.owner, "--owner")
        gid = group(host.group, "--group").gr_gid if host.group else (uploader or sweeper).pw_gid
        incoming, private = (sweeper.pw_uid, gid, _SHARED), (sweeper.pw_uid, sweeper.pw_gid, _OURS)
        archives = (sweeper.pw_uid, sweeper.pw_gid, _PUBLIC)
        accounts = [sweeper, *([uploader] if uploader else [])]
    else:
        gid = group(host.group or "", "--group").gr_gid
        owner = uploader or our_account()
        incoming, private = (owner.pw_uid, gid, _SHARED), (os.geteuid(), gid, _MEMBERS)
        archives = (os.geteuid(), gid, _GROUP_ARCHIVE)
        accounts = []
    wanted = [("incoming", host.incoming, incoming), ("work", host.work, private), ("rejected", host.rejected, private)]
    wanted += [("archive", host.archive_of(name), archives) for name in host.instruments]
    places = [
        Directory(purpose=purpose, path=path, uid=uid, gid=gid, mode=mode) for purpose, path, (uid, gid, mode) in wanted
    ]
    return places, [wrong for who in accounts if (wrong := membership(who, gid))]


def _chroot(host: ArchiveHost) -> Iterator[Finding]:
    facts = os.stat(host.root)
    if facts.st_uid or facts.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        text = f"{host.root} is not root's alone to write, so that sshd refuses it as a chroot"
        yield Finding(step="chroot", verdict=Verdict.NO, text=text)


# Both.


def _check_nights(wishes: dict[str, Any]) -> None:
    """Raise UsageError for nights that are nobody's: they would be left out without a word."""
    for key in ("zone", "rollover"):
        if key in wishes and not wishes.get("instruments"):
            raise UsageError(f"--{key} {wishes[key]}: say with --instrument whose nights are meant")


def _refuse_questions(option: str) -> None:
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise UsageError(f"say {option}; on a terminal all is asked for")


def _absolute(wishes: dict[str, Any], *keys: str) -> dict[str, Any]:
    paths = {key: os.path.abspath(os.path.expanduser(wishes[key])) for key in keys if wishes.get(key)}
    return {key: value for key, value in {**wishes, **paths}.items() if value is not None}


def _checked_text(sections: Sections, path: str) -> str:
    """Return the configuration's text; raise UsageError for a value that cannot be meant."""
    text = filled((examples() / "archq.toml").read_text(), sections)
    try:
        check_values(parse(text, path, *PARTS))
    except ConfigurationError as error:
        raise UsageError(f"nothing was written: {error}") from error
    return text


def _write(path: str, text: str, say: Say) -> None:
    """Write the configuration; what stood there before is kept under a further name."""
    try:
        durable.make_directory(os.path.dirname(path), _PUBLIC)
        if os.path.lexists(path):
            say(*line_of(Finding(step="kept", text=_kept(path))))
            durable.write_over(path, text.encode(), 0o644)
        else:
            durable.write_new(path, text.encode(), 0o644)
            durable.sync_directory(os.path.dirname(path))
    except OSError as error:
        raise CannotCreateError(str(from_os_error(error, f"write the configuration {path}"))) from error
    say(*line_of(Finding(step="written", text=path)))


def _kept(path: str) -> str:
    """Give the file ``path`` a second name that is free, and return it."""
    number = 1
    while True:
        try:
            durable.link(path, f"{path}.{number}")
        except FileExistsError:
            number += 1
        else:
            return f"{path}.{number}"
