"""Uploads as columns of numbers, which take a hundredth of the room and time that a value for each would.

Only what no transfer log knows is kept as columns: it counts with its size, time and rate and nothing else.  All that
has to be looked at one by one (what a transfer log knows, was cut, or came in several uploads) comes out singly.
"""

from __future__ import annotations

import math
from array import array
from datetime import MAXYEAR, MINYEAR, date, timedelta
from itertools import compress
from operator import itemgetter, truediv

from archq.instants import SECOND
from archq.light import dataclass, pattern, replace
from archq.names import DATA, WireName, parse_logged_name
from logsum.events import Upload
from logsum.readers import xferlog
from logsum.readers.files import lines_of
from logsum.readers.shapes import plain_rows_of, rows_of
from logsum.readers.stamps import MONTHS
from logsum.readers.text import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Mapping, Sequence
    from typing import Any

    from logsum.period import Period
    from logsum.problems import Problems
    from logsum.readers.shapes import Rows
    from logsum.readers.source import Reader, Source
    from logsum.readers.stamps import ServerClock
    from logsum.sources import Scope

_DAY = pattern(rb"[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ 0-9][0-9]) [0-9:]{8} ([0-9]{4}) ")
_HOUR = pattern(rb"[A-Z][a-z]{2} ([A-Z][a-z]{2}) ([ 0-9][0-9]) ([0-9]{2})")
_WHOLE_HOUR = 3600  # seconds
_WHOLE_DAY = 86_400  # seconds
_MOST_DAYS = 8  # of a block; a log with fewer lines a day is a short one
_LOOKED_BACK = 1 << 16  # bytes
_EXACT = 2**53
_LEAST_SECONDS = 0.001


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is to be found out: the uploads of ``scope`` that ended in ``period``.

    Those before it matter, too, from ``since`` on: of what is known, it has to be found out that it ended earlier.
    ``known`` are the ids that transfer logs know, ``suspects`` the hashes of those that seem to come more than once.
    ``with_ends`` asks for the times of the columns' rows, too.
    """

    scope: Scope
    period: Period
    since: int | None = None  # nanoseconds since 1970
    known: frozenset[bytes] = frozenset()
    suspects: frozenset[int] = frozenset()
    with_ends: bool = False

    @property
    def to_be_read(self) -> Period:
        """The time of which the lines are to be read."""
        start = self.period.start
        return replace(self.period, start=start if self.since is None else min(start, self.since))


class Columns:
    """Sizes in bytes and times in seconds, in step; ends in nanoseconds since 1970, empty unless asked for."""

    def __init__(self) -> None:
        self.sizes: list[int] = []
        self.times: list[float] = []
        self.ends: list[int] = []


@dataclass(frozen=True, slots=True)
class Packed:
    """The columns of one piece of a log, and its rates in bytes a second, sorted."""

    sizes: array[Any]
    times: array[Any]
    rates: array[float]
    ends: array[Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What one piece of a log tells: columns by what the report calls the instrument, hashes of their ids, sorted."""

    columns: dict[str, Packed]
    hashes: array[int]
    singly: list[Upload]
    problems: Problems


