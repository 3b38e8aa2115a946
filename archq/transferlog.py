"""The transfer log: one outcome of one arrival, as a value and as a line.

A line is a time, an outcome's name and ``key=value`` facts, encoded as in the control file with blanks encoded too.
"""

from __future__ import annotations

from archq import fields
from archq.errors import MalformedError
from archq.instants import format_instant, parse_instant
from archq.light import dataclass, made_often

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from archq.control import ControlFile

FILED = "filed"
DUPLICATE = "duplicate"
CONFLICT = "conflict"
REJECTED = "rejected"
SUPERSEDED = "superseded"
SWEPT = "swept"
STALE = "stale"
ERROR = "error"

FINAL = frozenset({FILED, DUPLICATE, CONFLICT, REJECTED, SUPERSEDED, SWEPT})  # an arrival gets exactly one of these
PASSING = frozenset({STALE, ERROR})


@made_often
@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What became of one arrival at ``time`` (nanoseconds since 1970, kept to the millisecond)."""

    time: int
    outcome: str
    facts: Mapping[str, str]

    def __post_init__(self) -> None:
        if self.outcome[:1] in ("", "-") or not fields.consists_of(self.outcome, "abcdefghijklmnopqrstuvwxyz-"):
            raise MalformedError(f"not an outcome: {self.outcome[:40]!r}")


def format_outcome(outcome: Outcome) -> bytes:
    """Return the line, its newline included."""
    facts = f" {fields.format_words(outcome.facts)}" if outcome.facts else ""
    return f"{format_instant(outcome.time, 3)} {outcome.outcome}{facts}\n".encode()


def parse_outcome(line: bytes) -> Outcome:
    """Return what a line says; raise MalformedError when it is none of ours, or cut short (no newline at its end)."""
    try:
        time, outcome, *pairs = _whole_line(line).split(" ", 2)
    except ValueError as error:
        raise MalformedError(f"not a line of a transfer log: {line[:80]!r}") from error
    return Outcome(time=parse_instant(time), outcome=outcome, facts=fields.parse_words(pairs[0]) if pairs else {})


def _whole_line(line: bytes) -> str:
    if not line.endswith(b"\n"):
        raise MalformedError(f"a line that was cut short: {line[:80]!r}")
    return line[:-1].decode()


def facts_of(control: ControlFile) -> dict[str, str]:
    """Return the facts that every outcome tells about the file itself, in the log's order."""
    facts: dict[str, str | None] = {
        "size": str(control.size),
        "queued": format_instant(control.queued, 3),
        "started": None if control.started is None else format_instant(control.started, 3),
        "seconds": None if control.seconds is None else f"{control.seconds:.3f}",
        "tries": None if control.tries is None else str(control.tries),
        "host": control.host,
        "spool": control.spool,
    }
    return {key: value for key, value in facts.items() if value is not None}
