"""How a queue's destination is: working, waiting or blocked, since when, why, and at which file's fault."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from archq.instants import SECOND
from archq.light import replace
from archq.shipping.schedule import queue_wait
from archq.spool.queuestate import QueuePhase, QueueState

if TYPE_CHECKING:
    from collections.abc import Callable

    from archq.shipping.schedule import Key
    from archq.shipping.worker import Failure


class QueueHealth:
    """One queue's health, as its shipper finds it; ``record`` makes each change known to others."""

    def __init__(
        self, queue: str, state: QueueState, *, record: Callable[[QueueState], None], complain: Callable[[str], None]
    ) -> None:
        """Begin with ``state``, what the last shipper said: it is looked at anew at once."""
        self._queue = queue
        self.state = replace(state, next_try=0)
        self._record = record
        self._complain = complain
        self._suspects: set[Key] = set()  # files at which the queue failed, since it last worked
        self._culprits: set[Key] = set()  # those of them without which it worked

    @property
    def works(self) -> bool:
        """Whether the destination works, as far as is known."""
        return self.state.phase is QueuePhase.WORKING

    def give_another_chance(self) -> None:
        """Let one file probe the destination now, whatever was found before."""
        self.state = replace(self.state, next_try=0)

    def assume_working(self) -> None:
        """Take the destination for working until something proves that it does not."""
        self.state = replace(self.state, phase=QueuePhase.WORKING)

    def is_at_fault(self, key: Key, failure: Failure) -> bool:
        """Tell whether the queue failed at this file and worked with others: then the file itself is at fault."""
        return failure.connected and key in self._culprits

    def failed(self, key: Key, failure: Failure) -> None:
        """Take note of an error that concerns the whole queue."""
        if failure.connected:  # else no file has anything to do with it
            self._suspects.add(key)
        now, before = time.time_ns(), self.state
        phase = QueuePhase.BLOCKED if failure.permanent else QueuePhase.WAITING
        failures = before.failures + 1
        pause = queue_wait(failures, permanent=failure.permanent, chance=random.random())  # noqa: S311
        self.state = QueueState(
            phase=phase,
            failures=failures,
            since=before.since or now,
            next_try=now + round(pause * SECOND),
            reason=failure.message,
        )
        self._record(self.state)
        if (before.phase, _gist(before.reason)) != (phase, _gist(failure.message)):
            advice = f"; archq doctor -d {self._queue} says what to do" if failure.permanent else ""
            self._complain(f"queue {self._queue} is {phase}: {failure.message}{advice}")

    def worked(self, key: Key) -> bool:
        """Take note of a delivery; return whether that ended an outage."""
        self._culprits = (self._culprits | self._suspects) - {key}
        self._suspects.clear()
        if self.state == QueueState():
            return False
        self.state = QueueState()
        self._record(self.state)
        return True


def _gist(message: str) -> str:
    """Return what went wrong without the file with which it did: each probe takes another one."""
    return message.rpartition(": ")[2]