class Collector:
    """Sorts the uploads of one piece of a log into columns and single ones."""

    def __init__(self, question: Question) -> None:
        self._question = question
        self._columns: dict[str, Columns] = {}
        self._hashes: list[int] = []
        self._singly: list[Upload] = []
        self._start = math.ceil(question.period.start / SECOND)
        self._end = math.ceil(question.period.end / SECOND)

    def found(self, problems: Problems) -> Found:
        """Return all that was taken."""
        self._hashes.sort()
        return Found(
            columns={title: _packed(columns) for title, columns in self._columns.items()},
            hashes=array("q", self._hashes),
            singly=self._singly,
            problems=problems,
        )

    def take(self, uploads: Iterable[Upload]) -> None:
        """Take uploads that a reader has read one by one."""
        for upload in uploads:
            title = self._question.scope.title_of(upload.wire.instrument)
            if title:
                self._take(upload, title)

    def _take(self, upload: Upload, title: str) -> None:
        id_ = upload.wire.id.encode()
        if id_ in self._question.known:
            self._singly.append(upload)
        elif not upload.complete or upload.ended not in self._question.period:
            return
        elif upload.seconds is None or hash(id_) in self._question.suspects:
            self._singly.append(upload)
        else:
            self._add(title, [id_], [upload.size], [max(upload.seconds, _LEAST_SECONDS)], [upload.ended])

    def _add(
        self, title: str, ids: Iterable[bytes], sizes: Iterable[int], times: Iterable[float], ends: Iterable[int]
    ) -> None:
        """Add rows; ``ends`` are in nanoseconds."""
        self._hashes += map(hash, ids)
        columns = self._columns.setdefault(title, Columns())
        columns.sizes += sizes
        columns.times += times
        if self._question.with_ends:
            columns.ends += ends

    def take_block(self, block: bytes, reader: Reader, source: Source) -> None:
        """Take the lines of a block of an xferlog, most of them at once; the result is as if each was read singly."""
        if self._take_plain_block(block, reader, source):
            return
        found = rows_of(block)
        hours = _hours(found, source.clock) if found else None
        if not found or hours is None or not _remember_time(block, source.clock):
            self.take(reader.read(lines_of((block,)), source))
            return
        singly = self._take_regular(found[1], hours)
        for place, line in enumerate(found[1].irregular) if any(found[1].irregular) else ():
            singly += [(place, upload) for upload in (reader.read((line,), source) if line else ())]
        _remember_time(block, source.clock)
        self.take(upload for _place, upload in sorted(singly, key=itemgetter(0)))

    def _take_regular(self, rows: Rows, hours: Mapping[bytes, int]) -> list[tuple[int, Upload]]:
        """Add all regular rows but those that have to be looked at singly; return these with their places."""
        singly: list[tuple[int, Upload]] = []
        if self._is_outside(hours) and self._question.known.isdisjoint(rows.ids):
            return singly
        prefixes = {*rows.prefixes} - {b""}
        for prefix in prefixes:
            wire = _example(prefix)
            title = self._question.scope.title_of(wire.instrument) if wire else None
            if wire and title and (len(prefixes) > 1 or not self._take_all(rows, hours, title)):
                singly += self._take_rows(rows, hours, prefix, wire.instrument, title)
        return singly

    def _take_plain_block(self, block: bytes, reader: Reader, source: Source) -> bool:
        """Take a block of which only sizes and times matter, and return False where more does."""
        question = self._question
        days = None if question.with_ends or question.known or question.suspects else self._plain_days(block, source)
        rows = plain_rows_of(block, days) if days else None
        if not rows or not all(_is_plain(line, source.clock) for line in filter(None, rows.irregular)):
            return False
        if not _remember_time(block, source.clock):
            return False
        wire = _example(rows.prefix)
        title = question.scope.title_of(wire.instrument) if wire else None
        if title and any(rows.ids):
            ids, sizes, seconds = (filter(None, column) for column in (rows.ids, rows.sizes, rows.seconds))
            self._add(title, ids, map(int, sizes), map(_SECONDS.__getitem__, seconds), ())
        self.take(reader.read(filter(None, rows.irregular), source))
        _remember_time(block, source.clock)
        return True

    def _plain_days(self, block: bytes, source: Source) -> list[date] | None:
        """Return the days of a block, None where not all of them are whole within the period, and of 24 hours."""
        first, last = _DAY.match(block), _DAY.match(block, block.rfind(b"\n", 0, -1) + 1)
        if not first or not last:
            return None
        try:
            begin, end = _date(first), _date(last)
        except ValueError:
            return None
        if not 0 <= (end - begin).days < _MOST_DAYS or not MINYEAR < begin.year <= end.year < MAXYEAR:
            return None
        for days in (_days(*_widened(begin, end)), _days(begin, end)):
            if days[0].year == days[-1].year and all(self._is_plain_day(day, source.clock) for day in days):
                return days
        return None

    def _is_plain_day(self, day: date, clock: ServerClock) -> bool:
        begin = _beginning_of_day(day, clock)
        return begin is not None and self._start <= begin <= self._end - _WHOLE_DAY

    def _take_all(self, rows: Rows, hours: Mapping[bytes, int], title: str) -> bool:
        """Add all rows at once, and return False where some of them have to be looked at."""
        question = self._question
        if question.with_ends or question.suspects or not self._is_within(hours):
            return False
        if question.known and not question.known.isdisjoint(rows.ids):
            return False
        ids, sizes, seconds = (compress(column, rows.ids) for column in (rows.ids, rows.sizes, rows.seconds))
        self._add(title, ids, map(int, sizes), map(_SECONDS.__getitem__, seconds), ())
        return True

    def _is_within(self, hours: Mapping[bytes, int]) -> bool:
        return all(self._start <= begin and begin + _WHOLE_HOUR <= self._end for begin in hours.values())

    def _is_outside(self, hours: Mapping[bytes, int]) -> bool:
        return all(begin >= self._end or begin + _WHOLE_HOUR <= self._start for begin in hours.values())

    def _take_rows(
        self, rows: Rows, hours: Mapping[bytes, int], prefix: bytes, instrument: str, title: str
    ) -> list[tuple[int, Upload]]:
        """Add the rows with one prefix, and return those that have to be looked at singly, with their places."""
        places = [place for place, found in enumerate(rows.prefixes) if found == prefix]
        uploads = [(place, _upload(rows, place, hours, instrument)) for place in self._places_of_singles(rows, places)]
        if uploads:
            left_out = {place for place, _upload in uploads}
            places = [place for place in places if place not in left_out]
        if not self._is_within(hours):
            places = [place for place in places if self._start <= _ended(rows, place, hours) < self._end]
        if places:
            self._add(
                title,
                [rows.ids[place] for place in places],
                [int(rows.sizes[place]) for place in places],
                [_SECONDS[rows.seconds[place]] for place in places],
                (_ended(rows, place, hours) * SECOND for place in places),
            )
        return uploads

    def _places_of_singles(self, rows: Rows, places: Sequence[int]) -> list[int]:
        known, suspects = self._question.known, self._question.suspects
        if not suspects and known.isdisjoint(rows.ids):
            return []
        return [place for place in places if rows.ids[place] in known or hash(rows.ids[place]) in suspects]


