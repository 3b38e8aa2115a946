"""Log in to a queue's destination: where its secrets come from, and which transport carries it.

A secret is read when it is needed, from a file whose open descriptor shows that nobody else may read it, from a command
or from ~/.netrc; it never stands in an argument, a log or the spool's status.
"""

from __future__ import annotations

import os
import shlex
import stat
import subprocess
from typing import TYPE_CHECKING

from archq import durable
from archq.destination import Destination
from archq.errors import ConfigurationError, from_os_error
from archq.transports.base import PermanentTransferError, Scope

if TYPE_CHECKING:
    from archq.config import QueueSettings
    from archq.options import Remote
    from archq.transports.base import Transport

_SECRET_SIZE = 4096  # bytes: more than any password, less than a file named by mistake
_COMMAND_SECONDS = 60


def destination_of(settings: QueueSettings, remote: Remote | None = None) -> Destination:
    """Return where the queue's files go, or where one request's go instead."""
    destination = Destination.parse(settings.url, f"[queue.{settings.name}] url")
    return destination.redirected(remote) if remote else destination


def connect(settings: QueueSettings, remote: Remote | None = None) -> Transport:
    """Return a session at the queue's destination; raise TransferError, the scope of which says who has to wait."""
    scope = Scope.REQUEST if remote else Scope.QUEUE
    try:
        return _connected(settings, destination_of(settings, remote))
    except ConfigurationError as error:
        raise PermanentTransferError(str(error), scope) from error


def _connected(settings: QueueSettings, destination: Destination) -> Transport:
    if destination.scheme == "file":
        from archq.transports.file import FileTransport

        return FileTransport(destination.path)
    if destination.scheme == "sftp":
        from archq.transports.sftp import SftpTransport

        return SftpTransport(
            destination,
            password=password_of(settings, destination),
            key=settings.key,
            known_hosts=settings.known_hosts,
            timeout=settings.idle,
        )
    from archq.transports.ftp import FtpTransport

    return FtpTransport(destination, password_of(settings, destination) or "archq@", settings.idle)


def password_of(settings: QueueSettings, destination: Destination) -> str | None:
    """Return the password to log in with, None if there is none; raise ConfigurationError where it cannot be had."""
    if destination.password:
        return destination.password
    if settings.password_file:
        return read_secret(settings.password_file)
    if settings.password_command:
        return _printed_by(settings.password_command, settings.name)
    return _from_netrc(destination) if settings.netrc else None


def read_secret(path: str) -> str:
    """Return the first line of a file that only its owner, this account or root, may read."""
    try:
        descriptor = durable.open_unfollowed(path)
    except OSError as error:
        raise ConfigurationError(str(from_os_error(error, f"read the secret in {path}"))) from error
    with open(descriptor, "rb") as file:
        status = os.fstat(descriptor)
        if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO) or status.st_uid not in (0, os.getuid()):
            raise ConfigurationError(f"{path} may be read by others: chown it to this account and chmod 600 {path}")
        return _first_line(file.read(_SECRET_SIZE), path)


def _first_line(content: bytes, where: str) -> str:
    line = content.split(b"\n", 1)[0].rstrip(b"\r")
    if not line:
        raise ConfigurationError(f"{where} holds no password in its first line")
    try:
        return line.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{where}: the password is not UTF-8") from error


def _printed_by(command: str, queue: str) -> str:
    where = f"[queue.{queue}] password_command"
    try:
        done = subprocess.run(
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            timeout=_COMMAND_SECONDS,
            check=False,
        )
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{where} cannot be run: {error}") from error
    except subprocess.TimeoutExpired as error:
        raise ConfigurationError(f"{where} did not end within {_COMMAND_SECONDS} s") from error
    if done.returncode:
        raise ConfigurationError(f"{where} failed with exit status {done.returncode}")
    return _first_line(done.stdout, where)


def _from_netrc(destination: Destination) -> str | None:
    import netrc

    try:
        entry = netrc.netrc().authenticators(destination.host)
    except (OSError, netrc.NetrcParseError) as error:
        raise ConfigurationError(f"cannot use ~/.netrc: {error}") from error
    if entry is None or destination.user not in (None, entry[0]):
        raise ConfigurationError(f"~/.netrc has no entry for {destination.user or 'anybody'} at {destination.host}")
    return entry[2]
