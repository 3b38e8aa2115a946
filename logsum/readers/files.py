"""Log files as blocks of whole lines, plain or gzipped; damage is told, and what stands around it is used."""

from __future__ import annotations

from io import BytesIO

from archq.light import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from io import BufferedIOBase

    from logsum.problems import Problems

BLOCK = 1 << 20  # bytes
_FIRST_BLOCK = 1 << 17  # bytes: often no more than the beginning is looked at
LONGEST = 1 << 20  # bytes: what goes on for longer without a newline is no line of any log

_GZIP = b"\x1f\x8b"
_LEADING_NULS = pattern(rb"(?m)^\0+")


def opened(path: str) -> BufferedIOBase:
    """Open a log, which is gzipped if it begins as such files do; raise OSError if it cannot be."""
    if not is_packed(path):
        return open(path, "rb")
    import gzip

    return gzip.open(path)


def is_packed(path: str) -> bool:
    """Tell whether a file is gzipped; raise OSError if it cannot be read."""
    with open(path, "rb") as file:
        return file.read(len(_GZIP)) == _GZIP


def blocks(path: str, problems: Problems, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Yield the lines of a log, many at a time; only the last one may lack its newline.  Raise OSError as `opened`.

    Only what stands from ``start`` to ``end`` is read, both at the beginning of a line.
    """
    rest = b""
    for piece in _pieces(path, problems, start, end):
        cut = piece.rfind(b"\n") + 1
        if cut:
            yield _cleaned(b"".join((rest, memoryview(piece)[:cut])), path, problems)
            rest = b""
        rest = _shortened(rest + piece[cut:], path, problems)
    if rest := _cleaned(rest, path, problems):
        yield rest


def lines(path: str, problems: Problems, start: int = 0, end: int | None = None) -> Iterator[bytes]:
    """Yield the lines of a log, each with its newline."""
    return lines_of(blocks(path, problems, start, end))


def lines_of(blocks: Iterable[bytes]) -> Iterator[bytes]:
    """Yield the lines of ``blocks``, each with its newline: nothing else divides them."""
    for block in blocks:
        yield from BytesIO(block)


def _pieces(path: str, problems: Problems, start: int, end: int | None) -> Iterator[bytes]:
    size = _FIRST_BLOCK
    with opened(path) as file:
        file.seek(start)
        while piece := _piece(file, size if end is None else min(end - start, size), path, problems):
            start += len(piece)
            size = BLOCK
            yield piece


def _piece(file: BufferedIOBase, size: int, path: str, problems: Problems) -> bytes:
    """Return what comes next, nothing where a gzipped file is damaged."""
    try:
        return file.read1(size)  # read() would throw away what came before the damage
    except _damages() as error:
        problems.warn(f"{path}: damaged: {error}; what stands before was read")
        return b""


def _damages() -> tuple[type[Exception], ...]:
    """Return what is raised where a gzipped file is damaged; few are gzipped, and that takes 2 ms to load."""
    import gzip
    import zlib

    return EOFError, gzip.BadGzipFile, zlib.error


def _cleaned(block: bytes, path: str, problems: Problems) -> bytes:
    if b"\0" not in block:
        return block
    problems.warn(f"{path}: NUL bytes where lines should be, as a power cut leaves them; lines may be lost")
    return _LEADING_NULS.sub(b"", block)


def _shortened(tail: bytes, path: str, problems: Problems) -> bytes:
    """Return the beginning of a line, but nothing of one that does not end."""
    if len(tail) <= LONGEST:
        return tail
    if tail.strip(b"\0"):
        problems.unreadable(path, tail, "longer than a line can be")
    return b""
