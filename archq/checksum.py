"""Checksums: their algorithms, and the one loop that copies and sums at once."""

from __future__ import annotations

import os
import stat
import sys

from archq.errors import ConfigurationError, MalformedError, TemporaryError
from archq.fields import LETTERS_AND_DIGITS, consists_of
from archq.light import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
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
_CHUNK = 1 << 20  # bytes: large enough to amortise system calls, small enough to stay in the cache
_SMALL = 1 << 13  # bytes
# What Python sums with its own module sooner than OpenSSL's library, three times as fast, is loaded.
_LITTLE = 1 << 18  # bytes
_OWN_MODULE = "_sha2" if sys.version_info >= (3, 12) else "_sha256"


class ReadError(OSError):
    """Reading the source failed, and not writing its copy."""


class UnknownAlgorithmError(TemporaryError):
    """A checksum by an algorithm this version does not know; a newer one may."""


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
    return Checksum(algorithm, digest)


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
    """Write all of ``data``: a short write is normal, at a signal or a file-size limit, and not an error."""
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(target, rest) :]


def _summed(source: int, algorithm: str, use: Callable[[memoryview], None], seen: Seen | None) -> tuple[int, Checksum]:
    status = os.fstat(source)
    hasher, size = new_hasher(algorithm, status.st_size if stat.S_ISREG(status.st_mode) else None), 0
    for chunk in _chunks(source):
        hasher.update(chunk)
        use(chunk)
        size += len(chunk)
        if seen:
            seen(len(chunk))
    return size, Checksum(algorithm, hasher.hexdigest())


def _chunks(source: int) -> Iterator[memoryview]:
    """Yield the file's content in one buffer that is used again and again, so memory does not grow with size."""
    # To clear a large buffer takes longer than to sum a small file.
    buffer = memoryview(bytearray(min(_CHUNK, max(os.fstat(source).st_size + 1, _SMALL))))
    while count := _filled(buffer, source):
        yield buffer[:count]


def _filled(buffer: memoryview, source: int) -> int:
    try:
        return os.readv(source, [buffer])
    except OSError as error:
        raise ReadError(error.errno, error.strerror) from error
