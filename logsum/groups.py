"""What is counted together in a table: the transfers of an hour, a day, a night or a month (pure)."""

from __future__ import annotations

from datetime import date

from archq.instants import SECOND
from archq.light import dataclass
from logsum.period import HOUR, clock_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from datetime import tzinfo

    from logsum.observing import Nights
    from logsum.period import Period
    from logsum.transfers import Transfer

BY_HOUR, BY_DAY, BY_NIGHT, BY_MONTH = "hour", "day", "night", "month"
BY_INSTRUMENT = "instrument"  # what every report counts anyway
GROUPINGS = (BY_HOUR, BY_DAY, BY_NIGHT, BY_MONTH, BY_INSTRUMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Grouping:
    """A way to count together.  A key is a number that grows with time."""

    name: str
    key_of: Callable[[Transfer], int]
    key_at: Callable[[str, int], int]  # of a title and an instant
    label: Callable[[int], str]
    step: int = 1

    def keys(self, title: str, found: Collection[int], period: Period, now: int) -> list[int]:
        """Return the keys that were found, and those between them that the period has had so far.

        A night of clouds is a row of its own.  The years before the first transfer are none, nor are those since 1970
        where an instrument's clock has dated a night so.
        """
        first = max(min(found), self.key_at(title, period.start))
        last = self.key_at(title, max(min(period.end, now) - 1, period.start))
        return sorted({*found, *range(first, last + 1, self.step)})


def grouping(name: str, zone: tzinfo, nights: Callable[[str], Nights]) -> Grouping:
    """Return the grouping called ``name``; ``nights`` gives those of each title."""
    if name == BY_HOUR:
        return Grouping(
            name=name,
            key_of=lambda transfer: _hour(transfer.ended, zone),
            key_at=lambda _title, instant: _hour(instant, zone),
            label=lambda key: f"{clock_of(key, zone):%Y-%m-%d %H:%M %Z}",
            step=HOUR,
        )
    if name == BY_NIGHT:
        return Grouping(
            name=name,
            key_of=lambda transfer: nights(transfer.title).of(transfer).toordinal(),
            key_at=lambda title, instant: _night(nights(title), instant),
            label=_date,
        )
    if name == BY_MONTH:
        return Grouping(
            name=name,
            key_of=lambda transfer: _month(transfer.ended, zone),
            key_at=lambda _title, instant: _month(instant, zone),
            label=lambda key: f"{key // 12:04}-{key % 12 + 1:02}",
        )
    return Grouping(
        name=name,
        key_of=lambda transfer: clock_of(transfer.ended, zone).toordinal(),
        key_at=lambda _title, instant: clock_of(instant, zone).toordinal(),
        label=_date,
    )


def _night(nights: Nights, instant: int) -> int:
    try:
        return nights.holding(instant).toordinal()
    except OverflowError:  # the night that holds the first morning of all began before the calendar does
        return date.min.toordinal()


def _hour(instant: int, zone: tzinfo) -> int:
    clock = clock_of(instant, zone)
    return instant // SECOND * SECOND - (clock.minute * 60 + clock.second) * SECOND


def _month(instant: int, zone: tzinfo) -> int:
    clock = clock_of(instant, zone)
    return clock.year * 12 + clock.month - 1


def _date(key: int) -> str:
    return date.fromordinal(key).isoformat()
