"""What a sweep did and what it could not do, as a value."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archq.errors import DISK_FULL, ArchqError, ExitStatus, InputOutputError, from_os_error

if TYPE_CHECKING:
    from archq.names import WireName

# What needs a person first; all others after these.
_WORST_FIRST = (
    ExitStatus.INPUT_OUTPUT,
    ExitStatus.CONFIGURATION,
    ExitStatus.NOT_PERMITTED,
    ExitStatus.SOME_FAILED,
)
_MOST_EVENTS = 10  # told one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """Something that lasts until somebody mends it.  ``key`` stays the same meanwhile, numbers in ``message`` may not.

    ``begun`` says that its beginning has been told as an event.
    """

    key: str
    message: str
    begun: bool = False


def trouble_of(error: ArchqError | OSError, what: str) -> ArchqError:
    """Return ``error`` as one for an operator; ``what`` says what was tried.

    A full disk is an error of the disk: it is no use to try again before somebody has made room.
    """
    if isinstance(error, ArchqError):
        return error
    if error.errno in DISK_FULL:
        return InputOutputError(f"disk full: cannot {what}: {error.strerror}")
    return from_os_error(error, what)


@dataclass(slots=True)
class Report:
    """One sweep: its outcomes, counted by name; what happened; what lasts."""

    outcomes: Counter[str] = field(default_factory=Counter)
    events: list[str] = field(default_factory=list)
    lasting: list[Problem] = field(default_factory=list)
    statuses: set[ExitStatus] = field(default_factory=set)
    _left: dict[str, list[WireName]] = field(default_factory=dict)  # reason: arrivals

    def happened(self, message: str, status: ExitStatus = ExitStatus.DONE) -> None:
        """Take note of something that is told once."""
        self.events.append(message)
        self.statuses.add(status)

    def lasts(self, problem: Problem, status: ExitStatus = ExitStatus.DONE) -> None:
        """Take note of something that is told when it begins, and again from time to time."""
        self.lasting.append(problem)
        self.statuses.add(status)

    def left(self, wire: WireName, reason: str, status: ExitStatus) -> None:
        """Take note of an arrival that could not be dealt with and stays; many with one reason are one problem."""
        self._left.setdefault(reason, []).append(wire)
        self.statuses.add(status)

    def add(self, other: Report) -> None:
        """Take in what another process did."""
        self.outcomes += other.outcomes
        self.events += other.events
        self.lasting += other.lasting
        self.statuses |= other.statuses
        for reason, wires in other._left.items():
            self._left.setdefault(reason, []).extend(wires)

    @property
    def problems(self) -> list[Problem]:
        """All that lasts."""
        return self.lasting + [
            Problem(key=reason, message=f"{_counted(wires)}: {reason}") for reason, wires in self._left.items()
        ]

    @property
    def summary(self) -> str:
        """What was done, in numbers."""
        done = [f"{count} {outcome}" for outcome, count in sorted(self.outcomes.items()) if count]
        return ", ".join(done) or "nothing to do"

    @property
    def news(self) -> list[str]:
        """What happened, one sentence each, and of very much only so much as can be read."""
        if len(self.events) <= _MOST_EVENTS:
            return self.events
        return [*self.events[:_MOST_EVENTS], f"and {len(self.events) - _MOST_EVENTS} more: the transfer log has all"]

    @property
    def status(self) -> ExitStatus:
        """The exit status of it all."""
        worst = next((status for status in _WORST_FIRST if status in self.statuses), None)
        return worst or max(self.statuses, default=ExitStatus.DONE)


def _counted(wires: list[WireName]) -> str:
    return str(wires[0]) if len(wires) == 1 else f"{len(wires)} arrivals, such as {wires[0]}"
