"""Which parts of a server's logs have to be read for a period, and how they can be divided among workers.

A log is in the order of time, but for clocks that were set and zones that are wrong by some hours: so its beginning and
end for a period are found by halving, in a few steps even in the largest.
"""

from __future__ import annotations

import errno
import os
from datetime import datetime, timedelta

from archq.instants import SECOND
from archq.light import dataclass, pattern, suppress
from logsum.period import HOUR
from logsum.problems import Problems
from logsum.readers import vsftpd, xferlog
from logsum.readers.files import is_packed, lines
from logsum.readers.ftplog import FORMATS, head_of, reader_of
from logsum.readers.stamps import MONTHS, ServerClock

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterator, Sequence
    from datetime import tzinfo

    from logsum.period import Period
    from logsum.readers.source import Reader

SLACK = 6 * HOUR  # nanoseconds: by how much lines may be out of order, or the stamps of another zone than is said
SIZE = 1 << 22  # bytes that a worker is given at a time

_STAMP = pattern(rb"(?m)^[A-Z][a-z]{2} ([A-Z][a-z]{2})  ?([0-9]{1,2}) ([0-9]{2}):([0-9]{2}):([0-9]{2}) ([0-9]{4}) ")
_LOOK = 1 << 12  # bytes: more than a line, mostly
_LONGEST_LOOK = 1 << 20
_CHANGE = timedelta(hours=1)  # what the clock's change makes of a difference of instants


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a log, from the beginning of a line to that of another, or to the end."""

    path: str
    kind: type[Reader] | None  # who reads it; None: it is a log of nobody that is known
    start: int = 0
    end: int | None = None
    size: int  # in bytes


Task = tuple[Piece, ...]  # what has to be read in one go, because later lines are to be understood from earlier ones


def tasks(parts: Sequence[str], zone: tzinfo, period: Period) -> list[Task]:
    """Return what has to be read of rotated files, the oldest first, to know all of ``period``.

    Raise OSError where none of them is a log of any known server: that none tells of uploads would say too much.
    """
    heads = [_head(path) for path in parts]
    if not any(kind for kind, _begin in heads) and any(map(os.path.getsize, parts)):
        raise OSError(errno.EINVAL, "it is not a log of any known server", parts[-1])
    found: list[list[Piece]] = [[]]
    clocks = _clocks(zone, period)
    ends = [*(begin for _kind, begin in heads[1:]), None]  # a file ends when the next one begins
    for path, (kind, begin), end in zip(parts, heads, ends, strict=True):
        if clocks and ((end and end < clocks.first) or (begin and begin > clocks.last)):
            continue
        for number, piece in enumerate(_pieces(path, kind, clocks, zone)):
            if (number or _is_independent(piece, zone)) and found[-1]:
                found.append([])
            found[-1].append(piece)
    return [tuple(one) for one in found if one]


def _pieces(path: str, kind: type[Reader] | None, clocks: _Clocks | None, zone: tzinfo) -> Iterator[Piece]:
    size = os.path.getsize(path)
    if is_packed(path) or kind not in (xferlog.Reader, vsftpd.Reader):
        yield Piece(path=path, kind=kind, size=size)
        return
    with open(path, "rb", buffering=0) as file:
        begin, *bounds, end = _bounds(file.fileno(), size, clocks) if clocks else (0, size)
        while begin < end:
            wished = min([begin + SIZE, *(bound for bound in bounds if bound > begin)])
            cut = _cut(file.fileno(), wished, end, zone) if kind is xferlog.Reader else end
            yield Piece(path=path, kind=kind, start=begin, end=cut, size=cut - begin)
            begin = cut


def _head(path: str) -> tuple[type[Reader] | None, datetime | None]:
    """Return who reads a log, and the first of its stamps if they tell all of a time."""
    head = head_of(path)
    reader = reader_of(head, [kind() for kind in FORMATS])
    for match in filter(None, map(_STAMP.match, head)):
        with suppress(ValueError):
            return type(reader) if reader else None, _clock(match)
    return type(reader) if reader else None, None


@dataclass(frozen=True, slots=True, kw_only=True)
class _Clocks:
    """What a server's clock shows at the beginning and end of a period, and between which stamps its lines are."""

    first: datetime
    start: datetime
    end: datetime
    last: datetime


