"""A server's log, whichever server wrote it: told apart by content, with its rotated and gzipped elders."""

from __future__ import annotations

import errno
import os
from datetime import datetime, timedelta
from itertools import chain, islice

from archq.light import pattern
from logsum.readers import commonlog, openssh, sftpgo, vsftpd, xferlog
from logsum.readers.files import lines, opened
from logsum.readers.source import Source
from logsum.readers.stamps import Calendar, ServerClock, first_year

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import tzinfo

    from logsum.events import Upload
    from logsum.problems import Problems
    from logsum.readers.source import Reader

FORMATS: Sequence[type[Reader]] = (
    xferlog.Reader,
    vsftpd.Reader,
    commonlog.Reader,
    sftpgo.Reader,
    openssh.Reader,
)
SNIFFED = 1000  # lines: damaged ones at the beginning do not hide a log
_ENOUGH = 3  # lines that are known

_ROTATED = pattern(r"(?a)(?:\.(?P<number>\d{1,4})|-(?P<date>\d{8}(?:-?\d{2,10})?))?(?:\.gz)?")
# sftpgo rotates by itself: sftpgo-2026-11-20T03-14-15.123.log beside sftpgo.log.
_LUMBERJACK = pattern(r"(?a)-(?P<date>\d{4}-\d\d-\d\dT\d\d-\d\d-\d\d\.\d{3})")


def read_log(path: str, zone: tzinfo, problems: Problems) -> Iterator[Upload]:
    """Yield the uploads in the log ``path`` and its rotated elders, oldest file first; raise OSError if it cannot."""
    require_log(path)
    clock = ServerClock(zone)
    readers = [kind() for kind in FORMATS]
    parts = readable(rotated(path), problems)
    years = years_of(parts, zone)
    for part in parts:
        source = Source(path=part, problems=problems, clock=clock, calendar=Calendar(years.get(part, 0)))
        yield from _read_part(source, readers)


def require_log(path: str) -> None:
    """Raise OSError where there is no log to be read, before anything is told of its elders."""
    if os.path.exists(path) and not os.path.isfile(path) and not os.path.isdir(path):
        raise OSError(
            errno.EINVAL, "it is no regular file, and a log is read more than once: save it to a file first", path
        )
    with opened(path):
        pass


def _read_part(source: Source, readers: Sequence[Reader]) -> Iterator[Upload]:
    rest = lines(source.path, source.problems)
    head = list(islice(rest, SNIFFED))
    reader = reader_of(head, readers)
    if reader:
        yield from reader.read(chain(head, rest), source)
    elif head:
        tell_unknown(source, head)


def reader_of(head: Sequence[bytes], readers: Sequence[Reader]) -> Reader | None:
    """Return the reader that is the first to know some of the first lines of a log, None if none knows any."""
    first = head[:_ENOUGH]
    for reader in readers if len(first) == _ENOUGH else ():
        if all(map(reader.recognizes, first)):  # nobody knows enough before; the others need not even look
            return reader
    known = [0] * len(readers)
    for line in head:
        for place, reader in enumerate(readers):
            known[place] += reader.recognizes(line)
        if max(known) == _ENOUGH:
            break
    return readers[known.index(max(known))] if any(known) else None


def tell_unknown(source: Source, head: Sequence[bytes]) -> None:
    """Say that nobody knows this log."""
    shown = repr(head[0].partition(b"\n")[0][:40].decode("utf-8", "backslashreplace"))
    source.problems.warn(f"{source.path}: not a log of any known server, left out; it begins with {shown}")


def rotated(path: str) -> list[str]:
    """Return ``path`` and its elders (``.1``, ``.2.gz``, ``-20261120.gz``) as logrotate names them, oldest first."""
    folder, name = os.path.split(path)
    ages = {other: _age(other, name) for other in _names(folder)}
    elders = sorted((age, other) for other, age in ages.items() if age)
    return [*(os.path.join(folder, other) for _age, other in elders), path]


def _age(other: str, name: str) -> tuple[str, int] | None:
    """Return what brings the elders of the log ``name`` into order, None where ``other`` is none of them."""
    if other != name and other.startswith(name) and (match := _ROTATED.fullmatch(other[len(name) :])):
        return match["date"] or "", -int(match["number"] or 0)
    stem, ending = os.path.splitext(name)
    plain = other.removesuffix(".gz")
    is_like_it = ending and plain.startswith(stem) and plain.endswith(ending)
    match = _LUMBERJACK.fullmatch(plain[len(stem) : -len(ending)]) if is_like_it else None
    return (match["date"], 0) if match else None


def _names(folder: str) -> list[str]:
    try:
        return os.listdir(folder or os.curdir)
    except OSError:  # one may be allowed to read a log, but not to see what is beside it
        return []


def readable(parts: Sequence[str], problems: Problems) -> list[str]:
    """Return the files that can be read; of the others it is told."""
    readable = []
    for part in parts:
        try:
            with opened(part):
                readable.append(part)
        except OSError as error:
            problems.warn(f"cannot read {part}: {error.strerror}; what it tells is left out")
    return readable


def years_of(parts: Sequence[str], zone: tzinfo) -> dict[str, int]:
    """Return the year in which each file begins whose stamps do not tell it.

    No line is younger than the file it stands in (which a copy may be by far), nor than the first one of the next file.
    """
    years = {}
    bound = datetime.max
    readers = [kind() for kind in FORMATS]
    for part in reversed(parts):
        head = head_of(part)
        is_without_years = isinstance(reader_of(head, readers), openssh.Reader)
        first = next(openssh.dates(head), None) if is_without_years else None
        if first:
            written = datetime.fromtimestamp(os.stat(part).st_mtime, zone).replace(tzinfo=None)
            years[part] = first_year(openssh.dates(_quietly(part)), min(bound, written))
            bound = datetime(years[part], first[0], 1) + timedelta(days=first[1])
    return years


def head_of(path: str) -> list[bytes]:
    """Return the first lines of a log, by which it is known whose it is."""
    return list(islice(_quietly(path), SNIFFED))


def _quietly(path: str) -> Iterator[bytes]:
    """Yield the lines of a file that is read for a first time, and for what it tells of its trouble a second time."""
    from logsum.problems import Problems

    return lines(path, Problems())
