"""Whether data have arrived lately: the newest archived file, and how old it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archq.console import printable
from archq.instants import SECOND
from archq.quantities import format_duration
from logsum.ledger import ARCHIVED
from logsum.period import HOUR, clock_of
from logsum.problems import Problems
from logsum.readers.transferlog import read_directory

if TYPE_CHECKING:
    from datetime import tzinfo

    from logsum.events import Verdict
    from logsum.sources import Scope


_AHEAD = 24 * HOUR  # a line from later than that has a wrong time, and would hide for ever that nothing comes


@dataclass(frozen=True, slots=True, kw_only=True)
class Freshness:
    """How old the newest file is at ``now``, and whether that is too old.  ``limit`` is in seconds."""

    newest: Verdict | None
    now: int
    limit: float

    @property
    def age(self) -> float:
        """Seconds since the newest file arrived; what a clock puts into the future has just done so."""
        return max(self.now - _arrival(self.newest), 0) / SECOND if self.newest else float("inf")

    @property
    def is_late(self) -> bool:
        """Whether nothing has come for longer than the limit."""
        return self.age > self.limit

    def sentence(self, instrument: str, zone: tzinfo) -> str:
        """Say it in one line."""
        limit = format_duration(self.limit)
        if not self.newest:
            return f"{instrument}: no file has ever arrived, and one was expected within {limit}"
        clock = f"{clock_of(min(_arrival(self.newest), self.now), zone):%Y-%m-%d %H:%M:%S %Z}"
        what = f"{instrument}: the newest file arrived {format_duration(self.age)} ago, at {clock}"
        return f"{what}: {printable(self.newest.path or '')}{f'; expected within {limit}' if self.is_late else ''}"


def look(scope: Scope, now: int, limit: float) -> tuple[Freshness, Problems]:
    """Find the newest file.  Old logs are read only where the recent ones tell of none."""
    for since in (now - round(limit * SECOND), 0):
        problems = Problems()
        if newest := _newest(scope, since, now, problems):
            break
    return Freshness(newest=newest, now=now, limit=limit), problems


def _newest(scope: Scope, since: int, now: int, problems: Problems) -> Verdict | None:
    archived = (
        verdict
        for directory in scope.directories
        for verdict in read_directory(directory, since, problems)
        if verdict.outcome in ARCHIVED and scope.title_of(verdict.instrument) and verdict.time < now + _AHEAD
    )
    return max(archived, key=_arrival, default=None)


def _arrival(verdict: Verdict) -> int:
    """Return when a file arrived: before it was filed, whatever its sender's clock says."""
    return min(verdict.ended, verdict.time)
