"""SFTP with paramiko: strict host keys, every write's status checked."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from collections import deque
from typing import TYPE_CHECKING

from archq.transports.base import (
    UNWATCHED,
    NotPermittedTransferError,
    PermanentTransferError,
    Scope,
    Stage,
    TemporaryTransferError,
)
from archq.transports.faults import told
from archq.transports.pipeline import run
from archq.transports.sftpclient import CREATE, EXCLUSIVE, WRITE, SftpClient
from archq.transports.ssh import SshSession

if TYPE_CHECKING:
    from collections.abc import Coroutine
    from typing import Any, BinaryIO, TypeVar

    import paramiko

    from archq.transports.base import Watch
    from archq.transports.destination import Destination
    from archq.transports.pipeline import Answer
    from archq.transports.sftpclient import Packet

    Result = TypeVar("Result")

_BLOCK = 32_768  # bytes: what every server takes in one packet (draft-ietf-secsh-filexfer-02, section 3)
_OPENSSH_BLOCK = 63 * 4096  # bytes: whole pages that with a header fit the 256 KiB that OpenSSH takes (sftp-common.h)
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
        client = SftpClient(self._channel(timeout))
        # Not as in FTP: a drop box may refuse to tell what "." is; every name gets the prefix instead.
        if path and not stat.S_ISDIR(run(client.stat(path), client.receive).mode or stat.S_IFDIR):
            raise PermanentTransferError(f"{self.label}: cannot enter the directory: it is none", Scope.QUEUE)
        prefix = f"{path.rstrip('/')}/" if path else ""
        block = _OPENSSH_BLOCK if "OpenSSH" in self._session.transport.remote_version else _BLOCK
        self._directory = _Directory(client, self.label, prefix, block)
        self._session.settle()

    def _channel(self, timeout: float | None) -> paramiko.Channel:
        channel = self._session.transport.open_session()
        channel.settimeout(timeout)  # before the first answer is waited for
        channel.invoke_subsystem("sftp")
        return channel

    def pipeline(self) -> _Directory:
        """Return what takes the next question before it has answered the last."""
        return self._directory

    def _run(self, task: Coroutine[Any, None, Result]) -> Result:
        return run(task, self._directory.receive)

    def put(self, source: BinaryIO, name: str, *, offset: int = 0) -> None:
        """Send ``source`` as :class:`~archq.transports.base.Transport` says."""
        self._run(self._directory.put(source, name, offset=offset))

    def size(self, name: str) -> int | None:
        """Return the size of ``name`` in bytes, None if it is not there."""
        return self._run(self._directory.size(name))

    def rename(self, old: str, new: str) -> None:
        """Rename ``old``; OpenSSH's server refuses to replace."""
        self._run(self._directory.rename(old, new))

    def remove(self, name: str) -> None:
        """Remove ``name``; already gone is fine."""
        self._run(self._directory.remove(name))

    def names(self) -> list[str]:
        """Return the names in the directory."""
        return self._run(self._directory.names())

    def modified(self, name: str) -> float:
        """Return when ``name`` was changed last by the server's clock, in seconds since 1970."""
        return self._run(self._directory.modified(name))

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

    def is_alive(self) -> bool:
        """Return whether the connection still stands: paramiko always listens."""
        return bool(self._session.transport.is_active())

    def close(self) -> None:
        """End the session."""
        with contextlib.suppress(Exception):
            self._session.close()


class _Directory:
    """A directory of a server that is asked many things at a time."""

    def __init__(self, client: SftpClient, label: str, prefix: str, block: int) -> None:
        """``prefix`` stands before every name; files are written in blocks of so many bytes."""
        self.label = label
        self.receive = client.receive
        self._client = client
        self._prefix = prefix
        self._block = block

    async def put(self, source: BinaryIO, name: str, *, offset: int = 0) -> None:
        with told(f"{self.label}: cannot send {name}"):
            handle = await self._opened(name, offset)
            writes: deque[Answer[Packet]] = deque()
            try:
                await self._write(handle, source, offset, writes)
            except OSError:
                if await self._may_have_gap(writes):
                    await self._discard(handle, name)
                raise

    async def _write(self, handle: bytes, source: BinaryIO, offset: int, unanswered: deque[Answer[Packet]]) -> None:
        """Write all of ``source``, and close; on an error the writes behind it are left in ``unanswered``."""
        while block := source.read(self._block):
            unanswered.append(self._client.write(handle, offset, block))
            offset += len(block)
            if len(unanswered) * self._block > _WINDOW:
                await self._client.done(unanswered.popleft())
        closing = self._client.close(handle)
        while unanswered:
            await self._client.done(unanswered.popleft())
        await self._client.done(closing)

    async def _may_have_gap(self, behind: deque[Answer[Packet]]) -> bool:
        """Say whether a write ``behind`` one that failed did not: the file's size says nothing of its content then.

        Nor does it where closing fails, of which there is nothing behind.
        """
        may_have = not behind
        for answer in behind:
            with contextlib.suppress(Exception):
                await self._client.done(answer)
                may_have = True
        return may_have

    async def _discard(self, handle: bytes, name: str) -> None:
        """Remove what nobody could tell from a beginning that can be resumed."""
        with contextlib.suppress(Exception):  # a drop box may not allow it, nor is anything resumed there
            self._client.close(handle)
            await self._client.remove(self._prefix + name)

    async def _opened(self, name: str, offset: int) -> bytes:
        flags = WRITE if offset else WRITE | CREATE | EXCLUSIVE
        try:
            return await self._client.open(self._prefix + name, flags)
        except OSError as error:
            # Version 3 of the protocol has one code, "failure", for a name that is taken as for much else.
            if error.errno is None and not offset and await self._is_there(name):
                raise TemporaryTransferError(f"{self.label}: {name} is already there") from error
            raise

    async def _is_there(self, name: str) -> bool:
        with contextlib.suppress(Exception):
            return await self.size(name) is not None
        return False

    async def size(self, name: str) -> int | None:
        with told(f"{self.label}: cannot ask the size of {name}"):
            try:
                size = (await self._client.stat(self._prefix + name)).size
            except FileNotFoundError:
                return None
            if size is None:
                raise NotPermittedTransferError(f"{self.label}: does not tell the size of {name}", Scope.QUEUE)
            return size

    async def rename(self, old: str, new: str) -> None:
        with told(f"{self.label}: cannot rename {old}"):
            await self._client.rename(self._prefix + old, self._prefix + new)

    async def remove(self, name: str) -> None:
        with told(f"{self.label}: cannot remove {name}"), contextlib.suppress(FileNotFoundError):
            await self._client.remove(self._prefix + name)

    async def names(self) -> list[str]:
        with told(f"{self.label}: cannot list the directory"):
            return await self._client.names(self._prefix or ".")

    async def modified(self, name: str) -> float:
        with told(f"{self.label}: cannot look at {name}"):
            return float((await self._client.stat(self._prefix + name)).modified or 0)
