"""A file whose every write and flush is logged as it comes: what lies under a loop device, to be played again.

It is the only file of a filesystem in user space, for which the kernel asks us through /dev/fuse (linux/fuse.h).
"""

from __future__ import annotations

import errno
import multiprocessing
import os
import stat
import struct
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

from tests.faults import disk

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NAME = "disk"

_LOOKUP, _FORGET, _GETATTR, _OPEN, _READ, _WRITE, _RELEASE, _FSYNC = 1, 2, 3, 14, 15, 16, 18, 20
_FLUSH, _INIT, _INTERRUPT, _DESTROY, _BATCH_FORGET = 25, 26, 36, 38, 42
_NO_ANSWER = {_FORGET, _INTERRUPT, _BATCH_FORGET}
_NOTHING_TO_DO = {_RELEASE, _FLUSH, _DESTROY}
_VERSION = (7, 31)
_BIG_WRITES = 1 << 5
_MOST = 128 << 10  # bytes of one read or write
_FOREVER = 1 << 30  # seconds for which the kernel may believe what it was told
_ROOT, _FILE = 1, 2

_REQUEST = struct.Struct("=IIQQIIIHH")  # its length, what to do, its number, of what; who asks
_ANSWER = struct.Struct("=IiQ")  # its length, the error, the request's number
_INITIAL = struct.Struct("=IIIIHHIIHHI28x")
_ATTRIBUTES = struct.Struct("=QQQQQQIIIIIIIIII")
_TRANSFER = struct.Struct("=QQIIQII")  # handle, offset, size, …

_STEP = struct.Struct("=QQI")
_PROCESSES = multiprocessing.get_context("fork")


@dataclass(frozen=True, slots=True)
class Step:
    """One write, or without ``data`` a flush: all before it is on stable storage then."""

    offset: int
    data: bytes
    told: int  # bytes that the console held already


def lacking() -> str:
    """Say why nothing can be recorded here; nothing: it can."""
    if not disk.AS_ROOT:
        return "only root may mount"
    try:
        os.close(os.open("/dev/fuse", os.O_RDWR))
    except OSError as error:
        return f"no filesystem in user space: {error}"
    return ""


@contextmanager
def recording(image: Path, place: Path, console: Path, log: Path) -> Iterator[Path]:
    """Hold a file in the directory ``place`` that is ``image``; ``log`` gets the steps, with the size of ``console``.

    What was printed before a step had been printed when the power went at that step.
    """
    waiting, ready = os.pipe()
    server = _PROCESSES.Process(target=_serve, args=(image, place, console, log, ready), daemon=True)
    server.start()
    os.close(ready)
    try:
        if not os.read(waiting, 1):
            raise RuntimeError("our own filesystem in user space does not work")
        yield place / NAME
    finally:
        os.close(waiting)
        subprocess.run(["umount", str(place)], check=False)
        server.join(10)
        server.kill()
        server.join()


def steps(log: Path) -> list[Step]:
    found = []
    with log.open("rb") as file:
        while head := file.read(_STEP.size):
            offset, told, size = _STEP.unpack(head)
            found.append(Step(offset, file.read(size), told))
    return found


def _serve(image: Path, place: Path, console: Path, log: Path, ready: int) -> None:
    disk.end_with_parent()
    channel = os.open("/dev/fuse", os.O_RDWR)
    disk.mount("archq", place, "fuse", f"fd={channel},rootmode=40000,user_id=0,group_id=0")
    os.write(ready, b"!")
    os.close(ready)
    with image.open("r+b", buffering=0) as file, log.open("wb") as written:
        _Server(channel, file, console, written).run()


@dataclass
class _Server:
    channel: int
    image: BinaryIO
    console: Path
    log: BinaryIO

    def run(self) -> None:
        """Answer until the filesystem is unmounted."""
        while True:
            try:
                request = os.read(self.channel, _MOST + 4096)
            except OSError as error:
                if error.errno == errno.ENODEV:
                    return
                if error.errno in {errno.EINTR, errno.ENOENT}:  # what was asked is wanted no more
                    continue
                raise
            self._handle(request)

    def _handle(self, request: bytes) -> None:
        _length, what, number, node, *_ = _REQUEST.unpack_from(request)
        if what in _NO_ANSWER:
            return
        answer = self._answer(what, node, request[_REQUEST.size :])
        error, body = (-answer, b"") if isinstance(answer, int) else (0, answer)
        os.write(self.channel, _ANSWER.pack(_ANSWER.size + len(body), error, number) + body)

    def _answer(self, what: int, node: int, body: bytes) -> bytes | int:
        """Return what is to be said, or the number of an error."""
        if what in _NOTHING_TO_DO:
            return b""
        way = _WAYS.get(what)
        return way(self, node, body) if way else errno.ENOSYS

    def _begin(self, _node: int, _body: bytes) -> bytes:
        return _INITIAL.pack(*_VERSION, _MOST, _BIG_WRITES, 16, 12, _MOST, 1, 0, 0, 0)

    def _look_up(self, _node: int, name: bytes) -> bytes | int:
        if name != NAME.encode() + b"\0":
            return errno.ENOENT
        return struct.pack("=QQQQII", _FILE, 0, _FOREVER, _FOREVER, 0, 0) + self._attributes(_FILE)

    def _describe(self, node: int, _body: bytes) -> bytes:
        return struct.pack("=QII", _FOREVER, 0, 0) + self._attributes(node)

    def _attributes(self, node: int) -> bytes:
        size = os.fstat(self.image.fileno()).st_size if node == _FILE else 0
        mode = stat.S_IFREG | 0o600 if node == _FILE else stat.S_IFDIR | 0o700
        return _ATTRIBUTES.pack(node, size, size // 512, 0, 0, 0, 0, 0, 0, mode, 1, 0, 0, 0, 4096, 0)

    def _open(self, _node: int, _body: bytes) -> bytes:
        return struct.pack("=QII", 0, 0, 0)

    def _read(self, _node: int, body: bytes) -> bytes:
        _handle, offset, size, *_ = _TRANSFER.unpack_from(body)
        return os.pread(self.image.fileno(), size, offset)

    def _write(self, _node: int, body: bytes) -> bytes:
        _handle, offset, size, *_ = _TRANSFER.unpack_from(body)
        data = body[_TRANSFER.size : _TRANSFER.size + size]
        self._note(offset, data)
        os.pwrite(self.image.fileno(), data, offset)
        return struct.pack("=II", size, 0)

    def _flush(self, _node: int, _body: bytes) -> bytes:
        self._note(0, b"")
        return b""

    def _note(self, offset: int, data: bytes) -> None:
        self.log.write(_STEP.pack(offset, self.console.stat().st_size, len(data)) + data)


_WAYS: dict[int, Callable[[_Server, int, bytes], bytes | int]] = {
    _INIT: _Server._begin,
    _LOOKUP: _Server._look_up,
    _GETATTR: _Server._describe,
    _OPEN: _Server._open,
    _READ: _Server._read,
    _WRITE: _Server._write,
    _FSYNC: _Server._flush,
}
