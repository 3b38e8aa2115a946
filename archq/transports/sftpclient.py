"""SFTP version 3 over a channel (draft-ietf-secsh-filexfer-02): many requests on their way, every status looked at.

Paramiko's own client waits for each answer, or drops the statuses of what it has pipelined: a disk that was full, or a
quota told at closing, would pass for success.
"""

from __future__ import annotations

import errno
import itertools
import os
import struct
from enum import IntEnum
from typing import TYPE_CHECKING, NamedTuple

from paramiko import SFTPError

from archq.transports.pipeline import Answer

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    import paramiko

VERSION = 3
WRITE, CREATE, EXCLUSIVE = 0x02, 0x08, 0x20  # section 6.3

_READ = 1 << 16  # bytes
_SENT_TOGETHER = 32_704  # bytes: what paramiko puts into one of SSH's packets, which have 32 KiB
_LARGEST = 1 << 18  # bytes: no server sends larger packets
_HEAD = struct.Struct(">IBI")
_NUMBER, _LONG = struct.Struct(">I"), struct.Struct(">Q")
_NO_ATTRIBUTES = _NUMBER.pack(0)
_HAS_SIZE, _HAS_OWNERS, _HAS_MODE, _HAS_TIMES, _HAS_MORE = 0x1, 0x2, 0x4, 0x8, 0x80000000


class Kind(IntEnum):
    """What a packet is (section 3)."""

    INIT = 1
    VERSION = 2
    OPEN = 3
    CLOSE = 4
    WRITE = 6
    OPENDIR = 11
    READDIR = 12
    REMOVE = 13
    STAT = 17
    RENAME = 18
    STATUS = 101
    HANDLE = 102
    NAME = 104
    ATTRS = 105


class Status(IntEnum):
    """What an answer says (section 7)."""

    OK = 0
    EOF = 1
    NO_SUCH_FILE = 2
    PERMISSION_DENIED = 3


_OK = _NUMBER.pack(Status.OK)
_ERRNO = {Status.NO_SUCH_FILE: errno.ENOENT, Status.PERMISSION_DENIED: errno.EACCES}


class Attributes(NamedTuple):
    """What a server says of a file; None is what it does not say."""

    size: int | None = None
    mode: int | None = None
    modified: int | None = None  # seconds since 1970


class Packet:
    """What came, read from its beginning."""

    def __init__(self, kind: int, content: bytes) -> None:
        self.kind = kind
        self._content = content
        self._at = 0

    def says_done(self) -> bool:
        """Tell whether this is the status of what went well."""
        return self.kind == Kind.STATUS and self._content.startswith(_OK)

    def number(self) -> int:
        """Return the next number."""
        return int.from_bytes(self._take(4), "big")

    def long(self) -> int:
        """Return the next number of twice the length."""
        return int.from_bytes(self._take(8), "big")

    def string(self) -> bytes:
        """Return the next string."""
        return self._take(self.number())

    def words(self, code: int) -> str:
        """Return what a status of ``code`` says for people; before the third version a server said nothing."""
        return self.string().decode(errors="replace") if self._at < len(self._content) else f"status {code}"

    def attributes(self) -> Attributes:
        """Return the next attributes (section 5)."""
        flags = self.number()
        size = self.long() if flags & _HAS_SIZE else None
        if flags & _HAS_OWNERS:
            self.long()
        mode = self.number() if flags & _HAS_MODE else None
        modified = (self.number(), self.number())[1] if flags & _HAS_TIMES else None
        for _ in range(2 * self.number() if flags & _HAS_MORE else 0):
            self.string()
        return Attributes(size, mode, modified)

    def _take(self, count: int) -> bytes:
        begin, self._at = self._at, self._at + count
        if self._at > len(self._content):
            raise SFTPError("a packet that ends before its time")
        return self._content[begin : self._at]


