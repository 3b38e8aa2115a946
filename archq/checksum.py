"""Checksums: their algorithms, and the one loop that copies and sums at once."""

from __future__ import annotations

import os
import stat
import sys

from archq.errors import ConfigurationError, MalformedError, TemporaryError, at_open_file
from archq.fields import LETTERS_AND_DIGITS, consists_of
from archq.light import dataclass, made_often

TYPE_CHECKING = False
if TYPE_CHECKING:
    from _thread import LockType
    from collections.abc import Callable, Generator
    from queue import SimpleQueue
    from typing import Protocol

    Seen = Callable[[int], None]

    class Hasher(Protocol):
        """What every algorithm's state can do."""

        def update(self, data: bytes | memoryview, /) -> object:
            """Take in more data."""

        def hexdigest(self) -> str:
            """Return the digest of all data so far, in lower-case hexadecimal digits."""


DEFAULT_ALGORITHM = "sha256"

_DIGEST_LENGTHS = {"sha256": 64, "sha512": 128, "md5": 32, "blake3": 64}  # hexadecimal digits
_CHUNK = 1 << 18  # bytes: large enough to amortise system calls, small enough that eight stay in the cache
_SMALL = 1 << 13  # bytes
_LITTLE = 1 << 18  # bytes: summed by Python's own module before OpenSSL's library, which is faster, is even loaded
_LARGE = 1 << 21  # bytes: from here on a thread of its own repays what it takes to begin one
_BUFFERS = 8  # between reading, writing and summing, when one of them has to wait
_OWN_MODULE = "_sha2" if sys.version_info >= (3, 12) else "_sha256"


class ReadError(OSError):
    """Reading the source failed, and not writing its copy."""


class UnknownAlgorithmError(TemporaryError):
    """A checksum by an algorithm this version does not know; a newer one may."""


@made_often
@dataclass(frozen=True, slots=True)
class Checksum:
    """An algorithm's name and a digest in lower-case hexadecimal digits, written ``sha256:9f86…``."""

    algorithm: str
    digest: str

    def __str__(self) -> str:
        return f"{self.algorithm}:{self.digest}"


def parse_checksum(text: str) -> Checksum:
    """Return the checksum in ``text``; raise UnknownAlgorithmError or MalformedError."""
    algorithm, colon, digest = text.partition(":")
    if not colon or algorithm[:1] in ("", "_", "+", "-") or not consists_of(algorithm, f"{LETTERS_AND_DIGITS}_+-"):
        raise MalformedError(f"not a checksum such as sha256:9f86…: {text[:80]!r}")
    if algorithm not in _DIGEST_LENGTHS:
        raise UnknownAlgorithmError(f"unknown checksum algorithm {algorithm[:40]!r}: a newer archq may know it")
    if len(digest) != _DIGEST_LENGTHS[algorithm] or not consists_of(digest, "0123456789abcdef"):
        raise MalformedError(f"not a digest of {algorithm}: {digest[:80]!r}")
    return Checksum(algorithm=algorithm, digest=digest)


def checked_algorithm(text: str) -> str:
    """Return ``text`` if it names an algorithm that works here, else raise ConfigurationError."""
    if text not in _DIGEST_LENGTHS:
        raise ConfigurationError(f"unknown checksum algorithm {text!r}: use one of {', '.join(_DIGEST_LENGTHS)}")
    if text == "blake3":
        new_hasher(text)
    return text


def new_hasher(algorithm: str, size: int | None = None) -> Hasher:
    """Return an empty state of ``algorithm``, for ``size`` bytes if that is known.

    Raise ConfigurationError where its library is not installed.
    """
    if algorithm == "sha256" and size is not None and size <= _LITTLE and "hashlib" not in sys.modules:
        return _own_sha256()
    return _library_hasher(algorithm)


def _own_sha256() -> Hasher:
    try:
        state: Hasher = __import__(_OWN_MODULE).sha256()
    except ImportError:  # a Python that was built without
        return _library_hasher("sha256")
    return state


def _library_hasher(algorithm: str) -> Hasher:
    if algorithm != "blake3":
        import hashlib

        # Not for security against collisions: md5 is offered for archives that already use it.
        return hashlib.new(algorithm, usedforsecurity=False)
    try:
        from blake3 import blake3
    except ImportError as error:
        raise ConfigurationError("the checksum blake3 needs its library: pip install 'archq[blake3]'") from error
    state: Hasher = blake3()
    return state


