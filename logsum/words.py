"""Times in words: ``yesterday 18:00``, ``2 days ago``, ``19 Nov 2026 6pm`` as instants, nights and months (pure)."""

from __future__ import annotations

import re
from datetime import date, datetime, time, timedelta, timezone, tzinfo

from archq.errors import ConfigurationError, UsageError
from archq.instants import SECOND
from archq.light import pattern
from archq.nights import named_night
from archq.quantities import parse_duration
from archq.zones import find_zone
from logsum.period import Period, clock_of, instant_of

_DAYS = {"today": 0, "yesterday": -1, "tomorrow": 1}
_WEEKDAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_CLOCKS = {"": time(), "midnight": time(), "noon": time(12)}
_CLOCK = pattern(r"(?a)(?:at )?([01]?\d|2[0-4]):([0-5]\d)(?::([0-5]\d))?")
_AGO = pattern(r"(?a)(an?|\d+(?:\.\d+)?) ?([a-z]+) ago")
_CALENDAR = ("day", "week", "month", "year")  # where the clock changes, a day has 23 to 25 hours
_UNITS = {"second": "s", "sec": "s", "minute": "m", "hour": "h", "hr": "h", "day": "d", "week": "w"}

# 11/12/2026 is November to some and December to others, UTC+3 is west in POSIX only, and a bare number says nothing.
_AMBIGUOUS = pattern(r"(?ai)\d*|.*(?:\b\d{1,2}(?:/\d{1,2}\b|\.\d{1,2}\.)|(?:utc|gmt)[+-]).*")

_FORMS = "use a time such as 2026-11-19 18:00, 18:00, yesterday, 'yesterday noon', '2 days ago' or now"


def parse_moment(text: str, now: int, zone: tzinfo) -> int:
    """Return the instant that ``text`` names at ``now`` by the clock in ``zone``; raise UsageError if it names none.

    A time of day alone is today's; a day alone is its midnight; the name of a weekday is the last one's.
    """
    words = " ".join(text.lower().split())
    if words == "now":
        return now
    if match := _AGO.fullmatch(words):
        return _ago(match, text, now, zone)
    today = clock_of(now, zone).date()
    day, _blank, rest = words.partition(" ")
    named = _named_day(day, today)
    clock = (_time_of_day(words) if named is None else _time_of_day(rest)) if words else None
    if clock is not None:
        return instant_of(datetime.combine(named or today, time(), zone) + clock)
    return _by_dateutil(text, today, zone)


def parse_month(text: str, zone: tzinfo) -> Period:
    """Return the month ``2026-11`` by the calendar in ``zone``; raise UsageError if ``text`` is none."""
    match = re.fullmatch(r"(\d{4})-(\d\d?)", text, re.ASCII)
    try:
        first = date(int(match[1]), int(match[2]), 1) if match else None
        following = first and (first + timedelta(days=31)).replace(day=1)
    except (ValueError, OverflowError):
        first = None
    if not first or not following:
        raise UsageError(f"--month: {text[:40]!r} is not a month such as 2026-11")
    start, end = (instant_of(datetime.combine(one, time(), zone)) for one in (first, following))
    return Period(start=start, end=end, zone=zone)


def _named_day(word: str, today: date) -> date | None:
    if word in _DAYS:
        return today + timedelta(days=_DAYS[word])
    if word in _WEEKDAYS:
        return today - timedelta(days=(today.weekday() - _WEEKDAYS.index(word)) % 7)
    return named_night(word)


def _time_of_day(words: str) -> timedelta | None:
    """Return how long after midnight by the clock, None where ``words`` are no time of day."""
    match = _CLOCK.fullmatch(words)
    if match:
        return timedelta(hours=int(match[1]), minutes=int(match[2]), seconds=int(match[3] or 0))
    clock = _CLOCKS.get(words)
    return None if clock is None else timedelta(hours=clock.hour)


def _ago(match: re.Match[str], text: str, now: int, zone: tzinfo) -> int:
    from dateutil.relativedelta import relativedelta

    number, unit = 1.0 if match[1].startswith("a") else float(match[1]), match[2].removesuffix("s")
    try:
        if unit in _CALENDAR and number.is_integer():
            span = relativedelta(**{f"{unit}s": int(number)})  # type: ignore[arg-type]
            return instant_of(clock_of(now, zone) - span) + now % SECOND
        return now - round(parse_duration(f"{number}{_UNITS.get(unit, match[2])}") * SECOND)
    except (ConfigurationError, OverflowError, ValueError):
        raise UsageError(f"not a time: {text[:60]!r}; {_FORMS}") from None


def _by_dateutil(text: str, today: date, zone: tzinfo) -> int:
    from dateutil import parser

    try:
        if _AMBIGUOUS.fullmatch(text.strip()):
            raise ValueError(text)
        found = parser.parse(text, default=datetime.combine(today, time()), tzinfos=_zone_of)
        return instant_of(found if found.tzinfo else found.replace(tzinfo=zone))
    except (ValueError, OverflowError):
        raise UsageError(f"not a time: {text[:60]!r}; {_FORMS}") from None


def _zone_of(name: str | None, offset: int | None) -> tzinfo | None:
    """Return the zone that stands behind a time; the library would take one that it does not know for no zone."""
    if offset is not None:
        return timezone(timedelta(seconds=offset))
    return find_zone(name) if name else None