class SftpClient:
    """Asks and is answered.  Errors are OSError, EOFError or paramiko.SFTPError, raised where an answer is awaited."""

    def __init__(self, channel: paramiko.Channel) -> None:
        """Agree on the version; the channel's own time limit bounds each wait."""
        self._channel = channel
        self._numbers = itertools.count(1)
        self._asked: dict[int, Answer[Packet]] = {}
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0
        self._received = bytearray()
        self._broken: Exception | None = None
        channel.sendall(_NUMBER.pack(5) + bytes([Kind.INIT]) + _NUMBER.pack(VERSION))
        while not (packets := list(self._packets())):
            self._read()
        if packets[0][0] != Kind.VERSION:
            raise SFTPError("an answer of another protocol")

    async def open(self, path: str, flags: int) -> bytes:
        """Return the handle of an opened file."""
        packet = await self._ask(Kind.OPEN, _text(path), _NUMBER.pack(flags), _NO_ATTRIBUTES)
        return _checked(packet, Kind.HANDLE).string()

    def write(self, handle: bytes, offset: int, block: bytes) -> Answer[Packet]:
        """Begin to write ``block``; :meth:`done` tells whether that worked."""
        return self._ask(Kind.WRITE, _string(handle), _LONG.pack(offset), _NUMBER.pack(len(block)), block)

    def close(self, handle: bytes) -> Answer[Packet]:
        """Begin to close a file; :meth:`done` tells whether that worked."""
        return self._ask(Kind.CLOSE, _string(handle))

    async def done(self, answer: Answer[Packet]) -> None:
        """Return when ``answer`` says that what was asked for is done."""
        _checked(await answer, Kind.STATUS)

    async def stat(self, path: str) -> Attributes:
        """Return what a server says of the file ``path``."""
        return _checked(await self._ask(Kind.STAT, _text(path)), Kind.ATTRS).attributes()

    async def rename(self, old: str, new: str) -> None:
        """Rename ``old``; no server replaces ``new`` (section 6.5)."""
        await self.done(self._ask(Kind.RENAME, _text(old), _text(new)))

    async def remove(self, path: str) -> None:
        """Remove a file."""
        await self.done(self._ask(Kind.REMOVE, _text(path)))

    async def names(self, path: str) -> list[str]:
        """Return the names in the directory ``path``."""
        handle = _checked(await self._ask(Kind.OPENDIR, _text(path)), Kind.HANDLE).string()
        names: list[str] = []
        while True:
            try:
                packet = _checked(await self._ask(Kind.READDIR, _string(handle)), Kind.NAME)
            except EOFError:
                break
            for _ in range(packet.number()):
                names.append(os.fsdecode(packet.string()))
                packet.string()  # as ls -l shows it
                packet.attributes()
        await self.done(self.close(handle))
        return [name for name in names if name not in (".", "..")]

    def receive(self) -> bool:
        """Send what was not sent yet and wait for an answer; return False if none is to come."""
        if not self._asked:
            return False
        try:
            self._send()
            self._read()
            for kind, content in self._packets():
                number = int.from_bytes(content[:4], "big")
                self._asked.pop(number).give(Packet(kind, content[4:]))
        except Exception as error:
            self._break(error)
        return True

    def _ask(self, kind: Kind, *fields: bytes) -> Answer[Packet]:
        answer: Answer[Packet] = Answer()
        if self._broken:
            answer.fail(self._broken)
            return answer
        number, length = next(self._numbers), sum(map(len, fields))
        self._asked[number] = answer
        self._unsent += (_HEAD.pack(length + 5, kind, number), *fields)
        self._unsent_bytes += length
        if self._unsent_bytes >= _SENT_TOGETHER:
            try:
                self._send()
            except Exception as error:
                self._break(error)
        return answer

    def _send(self) -> None:
        if self._unsent:
            unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
            # All in one would be copied again from the end of each packet on.
            for piece in _pieces(unsent, _SENT_TOGETHER):
                self._channel.sendall(piece)

    def _read(self) -> None:
        received = self._channel.recv(_READ)
        if not received:
            raise EOFError
        self._received += received

    def _packets(self) -> Iterator[tuple[int, bytes]]:
        """Yield the kind and the content of each packet that is there as a whole."""
        while len(self._received) >= _NUMBER.size:
            end = _NUMBER.size + _NUMBER.unpack_from(self._received)[0]
            if not _NUMBER.size < end <= _LARGEST:
                raise SFTPError("a packet of a size that cannot be")
            if len(self._received) < end:
                break
            kind, content = self._received[4], bytes(self._received[5:end])
            del self._received[:end]
            yield kind, content

    def _break(self, error: Exception) -> None:
        """Answer everything with ``error``, now and from now on: the two sides are out of step."""
        self._broken = error
        asked, self._asked = self._asked, {}
        for answer in asked.values():
            answer.fail(error)


def _pieces(parts: Iterable[bytes], size: int) -> Iterator[bytes]:
    """Yield what ``parts`` hold, one after the other, in pieces of ``size`` bytes and a last one."""
    gathered: list[memoryview] = []
    room = size
    for part in parts:
        rest = memoryview(part)
        while len(rest) >= room:
            yield b"".join((*gathered, rest[:room]))
            rest, gathered, room = rest[room:], [], size
        gathered.append(rest)
        room -= len(rest)
    if room < size:
        yield b"".join(gathered)


def _text(path: str) -> bytes:
    return _string(os.fsencode(path))


def _string(content: bytes) -> bytes:
    return _NUMBER.pack(len(content)) + content


def _checked(packet: Packet, wanted: Kind) -> Packet:
    """Return ``packet`` if it is as wanted; raise what it says instead."""
    if packet.kind == Kind.STATUS and not packet.says_done():
        code = packet.number()
        text = packet.words(code)
        if code == Status.EOF:
            raise EOFError(text)
        raise OSError(_ERRNO[Status(code)], text) if code in _ERRNO else OSError(text)
    if packet.kind != wanted:
        raise SFTPError(f"the answer to a request is of the wrong kind ({packet.kind})")
    return packet