def copy_and_sum(
    source: int, target: int, algorithm: str = DEFAULT_ALGORITHM, seen: Seen | None = None
) -> tuple[int, Checksum]:
    """Copy one open file to another, from where each stands to the source's end; return the size in bytes and checksum.

    ``seen`` is called with the bytes of each step.  Raise OSError as write(2) does, and ReadError as read(2) does.
    """
    return _summed(source, algorithm, lambda chunk: write_all(target, chunk), seen)


def sum_file(source: int, algorithm: str = DEFAULT_ALGORITHM, seen: Seen | None = None) -> tuple[int, Checksum]:
    """Return size and checksum of an open file, from where it stands to its end; ``seen`` as for a copy."""
    return _summed(source, algorithm, lambda _chunk: None, seen)


def write_all(target: int, data: bytes | memoryview) -> None:
    """Write all of ``data``: a short write is normal, at a signal or a file-size limit; an error names the file."""
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[os.write(target, rest) :]
    except OSError as error:
        raise at_open_file(error, target) from error


def _summed(source: int, algorithm: str, use: Callable[[memoryview], None], seen: Seen | None) -> tuple[int, Checksum]:
    status = os.fstat(source)
    expected = status.st_size if stat.S_ISREG(status.st_mode) else None
    hasher, size = new_hasher(algorithm, expected), 0
    summed_chunks = _summed_beside if expected and expected >= _LARGE else _summed_first
    chunks = summed_chunks(source, hasher, _CHUNK if expected is None else expected)
    try:
        for chunk in chunks:
            use(chunk)
            size += len(chunk)
            if seen:
                seen(len(chunk))
    finally:
        chunks.close()
    return size, Checksum(algorithm=algorithm, digest=hasher.hexdigest())


def _summed_first(source: int, hasher: Hasher, expected: int) -> Generator[memoryview]:
    """Yield the file's content in one buffer that is used again and again, so memory does not grow with size."""
    # To clear a large buffer takes longer than to sum a small file.
    buffer = memoryview(bytearray(min(_CHUNK, max(expected + 1, _SMALL))))
    while count := _filled(buffer, source):
        hasher.update(buffer[:count])
        yield buffer[:count]
        if count == expected < len(buffer):
            return  # there was room for more, so that this was the end


def _summed_beside(source: int, hasher: Hasher, expected: int) -> Generator[memoryview]:
    """Yield the file's content likewise, while a thread sums it: hashlib lets go of the interpreter meanwhile."""
    # Where queue and threading have these from, which take as long to load as 5 MB to be copied.
    from _queue import SimpleQueue
    from _thread import allocate_lock, start_new_thread

    free: SimpleQueue[memoryview] = SimpleQueue()
    full: SimpleQueue[memoryview] = SimpleQueue()
    for _ in range(_BUFFERS):
        free.put(memoryview(bytearray(_CHUNK)))
    errors: list[Exception] = []
    ended = allocate_lock()
    ended.acquire()
    try:
        # Nobody waits for it at the program's end: an interrupt may come before it is told of an end here.
        start_new_thread(_sum, (hasher, full, free, errors, ended))
    except RuntimeError:  # this account may have no more threads
        yield from _summed_first(source, hasher, expected)
        return
    try:
        while not errors and (count := _filled(buffer := free.get(), source)):
            full.put(buffer[:count])
            yield buffer[:count]  # both only look at it, and it is filled again when both have done
    finally:
        full.put(memoryview(b""))
        ended.acquire()
    if errors:
        raise errors[0]


def _sum(
    hasher: Hasher,
    full: SimpleQueue[memoryview],
    free: SimpleQueue[memoryview],
    errors: list[Exception],
    ended: LockType,
) -> None:
    """Sum what is ``full``, to its end whatever happens: the other one waits for what is ``free``, and for the end."""
    while chunk := full.get():
        try:
            hasher.update(chunk)
        except Exception as error:
            errors.append(error)
        free.put(memoryview(chunk.obj))
    ended.release()


def _filled(buffer: memoryview, source: int) -> int:
    try:
        return os.readv(source, [buffer])
    except OSError as error:
        raise ReadError(error.errno, error.strerror) from error
