"""Arrivals that cannot be filed yet: they wait, until another try of the same file has made them useless."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from archq import durable
from archq.errors import ExitStatus
from archq.instants import SECOND
from archq.quantities import format_duration
from archq.transferlog import ERROR, STALE, SUPERSEDED
from sweeper.planning import plan_without_file
from sweeper.settling import settle

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archq.names import WireName
    from sweeper.incoming import Sighting
    from sweeper.ledger import Memory
    from sweeper.report import Report
    from sweeper.sweep import Sweeper

RESTING = 600.0  # seconds that an arrival must not have changed before it is taken for given up


class Leftovers:
    """What one pass over the incoming directory has to leave there, or may remove."""

    def __init__(self, sweeper: Sweeper, report: Report, log: str, now: int) -> None:
        """``now`` is by the file server's clock, in nanoseconds since 1970; ``log`` gets the lines."""
        self._sweeper = sweeper
        self._report = report
        self._log = log
        self._now = now
        self._incomplete: list[tuple[Sighting, str]] = []

    def keep_incomplete(self, sighting: Sighting, reason: str) -> None:
        """Take note of an arrival that lacks something, until :meth:`clear`."""
        self._incomplete.append((sighting, reason))

    def keep_unsupported(self, wire: WireName, reason: str) -> None:
        """Leave an arrival that a newer archq may understand."""
        self._log_once(wire, ERROR, reason)
        self._report.complain(f"{wire} stays in {self._sweeper.incoming.path}: {reason}", ExitStatus.TEMPORARY)

    def discard_probe(self, sighting: Sighting) -> None:
        """Remove what `archq doctor` sent to try the way: it is nobody's data.  It may still be at work on it."""
        whole = sighting.data and sighting.control
        if not sighting.odd and (whole or self._age(sighting) > RESTING):
            with self._sweeper.incoming.opened(sighting.place) as directory:
                durable.remove(str(sighting.wire.control), directory=directory)
                durable.remove(str(sighting.wire.data), directory=directory)

    def clear(self, sightings: Iterable[Sighting]) -> None:
        """Remove what another try has superseded; tell once of what has been incomplete for too long, and keep it."""
        resting = [(one, reason, age) for one, reason in self._incomplete if (age := self._age(one)) > RESTING]
        if not resting:
            return
        latest: dict[str, int] = {}
        for sighting in sightings:
            latest[sighting.wire.id] = max(sighting.wire.attempt, latest.get(sighting.wire.id, 0))
        self._sweeper.ledger.refresh()
        memory = self._sweeper.ledger.recall(one.wire.id for one, _reason, _age in resting)
        useless = {one.wire: why for one, _reason, _age in resting if (why := self._useless(one, latest, memory))}
        self._supersede({one: useless[one.wire] for one, _reason, _age in resting if one.wire in useless})
        for one, reason, age in resting:
            if one.wire not in useless and age > self._sweeper.job.sweeper.stale:
                self._tell_of_stale(one, f"{reason} for {format_duration(age)}")

    def _useless(self, sighting: Sighting, latest: dict[str, int], memory: Memory) -> str | None:
        if sighting.wire.id in memory.settled:
            return "its id was filed"
        if latest[sighting.wire.id] > sighting.wire.attempt and not self._sweeper.work.holds(sighting.wire):
            return "a later try has come"
        return None

    def _supersede(self, useless: dict[Sighting, str]) -> None:
        if not useless:
            return
        sweeper, now = self._sweeper, time.time_ns()
        with sweeper.work.new_claim() as claim:
            wishes = [
                plan_without_file(one.wire, SUPERSEDED, reason, sweeper.job, now)
                for one, reason in useless.items()
                if claim.take(one.wire, one.place, control=one.control, data=one.data)
            ]
            replays = frozenset(wish.wire for wish in wishes)
            done = settle(claim, sweeper.ledger, sweeper.tree, wishes, log=self._log, replays=replays)
            self._report.outcomes[SUPERSEDED] += len(done)

    def _tell_of_stale(self, sighting: Sighting, reason: str) -> None:
        if self._log_once(sighting.wire, STALE, reason):
            self._report.warn(f"{sighting.wire} is stale: {reason}; it stays in {self._sweeper.incoming.path}")

    def _log_once(self, wire: WireName, outcome: str, reason: str) -> bool:
        """Append a line that is not final, unless it stands there already; return whether it is new."""
        ledger = self._sweeper.ledger
        with ledger.held():
            if ledger.recall([wire.id]).is_told(wire, [outcome]):
                return False
            told = plan_without_file(wire, outcome, reason, self._sweeper.job, time.time_ns()).outcome
            ledger.append([told], self._log)
            return True

    def _age(self, sighting: Sighting) -> float:
        """Return how many seconds ago the arrival changed, by the file server's clock."""
        changed = 0
        with self._sweeper.incoming.opened(sighting.place) as directory:
            for name in (sighting.wire.data, sighting.wire.control):
                with contextlib.suppress(FileNotFoundError):
                    facts = os.stat(str(name), dir_fd=directory, follow_symlinks=False)
                    changed = max(changed, facts.st_mtime_ns)
        return (self._now - changed) / SECOND if changed else 0.0