class _Seconds(dict[bytes, float]):
    """What a transfer's duration means: 0 is less than one.  Whole numbers take less room, as far as they are exact."""

    def __missing__(self, text: bytes) -> float:
        seconds = max(float(text), 1.0)
        self[text] = int(seconds) if seconds < _EXACT else seconds
        return self[text]


_SECONDS = _Seconds()


class _Minutes(dict[bytes, int]):
    """How many seconds after the hour a stamp's minute and second are."""

    def __missing__(self, text: bytes) -> int:
        self[text] = int(text[:2]) * 60 + int(text[3:])
        return self[text]


_MINUTES = _Minutes()


def _hours(found: tuple[int, Rows], clock: ServerClock) -> dict[bytes, int] | None:
    """Return when each hour begins; None where a stamp is none, or can mean two instants, so that order matters."""
    year, rows = found
    hours = {}
    for hour in {*rows.hours} - {b""}:
        begin = _beginning(hour, year, clock)
        if begin is None:
            return None
        hours[hour] = begin
    return hours if all(_is_plain(line, clock) for line in filter(None, rows.irregular)) else None


def _beginning(hour: bytes, year: int, clock: ServerClock) -> int | None:
    match = _HOUR.fullmatch(hour)
    if not match:
        return None
    date = year, MONTHS.get(match[1], 0), int(match[2]), int(match[3])
    try:
        (first, same), last = clock.readings(*date, 0), clock.readings(*date, 59)
    except (ValueError, OverflowError):
        return None
    return first if first == same and last == (first + 59 * 60, first + 59 * 60) else None


def _days(begin: date, end: date) -> list[date]:
    return [begin + timedelta(days=number) for number in range((end - begin).days + 1)]


def _widened(begin: date, end: date) -> tuple[date, date]:
    """Return days that are the same for neighbouring blocks: to compile a pattern takes longer than to try a few."""
    before, after = begin.toordinal() % _MOST_DAYS, -(end.toordinal() + 1) % _MOST_DAYS
    return begin - timedelta(days=before), end + timedelta(days=after)


def _date(match: re.Match[bytes]) -> date:
    return date(int(match[3]), MONTHS.get(match[1], 0), int(match[2]))


def _beginning_of_day(day: date, clock: ServerClock) -> int | None:
    """Return when a day begins, None where clocks are set on it."""
    date = day.year, day.month, day.day
    try:
        (first, same), last = clock.readings(*date, 0, 0), clock.readings(*date, 23, 59)
    except (ValueError, OverflowError):
        return None
    end = first + _WHOLE_DAY - 60
    return first if first == same and last == (end, end) else None


def _is_plain(line: bytes, clock: ServerClock) -> bool:
    """Tell whether the stamp of a line means one instant, or none at all."""
    match = xferlog.LINE.fullmatch(line)
    if not match:
        return True
    time = match["time"]
    date = int(match["year"]), MONTHS.get(match["month"], 0), int(match["day"])
    try:
        earlier, later = clock.readings(*date, int(time[:2]), int(time[3:5]))
    except (ValueError, OverflowError):
        return True
    return earlier == later


def _remember_time(block: bytes, clock: ServerClock) -> bool:
    """Let the clock know when the last line was written; return False where none of the last ones tells."""
    for line in reversed(block[-_LOOKED_BACK:].split(b"\n")):
        if match := xferlog.LINE.fullmatch(line + b"\n"):
            try:
                clock.instant(int(match["year"]), MONTHS.get(match["month"], 0), int(match["day"]), match["time"])
            except (ValueError, OverflowError):
                continue
            return True
    return False


def _example(prefix: bytes) -> WireName | None:
    """Return a wire name that begins with ``prefix``, None where that cannot be."""
    part = ".part" if prefix.rpartition(b"/")[2].startswith(b".") else ""
    return parse_logged_name(f"{text_of(prefix)}.{'0' * 26}.1.{DATA}{part}")


def _ended(rows: Rows, place: int, hours: Mapping[bytes, int]) -> int:
    return hours[rows.hours[place]] + _MINUTES[rows.minutes[place]]


def _upload(rows: Rows, place: int, hours: Mapping[bytes, int], instrument: str) -> Upload:
    return Upload(
        wire=WireName(instrument=instrument, id=rows.ids[place].decode(), attempt=1),
        ended=_ended(rows, place, hours) * SECOND,
        seconds=float(_SECONDS[rows.seconds[place]]),
        size=int(rows.sizes[place]),
        complete=True,
    )


def _packed(columns: Columns) -> Packed:
    rates = sorted(map(truediv, columns.sizes, columns.times))
    return Packed(_array(columns.sizes), _array(columns.times), array("d", rates), array("q", columns.ends))


def _array(values: Sequence[float]) -> array[Any]:
    """Return numbers in as little room as they need."""
    for kind in "Iqd":
        try:
            return array(kind, values)
        except (OverflowError, TypeError):
            continue
    raise OverflowError("a number that no transfer can have")
