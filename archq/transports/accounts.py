"""Log in to a queue's destination: where its secrets come from, and which transport carries it.

A secret is read when it is needed, from a file whose open descriptor shows that nobody else may read it, from a command
or from ~/.netrc; it never stands in an argument, a log or the spool's status.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from importlib import import_module
from typing import TYPE_CHECKING

from archq.errors import ConfigurationError, UsageError, from_os_error
from archq.light import replace
from archq.secretfiles import read_private
from archq.transports.base import UNWATCHED, PermanentTransferError, Scope, TransferError
from archq.transports.destination import Destination
from archq.transports.later import put_off

if TYPE_CHECKING:
    import ssl

    from archq.config import QueueSettings
    from archq.options import Remote
    from archq.transports.base import Transport, Watch

_SECRET_SIZE = 4096  # bytes: more than any password, less than a file named by mistake
COMMAND_SECONDS = 60.0
_MODULES = {"file": "file", "sftp": "sftp", "ftp": "ftp", "ftps": "ftp"}  # where each protocol is at home
_NOBODYS_PASSWORD = "archq@"  # noqa: S105  # what anonymous FTP expects: something like an address


def destination_of(settings: QueueSettings, remote: Remote | None = None) -> Destination:
    """Return where the queue's files go, or where one request's go instead."""
    destination = Destination.parse(settings.url, f"[queue.{settings.name}] url")
    return destination.redirected(remote) if remote else destination


def load_protocol(settings: QueueSettings) -> None:
    """Load what the queue's protocol needs, so that processes made after this have it at once."""
    _load(destination_of(settings).scheme)


def _load(scheme: str) -> None:
    # For a "Match exec" in ssh's configuration paramiko takes a library that takes 40 ms, with all of asyncio.
    with put_off("invoke"):
        import_module(f"archq.transports.{_MODULES[scheme]}")


def connect(settings: QueueSettings, remote: Remote | None = None) -> Transport:
    """Return a session at the queue's destination; raise TransferError, the scope of which says who has to wait."""
    scope = Scope.REQUEST if remote else Scope.QUEUE
    try:
        return opened(settings, with_secret(settings, destination_of(settings, remote)))
    except (ConfigurationError, UsageError) as error:
        raise PermanentTransferError(str(error), scope) from error


def opened(settings: QueueSettings, destination: Destination, watch: Watch = UNWATCHED) -> Transport:
    """Return a session at ``destination``, the password of which is known.

    Raise TransferError, or ConfigurationError where this machine's own files are at fault.
    """
    try:
        return _opened(settings, destination, watch)
    except TransferError as error:
        if destination.password and destination.password in str(error):  # some servers say back what they were sent
            error.args = (str(error).replace(destination.password, "********"),)
        raise


def _opened(settings: QueueSettings, destination: Destination, watch: Watch) -> Transport:
    _load(destination.scheme)
    if destination.scheme == "file":
        from archq.transports.file import FileTransport

        return FileTransport(destination.path, watch)
    timeout = settings.idle or None
    if destination.scheme == "sftp":
        from archq.transports.sftp import SftpTransport

        return SftpTransport(
            destination,
            password=destination.password,
            key=settings.key,
            known_hosts=settings.known_hosts,
            timeout=timeout,
            watch=watch,
        )
    from archq.transports.ftp import FtpTransport

    return FtpTransport(destination, destination.password or _NOBODYS_PASSWORD, timeout, _tls(settings), watch)


def _tls(settings: QueueSettings) -> ssl.SSLContext | None:
    if not settings.ca_file:
        return None
    from archq.transports.ftp import tls_context

    try:
        return tls_context(settings.ca_file)
    except OSError as error:  # an SSLError is one
        raise ConfigurationError(
            f"[queue.{settings.name}] ca_file: cannot use {settings.ca_file}: {error.strerror or error}: "
            "it has to hold certificates to trust, in PEM form"
        ) from error


def with_secret(settings: QueueSettings, destination: Destination) -> Destination:
    """Return ``destination`` with the password to log in with, if there is one, and the user who has it.

    Raise ConfigurationError where it cannot be had.
    """
    if destination.password:
        return destination
    if settings.password_file:
        return replace(destination, password=read_secret(settings.password_file))
    if settings.password_command:
        return replace(destination, password=_printed_by(settings.password_command, settings.name))
    return _found_in_netrc(destination) if settings.netrc else destination


def secret_source(settings: QueueSettings) -> str | None:
    """Return where the queue's password comes from, in words that may be shown, None if it has none."""
    if settings.password_file:
        return f"password_file {settings.password_file}"
    if settings.password_command:
        return "password_command"
    return "~/.netrc" if settings.netrc else None


def read_secret(path: str) -> str:
    """Return the first line of a file that only its owner, this account or root, may read."""
    return _first_line(read_private(path, _SECRET_SIZE), path)


def _first_line(content: bytes, where: str) -> str:
    line = content.split(b"\n", 1)[0].rstrip(b"\r")
    if not line:
        raise ConfigurationError(f"{where} holds no password in its first line: write it there")
    if len(line) >= _SECRET_SIZE:
        raise ConfigurationError(f"{where}: a first line of {_SECRET_SIZE} bytes is no password: is it the right file?")
    try:
        return line.decode()
    except UnicodeDecodeError:
        # The error itself holds the bytes, so it does not travel on.
        raise ConfigurationError(f"{where}: the password is not UTF-8: write it so") from None


def _printed_by(command: str, queue: str) -> str:
    where = f"[queue.{queue}] password_command"
    try:
        done = subprocess.run(
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=COMMAND_SECONDS,
            check=False,
        )
    except OSError as error:
        raise ConfigurationError(f"{where} {from_os_error(error, 'be run')}: is it installed, and in $PATH?") from error
    except ValueError as error:
        raise ConfigurationError(f"{where} is not made of words: {error}") from error
    except subprocess.TimeoutExpired:
        raise ConfigurationError(
            f"{where} did not end within {COMMAND_SECONDS:g} s: nobody is there to answer what it may ask"
        ) from None
    if done.returncode:
        raise ConfigurationError(
            f"{where} failed with exit status {done.returncode}: run it by hand, as this account, to see why"
        )
    return _first_line(done.stdout[:_SECRET_SIZE], f"what {where} printed")


def _found_in_netrc(destination: Destination) -> Destination:
    import netrc

    path = os.path.expanduser("~/.netrc")
    read_private(path, 0)  # says more about a wrong mode than the library, which looks again on what it has opened
    try:
        entry = netrc.netrc().authenticators(destination.host)
    except netrc.NetrcParseError as error:
        # Not the error's own words: they quote from the file.
        raise ConfigurationError(f"{path}, line {error.lineno}, is not as netrc(5) has it: mend it") from None
    except (OSError, UnicodeError) as error:
        raise ConfigurationError(f"cannot read {path}: {type(error).__name__}") from None
    if entry is None or destination.user not in (None, entry[0]):
        whom = destination.user or "anybody"
        raise ConfigurationError(
            f"{path} has no entry for {whom} at {destination.host}: add a line "
            f"machine {destination.host} login {destination.user or 'NAME'} password …"
        )
    return replace(destination, user=entry[0] or destination.user, password=entry[2])
