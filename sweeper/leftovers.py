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
from archq.transferlog import ERROR, FILED, STALE, SUPERSEDED, SWEPT
from sweeper.planning import plan_without_file
from sweeper.report import Problem
from sweeper.settling import settle

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from archq.names import WireName
    from sweeper.incoming import Incoming, Sighting
    from sweeper.round import Findings
    from sweeper.sweep import Sweeper

    Left = tuple[WireName, str, float]  # what it lacks, and for how many seconds

RESTING = 600.0  # seconds that an arrival must not have changed before it is taken for given up


def discard_probes(incoming: Incoming, now: int) -> None:
    """Remove what `archq doctor` sent to try the way, which is nobody's data; but not while it may be at work on it."""
    for probe in incoming.probes():
        whole = probe.data and probe.control
        if not probe.odd and (whole or age_of(incoming, probe, now) > RESTING):
            with incoming.opened(probe.place) as directory:
                durable.remove(str(probe.wire.control), directory=directory)
                durable.remove(str(probe.wire.data), directory=directory)


def clear(sweeper: Sweeper, findings: Findings, arrivals: Iterable[Sighting], now: int) -> None:
    """Remove what another try has superseded, and tell of what has to stay."""
    for wire, reason in findings.unsupported:
        _log_once(sweeper, ERROR, {wire: reason})
        findings.report.left(wire, f"stays in {sweeper.incoming.path}: {reason}", ExitStatus.TEMPORARY)
    ages = [(one, reason, age_of(sweeper.incoming, one, now)) for one, reason in findings.incomplete]
    resting = [(one, reason, age) for one, reason, age in ages if age > RESTING]
    useless = _useless(sweeper, [one for one, _reason, _age in resting], arrivals) if resting else {}
    findings.report.outcomes[SUPERSEDED] += _supersede(sweeper, useless)
    left = [(one.wire, reason, age) for one, reason, age in resting if one not in useless]
    stale = [one for one in (*_cut_off(sweeper, now), *left) if one[2] > sweeper.job.sweeper.stale]
    if stale:
        _tell_of_stale(sweeper, stale, findings)


def _cut_off(sweeper: Sweeper, now: int) -> Iterator[Left]:
    """Yield the uploads that have not come to their end; whoever sent one may go on with it, so that it stays.

    Of a file that was filed meanwhile nobody has to: these are removed.  They were no arrivals, and get no line.
    """
    found = [(wire, (now - changed) / SECOND) for wire, changed in sweeper.incoming.unfinished(sweeper.job.wants)]
    settled = _settled(sweeper, {wire.id for wire, age in found if age > RESTING})
    for wire, age in found:
        is_useless = age > RESTING and wire.id in settled
        if not (is_useless and _is_removed(sweeper.incoming, wire)):
            yield wire.data, "no more of its upload has come", age


def _settled(sweeper: Sweeper, ids: Collection[str]) -> Collection[str]:
    """Return of which ids nothing more has to be filed; or moved, where that is all that is done with them."""
    if not ids:
        return ()
    sweeper.ledger.refresh()
    memory = sweeper.ledger.recall(ids)
    if sweeper.job.sweeps_any:
        return {file_id for (file_id, _attempt), outcomes in memory.told.items() if SWEPT in outcomes}
    return memory.settled


def _is_removed(incoming: Incoming, wire: WireName) -> bool:
    try:
        durable.remove(wire.part, directory=incoming.descriptor)
    except OSError:  # a directory, or one that belongs to others: it stays, and is told
        return False
    return True


def age_of(incoming: Incoming, sighting: Sighting, now: int) -> float:
    """Return how many seconds ago an arrival changed, by the file server's clock; 0 where it is gone."""
    changed = 0
    with incoming.opened(sighting.place) as directory:
        for name in (sighting.wire.data, sighting.wire.control):
            with contextlib.suppress(FileNotFoundError):
                changed = max(changed, os.stat(str(name), dir_fd=directory, follow_symlinks=False).st_mtime_ns)
    return (now - changed) / SECOND if changed else 0.0


def _useless(sweeper: Sweeper, resting: list[Sighting], arrivals: Iterable[Sighting]) -> dict[Sighting, str]:
    """Return which of the incomplete arrivals nobody will complete, and why."""
    latest = {one.wire.id: one.wire.attempt for one in resting}
    for one in arrivals:
        if one.wire.id in latest:
            latest[one.wire.id] = max(one.wire.attempt, latest[one.wire.id])
    settled = _settled(sweeper, {one.wire.id for one in resting})
    reason = f"its id was {SWEPT if sweeper.job.sweeps_any else FILED}"
    useless = {one: reason for one in resting if one.wire.id in settled}
    for one in resting:
        # One whose control file another sweeper of ours has just taken is not incomplete at all.
        if one not in useless and latest[one.wire.id] > one.wire.attempt and not sweeper.work.holds(one.wire):
            useless[one] = "a later try has come"
    return useless


def _supersede(sweeper: Sweeper, useless: dict[Sighting, str]) -> int:
    if not useless:
        return 0
    now = time.time_ns()
    with sweeper.work.new_claim() as claim:
        wishes = [
            plan_without_file(one.wire, SUPERSEDED, reason, sweeper.job, now)
            for one, reason in useless.items()
            if claim.take(one.wire, one.place, control=one.control, data=one.data)
        ]
        replays = frozenset(wish.wire for wish in wishes)
        return len(settle(claim, sweeper.ledger, sweeper.trees, wishes, log=sweeper.log, replays=replays).done)


def _tell_of_stale(sweeper: Sweeper, stale: list[Left], findings: Findings) -> None:
    reasons = {wire: f"{reason} for {format_duration(age)}" for wire, reason, age in stale}
    place = sweeper.incoming.path
    for wire in _log_once(sweeper, STALE, reasons):
        findings.report.happened(f"{wire} is stale: {reasons[wire]}; it stays in {place}")
    oldest = max(stale, key=lambda one: one[2])
    message = f"{len(reasons)} incomplete in {place}, the oldest {oldest[0]}: {reasons[oldest[0]]}"
    findings.report.lasts(Problem(key=f"incomplete arrivals in {place}", message=message, begun=True))


def _log_once(sweeper: Sweeper, outcome: str, reasons: dict[WireName, str]) -> list[WireName]:
    """Append lines that are not final, where they do not stand already; return for which they are new."""
    ledger, now = sweeper.ledger, time.time_ns()
    with ledger.held():
        memory = ledger.recall(wire.id for wire in reasons)
        new = [wire for wire in reasons if not memory.is_told(wire, [outcome])]
        ledger.append(
            (plan_without_file(wire, outcome, reasons[wire], sweeper.job, now).outcome for wire in new), sweeper.log
        )
    return new
