"""How far the delivery of one file is, as a value and as text (pure)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import StrEnum

from archq.errors import MalformedError
from archq.fields import format_lines, parse_lines


class Phase(StrEnum):
    """What is known of the current try of a file at the destination."""

    WAITING = "waiting"  # nothing of it was sent
    BEGUN = "begun"  # something of it may be there
    UPLOADED = "uploaded"  # its data file is there whole, its control file was not begun
    SENT = "sent"  # the control file's last reply came: delivered


@dataclass(frozen=True, slots=True, kw_only=True)
class FileState:
    """The durable part of a delivery.  Instants are nanoseconds since 1970."""

    phase: Phase = Phase.WAITING
    attempt: int = 1  # the try whose wire names are in use
    failures: int = 0  # in a row
    expiries: int = 0  # how often maxftp ended a try that moved and could not be resumed
    next_try: int = 0
    reason: str = ""  # why it waits, or is held
    held: bool = False
    sent: int = 0
    seconds: float = 0.0  # the data file's last try on the wire


def format_state(state: FileState) -> str:
    """Return ``state`` as text; what has its default value is left out."""
    default = FileState()
    changed = (item.name for item in fields(state) if getattr(state, item.name) != getattr(default, item.name))
    return format_lines((name, str(getattr(state, name))) for name in changed)


def parse_state(text: str) -> FileState:
    """Return the state that :func:`format_state` wrote; raise MalformedError for another text."""
    pairs = parse_lines(text) if text else {}
    try:
        return FileState(
            phase=Phase(pairs.get("phase", Phase.WAITING)),
            attempt=int(pairs.get("attempt", "1")),
            failures=int(pairs.get("failures", "0")),
            expiries=int(pairs.get("expiries", "0")),
            next_try=int(pairs.get("next_try", "0")),
            reason=pairs.get("reason", ""),
            held=pairs.get("held") == "True",
            sent=int(pairs.get("sent", "0")),
            seconds=float(pairs.get("seconds", "0")),
        )
    except ValueError as error:
        raise MalformedError(f"not a file's state: {error}") from error
