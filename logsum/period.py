"""The window of time that a report covers: from the options' words to two instants (pure)."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo

from archq.errors import UsageError
from archq.instants import SECOND
from archq.light import dataclass

HOUR = 3600 * SECOND
_OUT_OF_YEARS = "the window ends or begins outside the years 1 to 9999"
NOON = 12.0  # hours after midnight


@dataclass(frozen=True, slots=True, kw_only=True)
class Period:
    """The half-open window ``[start, end)`` in nanoseconds since 1970, and the zone to show it in."""

    start: int
    end: int
    zone: tzinfo

    def __post_init__(self) -> None:
        try:
            for instant in (self.start, self.end):
                clock_of(instant, self.zone)  # which is what reports show
        except (OverflowError, ValueError) as error:
            raise UsageError(_OUT_OF_YEARS) from error

    def __contains__(self, instant: int) -> bool:
        return self.start <= instant < self.end

    @property
    def seconds(self) -> float:
        """How long it is."""
        return (self.end - self.start) / SECOND


@dataclass(frozen=True, slots=True, kw_only=True)
class Window:
    """What the options say of a window; None where they say nothing."""

    base: date | None = None  # today
    clock: float | None = None  # hours after midnight; None: the present time of day
    days: int | None = None  # by the calendar, so 23 to 25 hours each where the clock changes
    hours: float | None = None  # exact; at most one of days and hours is given; neither: one day back


def parse_day(text: str) -> date:
    """Return the day ``2003-04-01``; raise ValueError if ``text`` is none."""
    if text.isascii() and len(text) == 10 and text[4] == text[7] == "-":
        return date.fromisoformat(text)
    return datetime.strptime(text, "%Y-%m-%d").date()  # takes 2003-4-1, too, but long to load


def resolve(window: Window, now: int, zone: tzinfo) -> Period:
    """Return the period that ``window`` means at ``now``; raise UsageError where a calendar has no such day."""
    try:
        start = _start(window, now, zone)
        end = _end(window, start, zone)
        return Period(start=min(start, end), end=max(start, end), zone=zone)
    except (OverflowError, ValueError, UsageError) as error:
        raise UsageError(f"{_OUT_OF_YEARS}: use less -D, -h or -b") from error


def clock_of(instant: int, zone: tzinfo) -> datetime:
    """Return what a clock in ``zone`` shows at ``instant``, to the second."""
    return datetime.fromtimestamp(instant // SECOND, UTC).astimezone(zone)


def instant_of(clock: datetime) -> int:
    """Return the instant at which a clock shows ``clock``: the earlier one where it does so twice."""
    whole = clock.replace(microsecond=0)
    return int(whole.timestamp()) * SECOND + clock.microsecond * 1000


def _start(window: Window, now: int, zone: tzinfo) -> int:
    today = clock_of(now, zone)
    base = window.base or today.date()
    if window.clock is not None:
        return instant_of(datetime.combine(base, time(), zone) + timedelta(hours=window.clock))
    if base == today.date():
        return now  # to the nanosecond, for a file may have arrived just before
    return instant_of(today.replace(year=base.year, month=base.month, day=base.day))


def _end(window: Window, start: int, zone: tzinfo) -> int:
    if window.hours is not None:
        return start + round(window.hours * HOUR)
    days = -1 if window.days is None else window.days
    if days == 0:
        return start  # in the repeated hour the clock alone would not tell which of the two
    clock = clock_of(start, zone)
    return instant_of(clock + timedelta(days=days)) + start % SECOND