def _clocks(zone: tzinfo, period: Period) -> _Clocks | None:
    """Return the stamps of ``period``, None for one that no calendar holds."""

    def clock(instant: int) -> datetime:
        return datetime.fromtimestamp(instant // SECOND, zone).replace(tzinfo=None)

    try:
        return _Clocks(
            first=clock(period.start - SLACK) - _CHANGE,
            start=clock(period.start),
            end=clock(period.end),
            last=clock(period.end + SLACK) + _CHANGE,
        )
    except (OverflowError, ValueError):
        return None


def _bounds(file: int, size: int, clocks: _Clocks) -> tuple[int, int, int, int]:
    """Return where the lines of a period begin and end, or a little farther out, and nearly all that count.

    These stand apart, as lines that all count are taken at once.
    """
    begin, _after = _halved(file, size, clocks.first)
    start, end = (_line_of(file, _halved(file, size, clock), clock) - 1 for clock in (clocks.start, clocks.end))
    _before, last = _halved(file, size, clocks.last)
    return begin, start, end, last


def _halved(file: int, size: int, clock: datetime) -> tuple[int, int]:
    """Return the beginnings of two lines between which the first one from ``clock`` on stands; or 0, or the size."""
    low, high = (0, 0), (size, size)  # where was looked, and where the line begins that was found
    while high[0] - low[0] > _LOOK:
        middle = (low[0] + high[0]) // 2
        place, stamp = _stamp_from(file, middle, high[1])
        if stamp is None or stamp >= clock:
            high = (middle, place)
        else:
            low = (middle, place)
    return low[1], high[1]


def _line_of(file: int, between: tuple[int, int], clock: datetime) -> int:
    """Return where the first line from ``clock`` on begins, or the end of what is looked at."""
    low, high = between
    for match in _STAMP.finditer(os.pread(file, min(high - low, _LONGEST_LOOK), low)):
        with suppress(ValueError):
            if _clock(match) >= clock:
                return low + match.start()
    return high


def _stamp_from(file: int, offset: int, end: int) -> tuple[int, datetime | None]:
    """Return the first line that begins after ``offset`` and has a stamp, and that; the end where there is none."""
    look = _LOOK
    while look <= _LONGEST_LOOK:
        text = os.pread(file, min(look, end - offset), offset)
        for match in _STAMP.finditer(text, text.find(b"\n") + 1 or len(text)):
            try:
                return offset + match.start(), _clock(match)
            except ValueError:
                continue
        if offset + len(text) >= end:
            break
        look *= 16
    return end, None


def _clock(match: re.Match[bytes]) -> datetime:
    day, hour, minute, second, year = map(int, match.group(2, 3, 4, 5, 6))
    return datetime(year, MONTHS.get(match[1], 0), day, hour, minute, min(second, 59))


def _cut(file: int, offset: int, end: int, zone: tzinfo) -> int:
    """Return where the next line begins that can be understood without those before it."""
    clock = ServerClock(zone)
    while offset < end:
        place, stamp = _stamp_from(file, offset, end)
        if stamp is None:
            return end
        if _means_one(stamp, clock):
            return place
        offset = place + SIZE // 8  # in the repeated hour of autumn
    return end


def _is_independent(piece: Piece, zone: tzinfo) -> bool:
    """Tell whether the first line of a piece of an xferlog means one instant, whatever was before."""
    if piece.kind is not xferlog.Reader:
        return False
    first = next(lines(piece.path, Problems(), piece.start), b"")
    match = _STAMP.match(first)
    try:
        return match is not None and _means_one(_clock(match), ServerClock(zone))
    except ValueError:
        return False


def _means_one(stamp: datetime, clock: ServerClock) -> bool:
    try:
        earlier, later = clock.readings(stamp.year, stamp.month, stamp.day, stamp.hour, stamp.minute)
    except (ValueError, OverflowError):
        return False
    return earlier == later
