"""How far the delivery of one file is (pure)."""

from __future__ import annotations

from enum import StrEnum

from archq.light import dataclass


class Phase(StrEnum):
    """What is known of the current try of a file at the destination."""

    WAITING = "waiting"  # nothing of it stands under its final names
    BEGUN = "begun"  # anything of it may be there
    UPLOADED = "uploaded"  # its data file is there whole, its control file is not
    SENT = "sent"  # the control file's last reply came: delivered


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """The durable part of a delivery, written by the shipper only.  Instants are nanoseconds since 1970."""

    phase: Phase = Phase.WAITING
    attempt: int = 1  # the try whose wire names are in use
    tries: int = 0  # how often its data file went, or began to go, over the wire
    started: int = 0  # when the last of them began
    seconds: float = 0.0  # the data file's last try on the wire
    sent: int = 0
    failures: int = 0  # in a row
    failed: int = 0  # when the last try failed
    next_try: int = 0
    reason: str = ""  # of the last failure
    expiries: int = 0  # how often maxftp ended a try that moved and cannot be resumed
    held: bool = False  # it cannot succeed as it is


NOT_BEGUN = FileState()
