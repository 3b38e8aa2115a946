"""SFTP with paramiko: strict host keys, every write's status checked."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, Any

import paramiko
from paramiko.sftp import (
    CMD_CLOSE,
    CMD_HANDLE,
    CMD_OPEN,
    CMD_STATUS,
    CMD_WRITE,
    SFTP_FLAG_CREATE,
    SFTP_FLAG_EXCL,
    SFTP_FLAG_WRITE,
    int64,
)

from archq.transports.base import (
    UNWATCHED,
    NotPermittedTransferError,
    PermanentTransferError,
    Scope,
    Stage,
    TemporaryTransferError,
)
from archq.transports.faults import told
from archq.transports.ssh import SshSession

if TYPE_CHECKING:
    from typing import BinaryIO

    from archq.transports.base import Watch
    from archq.transports.destination import Destination

_BLOCK = 32_768  # bytes: what every server takes in one packet (draft-ietf-secsh-filexfer-02, section 3)
_OPENSSH_BLOCK = 255_000  # bytes: with its header it fits the 256 KiB that OpenSSH takes (sftp-common.h)
_WINDOW = 1 << 22  # bytes of unanswered writes: they fill a link of 100 ms and 300 Mbit/s


class SftpTransport:
    """A directory of an SFTP server."""

    def __init__(
        self,
        destination: Destination,
        *,
        password: str | None,
        key: str | None,
        known_hosts: str | None,
        timeout: float | None,
        watch: Watch = UNWATCHED,
    ) -> None:
        """Connect, verify the host, log in and enter the directory.

        ``key`` and ``known_hosts`` are paths; :class:`~archq.transports.ssh.SshSession` tells what counts without them.
        ``timeout`` (seconds) bounds each wait for an answer.  Raise TransferError, its scope the queue.
        """
        self.label = str(destination)
        self._renames: bool | None = None  # not asked yet, or without an answer
        self._session = SshSession(
            destination, password=password, key=key, known_hosts=known_hosts, timeout=timeout, watch=watch
        )
        try:
            watch.begin(Stage.DIRECTORY)
            with told(f"{self.label}: cannot enter the directory", Scope.QUEUE):
                self._enter(destination.path, timeout)
        except BaseException:
            self.close()
            raise

    def _enter(self, path: str, timeout: float | None) -> None:
        self._sftp = paramiko.SFTPClient(self._channel(timeout))
        # No chdir: paramiko would list or stat in ways a drop box may refuse; every name gets the prefix instead.
        if path and not stat.S_ISDIR(self._sftp.stat(path).st_mode or stat.S_IFDIR):
            raise PermanentTransferError(f"{self.label}: cannot enter the directory: it is none", Scope.QUEUE)
        self._prefix = f"{path.rstrip('/')}/" if path else ""
        self._block = _OPENSSH_BLOCK if "OpenSSH" in self._session.transport.remote_version else _BLOCK

    def _channel(self, timeout: float | None) -> paramiko.Channel:
        channel = self._session.transport.open_session()
        channel.settimeout(timeout)  # before the first answer is waited for
        channel.invoke_subsystem("sftp")
        return channel

    def put(self, source: BinaryIO, name: str, *, offset: int = 0) -> None:
        """Send ``source`` as :class:`~archq.transports.base.Transport` says."""
        with told(f"{self.label}: cannot send {name}"):
            writer = _CheckedWriter(self._sftp, self._opened(name, offset), offset, _WINDOW // self._block)
            while block := source.read(self._block):
                writer.write(block)
            writer.finish()

    def _opened(self, name: str, offset: int) -> bytes:
        flags = SFTP_FLAG_WRITE if offset else SFTP_FLAG_WRITE | SFTP_FLAG_CREATE | SFTP_FLAG_EXCL
        try:
            return _open(self._sftp, self._prefix + name, flags)
        except OSError as error:
            # Version 3 of the protocol has one code, "failure", for a name that is taken as for much else.
            if error.errno is None and not offset and self._is_there(name):
                raise TemporaryTransferError(f"{self.label}: {name} is already there") from error
            raise

    def _is_there(self, name: str) -> bool:
        with contextlib.suppress(Exception):
            return self.size(name) is not None
        return False

    def size(self, name: str) -> int | None:
        """Return the size of ``name`` in bytes, None if it is not there."""
        with told(f"{self.label}: cannot ask the size of {name}"):
            try:
                size = self._sftp.stat(self._prefix + name).st_size
            except FileNotFoundError:
                return None
            if size is None:
                raise NotPermittedTransferError(f"{self.label}: does not tell the size of {name}", Scope.QUEUE)
            return size

    def rename(self, old: str, new: str) -> None:
        """Rename ``old``; OpenSSH's server refuses to replace."""
        with told(f"{self.label}: cannot rename {old}"):
            self._sftp.rename(self._prefix + old, self._prefix + new)

    def remove(self, name: str) -> None:
        """Remove ``name``; already gone is fine."""
        with told(f"{self.label}: cannot remove {name}"), contextlib.suppress(FileNotFoundError):
            self._sftp.remove(self._prefix + name)

    def names(self) -> list[str]:
        """Return the names in the directory."""
        with told(f"{self.label}: cannot list the directory"):
            return self._sftp.listdir(self._prefix or ".")

    def modified(self, name: str) -> float:
        """Return when ``name`` was changed last by the server's clock, in seconds since 1970."""
        with told(f"{self.label}: cannot look at {name}"):
            return float(self._sftp.stat(self._prefix + name).st_mtime or 0)

    def may_rename(self) -> bool | None:
        """Return whether renames are allowed."""
        if self._renames is None:
            self._renames = self._asked_whether_it_may_rename()
        return self._renames

    def _asked_whether_it_may_rename(self) -> bool | None:
        """Rename what cannot be there: "no such file" says yes."""
        nobody = f".archq-{os.getpid()}.part"
        try:
            self.rename(nobody, f"{nobody}.2")
        except NotPermittedTransferError:
            return False
        except PermanentTransferError as error:
            return getattr(error.__cause__, "errno", None) == errno.ENOENT
        except Exception:
            return None
        return True

    def close(self) -> None:
        """End the session."""
        with contextlib.suppress(Exception):
            self._session.close()


