"""Time stamps in a server's local time: file order settles which of the two autumn hours a stamp means."""

from __future__ import annotations

from datetime import datetime
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import tzinfo

_MONTHS = b"JanFebMarAprMayJunJulAugSepOctNovDec"
MONTHS = {_MONTHS[at : at + 3]: at // 3 + 1 for at in range(0, 36, 3)}

# A clock that is set back by less than this has not gone through the repeated hour a second time.
_STEP = 600  # seconds


class ServerClock:
    """Turns the stamps of one log, given in file order, into seconds since 1970."""

    def __init__(self, zone: tzinfo) -> None:
        self._zone = zone
        self._latest = 0
        self._readings = lru_cache(maxsize=64)(self._both_readings)

    def instant(self, year: bytes, month: bytes, day: bytes, time: bytes) -> int:
        """Return the instant of a stamp such as ``2026 Nov 1 01:30:00``; raise ValueError where there is none."""
        earlier, later = self._readings(int(year), MONTHS.get(month, 0), int(day), int(time[:2]), int(time[3:5]))
        second = int(time[6:])
        instant = earlier + second if earlier + second > self._latest - _STEP else later + second
        self._latest = instant
        return instant

    def _both_readings(self, year: int, month: int, day: int, hour: int, minute: int) -> tuple[int, int]:
        clock = datetime(year, month, day, hour, minute, tzinfo=self._zone)
        earlier, later = int(clock.timestamp()), int(clock.replace(fold=1).timestamp())
        return earlier, max(earlier, later)  # in spring's missing hour the second reading is the smaller one
