"""What a shipper says about its queue, for `archq status` and for the shipper after it (pure)."""

from __future__ import annotations

from enum import StrEnum

from archq.light import dataclass


class QueuePhase(StrEnum):
    """Whether a queue's destination works."""

    WORKING = "working"
    WAITING = "waiting"  # a temporary error: one file probes it, at most a minute apart
    BLOCKED = "blocked"  # somebody has to mend something; probed all the same, every 15 minutes


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueState:
    """Instants are nanoseconds since 1970."""

    phase: QueuePhase = QueuePhase.WORKING
    failures: int = 0  # in a row
    since: int = 0
    next_try: int = 0
    reason: str = ""