def _open(sftp: Any, path: str, flags: int) -> bytes:
    """Return the handle of an opened file."""
    kind, message = sftp._request(CMD_OPEN, path, flags, paramiko.SFTPAttributes())
    if kind != CMD_HANDLE:
        raise paramiko.SFTPError("the answer to an open is no handle")
    handle: bytes = message.get_binary()
    return handle


class _CheckedWriter:
    """Writes without waiting for each answer, and without losing one.

    SFTPFile's own pipelining drops the statuses that come after its last write and whatever CLOSE answers: a disk that
    was full, or a quota told at closing, would pass for success.
    """

    def __init__(self, sftp: Any, handle: bytes, offset: int, window: int) -> None:
        """``window`` is how many requests may be unanswered."""
        self._sftp = sftp
        self._handle = handle
        self._offset = offset
        self._window = window
        self._unanswered = 0
        self._error: Exception | None = None

    def write(self, block: bytes) -> None:
        """Send one block; its answer is checked later."""
        self._ask(CMD_WRITE, self._handle, int64(self._offset), block)
        self._offset += len(block)
        self._check_down_to(self._window)

    def finish(self) -> None:
        """Return when every write, and the closing of the file, was acknowledged as done."""
        self._ask(CMD_CLOSE, self._handle)
        self._check_down_to(0)

    def _ask(self, *request: object) -> None:
        self._sftp._async_request(self, *request)
        self._unanswered += 1

    def _check_down_to(self, count: int) -> None:
        while self._unanswered > count:
            self._sftp._read_response()
        if self._error:
            raise self._error

    def _async_response(self, kind: int, message: paramiko.Message, _number: int) -> None:
        """Take one answer; paramiko calls this, in whatever order the server answers."""
        self._unanswered -= 1
        try:
            if kind != CMD_STATUS:
                raise paramiko.SFTPError("the answer to a write or a close is no status")
            self._sftp._convert_status(message)
        except (OSError, EOFError, paramiko.SFTPError) as error:
            self._error = self._error or error
