"""One rate limit for all connections of a queue."""

from __future__ import annotations

import fcntl
import os
import struct
import time

_CLOCK = struct.Struct("=d")
_SLICE = 0.25  # seconds that one block may take: progress shows, and no burst fills the link


class Throttle:
    """Lets so many bytes a second pass, counted over every process that inherits it.

    They share one clock: when the bytes that were let pass so far will have gone at that rate.
    """

    def __init__(self, rate: int | None) -> None:
        """``rate`` is in bytes a second, None for no limit."""
        self._rate = rate
        self._clock = os.memfd_create("archq-rate-limit")
        os.pwrite(self._clock, _CLOCK.pack(0.0), 0)

    def block(self, size: int) -> int:
        """Return how many of ``size`` bytes to send at once."""
        return size if self._rate is None else max(1, min(size, round(self._rate * _SLICE)))

    def wait(self, count: int) -> None:
        """Return when ``count`` more bytes may have gone."""
        if self._rate is not None:
            time.sleep(max(0.0, self._book(count / self._rate) - time.monotonic()))

    def _book(self, seconds: float) -> float:
        # A record lock is the process's own, and the kernel frees it when a worker is killed.
        fcntl.lockf(self._clock, fcntl.LOCK_EX)
        try:
            booked: float = _CLOCK.unpack(os.pread(self._clock, _CLOCK.size, 0))[0]
            done = max(time.monotonic(), booked) + seconds
            os.pwrite(self._clock, _CLOCK.pack(done), 0)
        finally:
            fcntl.lockf(self._clock, fcntl.LOCK_UN)
        return done

    def close(self) -> None:
        """Forget the clock."""
        os.close(self._clock)
