"""Time stamps in a server's local time: file order settles which of the two autumn hours a stamp means."""

from __future__ import annotations

from datetime import datetime, timedelta
from functools import lru_cache

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import tzinfo

_MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"
MONTHS = {_MONTHS[at : at + 3]: at // 3 + 1 for at in range(0, 36, 3)}

# Lines are out of order, and clocks are set back, by less than this without going through an hour a second time.
STEP = 60  # seconds
_DAY = 86_400  # seconds


class ServerClock:
    """Turns the stamps of one log, given in file order, into seconds since 1970."""

    def __init__(self, zone: tzinfo) -> None:
        self.zone = zone
        self.latest = 0  # what the last stamp meant
        self.readings = lru_cache(maxsize=4096)(self._both_readings)

    def instant(self, year: int, month: int, day: int, time: bytes) -> int:
        """Return the instant of a stamp such as ``2026 11 1 01:30:00``; raise ValueError where there is none."""
        earlier, later = self.readings(year, month, day, int(time[:2]), int(time[3:5]))
        second = int(time[6:8])
        if second > 60:  # a leap second has this number
            raise ValueError(f"no such second: {second}")
        is_first = earlier == later or (earlier + second > self.latest - STEP and not self._is_after_change(later))
        self.latest = second + (earlier if is_first else later)
        return self.latest

    def _is_after_change(self, later: int) -> bool:
        """Tell whether the last stamp was after clocks were set back, given the second reading of a repeated minute."""
        return self.latest > later - _DAY and self._offset(self.latest) == self._offset(later)

    def _offset(self, instant: int) -> timedelta | None:
        return datetime.fromtimestamp(instant, self.zone).utcoffset()

    def _both_readings(self, year: int, month: int, day: int, hour: int, minute: int) -> tuple[int, int]:
        clock = datetime(year, month, day, hour, minute, tzinfo=self.zone)
        earlier, later = int(clock.timestamp()), int(clock.replace(fold=1).timestamp())
        return earlier, max(earlier, later)  # in spring's missing hour the second reading is the smaller one


class Calendar:
    """Finds out the years of stamps without one, given in file order: they grow where a date is an earlier one."""

    def __init__(self, year: int = 0) -> None:
        self.year = year
        self._day: int | None = None

    def year_of(self, month: int, day: int) -> int:
        """Return the year of the next stamp."""
        now = _day_number(month, day)
        if self._day is not None:
            self.year += _years_passed(self._day, now)
        self._day = now
        return self.year


def first_year(dates: Iterable[tuple[int, int]], latest: datetime) -> int:
    """Return the year of the first of ``dates`` (month and day, in file order), given that none is after ``latest``.

    A log that pauses for longer than a year cannot be told from one that does not.
    """
    calendar, last = Calendar(), (1, 1)
    for last in dates:
        calendar.year_of(*last)
    is_earlier = _day_number(*last) <= _day_number(latest.month, latest.day) + _BACK
    return max(latest.year - calendar.year - (not is_earlier), 1)


_BACK = 2  # days: a clock that is set back by less has not gone through a year
_DAYS_OF_MONTH = 31  # as good as any, as only an order is needed


def _day_number(month: int, day: int) -> int:
    return month * _DAYS_OF_MONTH + day


def _years_passed(before: int, now: int) -> int:
    if now < before - _BACK:
        return 1
    return -1 if now - before >= 12 * _DAYS_OF_MONTH - _BACK else 0  # from January back to December
