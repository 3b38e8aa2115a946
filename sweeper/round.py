"""Filing some of the arrivals: inspect, claim, prepare and settle, a batch at a time."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archq import durable
from archq.errors import DISK_FULL, ConfigurationError, ExitStatus
from archq.quantities import format_duration
from archq.transferlog import REJECTED
from sweeper.filing import Filer
from sweeper.inspection import Letter, Refusal, Unsupported, Waiting, inspect
from sweeper.journal import Intent
from sweeper.planning import plan, plan_rejection
from sweeper.report import Report, trouble_of
from sweeper.settling import Decisions, OtherContentError, settle
from sweeper.tree import NotADirectoryOfOursError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from archq.names import WireName
    from sweeper.claim import Claim
    from sweeper.incoming import Sighting
    from sweeper.sweep import Sweeper

    Found = tuple[Sighting, Letter | Refusal]
    Plan = tuple[WireName, Letter | None, Intent | Refusal]

BATCH_FILES = 2000
BATCH_BYTES = 1 << 29
SYNC_EACH_BELOW = 8  # files: so few are synced one by one, more with one syncfs


@dataclass(slots=True)
class Findings:
    """What came of a round."""

    report: Report = field(default_factory=Report)
    incomplete: list[tuple[Sighting, str]] = field(default_factory=list)  # and what each lacks
    unsupported: list[tuple[WireName, str]] = field(default_factory=list)  # and why
    waiting: list[Letter] = field(default_factory=list)  # for room in the archive
    owing: list[str] = field(default_factory=list)  # paths of claims in which commands wait to be run

    def add(self, other: Findings) -> None:
        """Take in what another process found."""
        self.report.add(other.report)
        self.incomplete += other.incomplete
        self.unsupported += other.unsupported
        self.waiting += other.waiting
        self.owing += other.owing


class Round:
    """One pass over some arrivals.  Times are in nanoseconds since 1970."""

    def __init__(self, sweeper: Sweeper, returned: frozenset[WireName], now: int) -> None:
        """Begin it; ``returned`` were given back by a dead sweeper's claim, ``now`` is by the file server's clock."""
        self.sweeper = sweeper
        self.job = sweeper.job
        self.returned = returned
        self.now = now
        self.findings = Findings()
        self._skewed: set[str] = set()  # hosts whose clock is wrong

    def file(
        self,
        sightings: Iterable[Sighting],
        done: Callable[[int], None] = lambda _arrivals: None,
        *,
        first: int = BATCH_FILES,
    ) -> Findings:
        """File what is complete; return what was not, and what there is to tell.  ``done`` is called for each batch.

        The first one has ``first`` arrivals: of processes that begin with as many all but one wait for the logs' lock.
        """
        for batch in self._batches(sightings, first):
            self._file(batch)
            done(len(batch))
        return self.findings

    def refuse(self, claim: Claim, wire: WireName, reason: str) -> None:
        """Set aside what lies in ``claim`` under a wire name."""
        self._settle(claim, [self._set_aside(claim, wire, None, reason)], frozenset([wire]))

    @property
    def _report(self) -> Report:
        return self.findings.report

    def _batches(self, sightings: Iterable[Sighting], most: int) -> Iterator[list[Found]]:
        batch: list[Found] = []
        size = 0
        for sighting in sightings:
            if found := self._inspected(sighting):
                batch.append((sighting, found))
                size += found.size if isinstance(found, Letter) else 0
            if len(batch) >= most or size >= BATCH_BYTES:
                yield batch
                batch, size, most = [], 0, BATCH_FILES
        if batch:
            yield batch

    def _inspected(self, sighting: Sighting) -> Letter | Refusal | None:
        """Return what is ready to be claimed; take note of all else."""
        match self._looked_at(sighting):
            case Waiting(reason):
                self.findings.incomplete.append((sighting, reason))
            case Unsupported(reason):
                self.findings.unsupported.append((sighting.wire, reason))
            case found:
                return found
        return None

    def _looked_at(self, sighting: Sighting) -> Letter | Refusal | Waiting | Unsupported | None:
        if sighting.odd:
            return Refusal("not a regular file")
        if not (sighting.data and sighting.control):
            return Waiting("no data file" if sighting.control else "no control file")
        try:
            with self.sweeper.incoming.opened(sighting.place) as directory:
                return inspect(directory, sighting.wire, self.now)
        except OSError as error:
            remedy = "uploads have to be readable for this account (umask 027)"
            reason = f"cannot be read in {self.job.incoming}: {error.strerror}; {remedy}"
            self._report.left(sighting.wire, reason, ExitStatus.NOT_PERMITTED)
            return None

    def _file(self, batch: list[Found]) -> None:
        """Claim, prepare and settle one batch; what is not settled goes back."""
        if self.findings.waiting:
            self.findings.waiting += [found for _sighting, found in batch if isinstance(found, Letter)]
            return
        with self.sweeper.work.new_claim() as claim:
            mine = [(sighting.wire, found) for sighting, found in batch if self._is_taken(claim, sighting, found)]
            sync_each = len(mine) < SYNC_EACH_BELOW or not durable.can_sync_filesystem()
            filer = Filer(claim, self.sweeper.archive, self.sweeper.appearance, sync_each)
            with self._given_back_after_an_error(claim, filer):
                plans, replays = self._plans(mine)
                wishes = [wish for one in plans if (wish := self._wish(claim, filer, *one))]
                if not sync_each:
                    durable.sync_filesystem(self.sweeper.archive.descriptor)
            refused = self._settle(claim, wishes, replays)
            filer.discard()
            if refused:
                letters = {wire: found for wire, found in mine if isinstance(found, Letter)}
                late = [self._set_aside(claim, wire, letters[wire], reason) for wire, reason in refused.items()]
                self._settle(claim, late, replays)
            self.sweeper.archive.forget_empty()
            self._put_back(claim)
            self.findings.owing += claim.owing()

    @contextlib.contextmanager
    def _given_back_after_an_error(self, claim: Claim, filer: Filer) -> Iterator[None]:
        """Leave nothing behind: as long as there is no record, nobody would finish it."""
        try:
            yield
        except BaseException:
            claim.undo_set_aside()
            self._put_back(claim)
            filer.discard()
            raise

    def _is_taken(self, claim: Claim, sighting: Sighting, found: Letter | Refusal) -> bool:
        if isinstance(found, Letter):
            return claim.take(sighting.wire, sighting.place)
        try:
            return claim.take(sighting.wire, sighting.place, control=sighting.control, data=sighting.data)
        except ConfigurationError as error:
            self._report.left(sighting.wire, f"{found.reason}, but it {error}", ExitStatus.SOME_FAILED)
            return False

    def _plans(self, mine: list[tuple[WireName, Letter | Refusal]]) -> tuple[list[Plan], frozenset[WireName]]:
        """Return what should become of each arrival, and which of them came under a name that was logged before."""
        ledger = self.sweeper.ledger
        ledger.refresh()
        memory = ledger.recall(wire.id for wire, _found in mine)
        decisions = Decisions(memory, self.sweeper.trees)
        replays = {wire for wire, _found in mine if wire not in self.returned and memory.is_told(wire)}
        plans: list[Plan] = []
        for wire, found in mine:
            if isinstance(found, Refusal):
                plans.append((wire, None, found))
            else:
                plans.append((wire, found, self._planned(decisions, found)))
        return plans, frozenset(replays)

    def _planned(self, decisions: Decisions, letter: Letter) -> Intent | Refusal:
        planned = plan(letter, self.job, self.sweeper.rules, time.time_ns())
        if isinstance(planned, Refusal) or self.job.sweeps_any:
            return planned
        self._warn_of_clock(letter, planned)
        try:
            return decisions.repeated(planned) or planned
        except OtherContentError as error:
            return Refusal(str(error))

    def _warn_of_clock(self, letter: Letter, planned: Intent) -> None:
        skew, host = float(planned.outcome.facts.get("skew", 0)), letter.control.host or "its sender"
        if skew and host not in self._skewed:
            self._skewed.add(host)
            wrong = f"{format_duration(abs(skew))} {'behind' if skew > 0 else 'ahead'}"
            self._report.happened(f"the clock of {host} is {wrong}: the nights of its files are corrected for it")

    def _blocked(self, letter: Letter, path: str) -> Refusal | None:
        """Blame whoever named the directory: the sender's dir= is refused, a night's name is not his choice."""
        reason = f"{path} is a file or a symbolic link and not a directory"
        if self.sweeper.rules.chosen_by_sender(letter.control):
            return Refusal(reason)
        self._report.left(letter.wire, f"{reason}: mend that", ExitStatus.CONFIGURATION)
        return None

    def _wish(
        self, claim: Claim, filer: Filer, wire: WireName, letter: Letter | None, planned: Intent | Refusal
    ) -> Intent | None:
        """Prepare what was planned; None: it cannot be done now."""
        claim.beat()
        prepared = self._prepared(filer, letter, planned) if letter and isinstance(planned, Intent) else planned
        if isinstance(prepared, Refusal):
            return self._set_aside(claim, wire, letter, prepared.reason)
        return prepared

    def _prepared(self, filer: Filer, letter: Letter, planned: Intent) -> Intent | Refusal | None:
        try:
            if not self.findings.waiting:
                return filer.prepare(letter, planned)
        except NotADirectoryOfOursError as error:
            return self._blocked(letter, str(error.filename))
        except OSError as error:
            if error.errno not in DISK_FULL:
                trouble = trouble_of(error, f"file it in {self.job.archive}")
                self._report.left(letter.wire, f"{trouble}; it stays in {self.job.incoming}", trouble.status)
                return None
        self.findings.waiting.append(letter)
        return None

    def _set_aside(self, claim: Claim, wire: WireName, letter: Letter | None, reason: str) -> Intent:
        root, source = self.sweeper.rejected, claim.set_aside(wire, reason)
        return plan_rejection(wire, letter, reason, self.job, root=root, source=source, now=time.time_ns())

    def _settle(self, claim: Claim, wishes: list[Intent], replays: frozenset[WireName]) -> dict[WireName, str]:
        """Settle ``wishes``; return what has to be set aside after all, and why."""
        sweeper = self.sweeper
        settled = settle(
            claim, sweeper.ledger, sweeper.trees, wishes, log=sweeper.log, hook=sweeper.hook, replays=replays
        )
        self._report.outcomes += Counter(intent.outcome.outcome for intent in settled.done)
        for intent in settled.done:
            if intent.outcome.outcome == REJECTED:
                place = os.path.join(intent.root, intent.moves[0].target)
                message = f"{intent.wire} rejected: {intent.outcome.facts['reason']}; it is in {place}"
                self._report.happened(message, ExitStatus.SOME_FAILED)
        return settled.refused

    def _put_back(self, claim: Claim) -> None:
        for wire in claim.wires():
            with contextlib.suppress(FileExistsError):  # stays in the claim, where the next sweep's recovery sees to it
                claim.put_back(wire)
