"""What a sweep did and could not do, as a value that becomes messages and an exit status."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archq.errors import ExitStatus
from archq.instants import SECOND
from archq.quantities import format_duration, format_size

if TYPE_CHECKING:
    from sweeper.inspection import Letter

# What needs a person first; all others after these.
_WORST_FIRST = (
    ExitStatus.INPUT_OUTPUT,
    ExitStatus.CONFIGURATION,
    ExitStatus.NOT_PERMITTED,
    ExitStatus.SOME_FAILED,
)


@dataclass(slots=True)
class Report:
    """One sweep's outcomes, counted by name, and its complaints."""

    outcomes: Counter[str] = field(default_factory=Counter)
    complaints: list[str] = field(default_factory=list)
    statuses: set[ExitStatus] = field(default_factory=set)

    def complain(self, message: str, status: ExitStatus) -> None:
        """Take note of something that an operator has to know."""
        self.complaints.append(message)
        self.statuses.add(status)

    def warn(self, message: str) -> None:
        """Take note of something that an operator should know, but that went well."""
        self.complaints.append(message)

    @property
    def status(self) -> ExitStatus:
        """The exit status of it all."""
        worst = next((status for status in _WORST_FIRST if status in self.statuses), None)
        return worst or max(self.statuses, default=ExitStatus.DONE)


def told_of_full_disk(archive: str, waiting: list[Letter], now: int) -> str:
    """Return e.g. ``archive disk full: 37 arrivals (148 GB) wait, oldest 2 h``."""
    size = format_size(sum(letter.control.size for letter in waiting))
    age = format_duration((now - min(letter.arrived for letter in waiting)) / SECOND)
    noun = "arrival waits" if len(waiting) == 1 else "arrivals wait"
    return f"archive disk full: {len(waiting)} {noun} ({size}), oldest {age}: make room in {archive}"
