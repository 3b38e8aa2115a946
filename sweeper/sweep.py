"""One sweep, from the incoming directory to the archive: see, inspect, claim, prepare and settle, batch by batch."""

from __future__ import annotations

import contextlib
import os
import time
from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, Self

from archq import durable
from archq.errors import DISK_FULL, ConfigurationError, ExitStatus, from_os_error
from archq.names import PROBE_INSTRUMENT
from archq.quantities import format_duration
from archq.transferlog import DUPLICATE, REJECTED
from sweeper import claim as claims
from sweeper.claim import WorkPlace
from sweeper.filing import Filer, appearance_of
from sweeper.incoming import Incoming
from sweeper.inspection import Letter, Refusal, Unsupported, Waiting, inspect
from sweeper.journal import Intent
from sweeper.ledger import Ledger
from sweeper.leftovers import Leftovers
from sweeper.planning import plan, plan_rejection, rules_of
from sweeper.recovery import recover
from sweeper.report import Report, told_of_full_disk
from sweeper.settling import Decisions, OtherContentError, settle
from sweeper.tree import NotADirectoryOfOursError, Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archq.names import WireName
    from sweeper.claim import Claim
    from sweeper.incoming import Sighting
    from sweeper.job import Job

    Found = tuple[Sighting, Letter | Refusal]
    Forecast = tuple[WireName, Letter | None, Intent | Refusal | None]

BATCH_FILES = 1000
BATCH_BYTES = 1 << 29
SYNC_EACH_BELOW = 8  # files: so few are synced one by one, more with one syncfs


class Sweeper:
    """The open directories, logs and rules of one job."""

    def __init__(self, job: Job) -> None:
        """Open everything a sweep needs; raise ArchqError where something is missing."""
        self.job = job
        self.rules = rules_of(job)
        self.appearance = appearance_of(job.instrument)
        with contextlib.ExitStack() as stack:
            self.incoming = stack.enter_context(Incoming(job.incoming))
            self.archive = stack.enter_context(Tree(job.archive, prepare=self.appearance.give_directory))
            self.work = stack.enter_context(WorkPlace(self.incoming, job.sweeper.work))
            self.ledger = stack.enter_context(Ledger(job.logs))
            self._trees = {job.archive: self.archive}
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def sweep(self) -> Report:
        """File everything that is complete, and say what could not be done."""
        return _Round(self).run()

    def tree(self, root: str) -> Tree:
        """Return the directories below ``root``, opened once."""
        if root not in self._trees:
            self._trees[root] = self._stack.enter_context(Tree(root))
        return self._trees[root]

    @cached_property
    def rejected(self) -> str:
        """Where rejected arrivals are set aside: on the incoming directory's filesystem."""
        place = self.job.sweeper.rejected or os.path.join(self.incoming.path, claims.REJECTED)
        path, descriptor = claims.open_private(self.incoming, place, "rejected")
        os.close(descriptor)
        return path


class _Round:
    """One pass over the incoming directory."""

    def __init__(self, sweeper: Sweeper) -> None:
        self.sweeper = sweeper
        self.job = sweeper.job
        self.report = Report()
        self.now = sweeper.work.now()
        self.log = self.job.logs.path(time.time_ns())
        self.returned: frozenset[WireName] = frozenset()
        self.leftovers = Leftovers(sweeper, self.report, self.log, self.now)
        self.waiting: list[Letter] = []  # for room in the archive
        self.skewed: set[str] = set()  # hosts whose clock is wrong

    def run(self) -> Report:
        self.returned = recover(self.sweeper.work, self.sweeper.tree, self.report, self._refuse_one)
        sightings = self.sweeper.incoming.sightings(self.job.wants)
        for batch in self._batches(sightings):
            self._file(batch)
        self.leftovers.clear(sightings)
        if self.waiting:
            message = told_of_full_disk(self.job.archive, self.waiting, self.now)
            self.report.complain(message, ExitStatus.INPUT_OUTPUT)
        return self.report

    def _batches(self, sightings: list[Sighting]) -> Iterator[list[Found]]:
        batch: list[Found] = []
        size = 0
        for sighting in sightings:
            if found := self._inspected(sighting):
                batch.append((sighting, found))
                size += found.size if isinstance(found, Letter) else 0
            if len(batch) >= BATCH_FILES or size >= BATCH_BYTES:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _inspected(self, sighting: Sighting) -> Letter | Refusal | None:
        """Return what is ready to be claimed; deal with all else."""
        if sighting.wire.instrument == PROBE_INSTRUMENT:
            self.leftovers.discard_probe(sighting)
            return None
        match self._looked_at(sighting):
            case Waiting(reason):
                self.leftovers.keep_incomplete(sighting, reason)
            case Unsupported(reason):
                self.leftovers.keep_unsupported(sighting.wire, reason)
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
            what = f"cannot read {sighting.wire.control}: {error.strerror}"
            remedy = "uploads have to be readable for this account (umask 027)"
            self.report.complain(f"{what}; {remedy}", ExitStatus.NOT_PERMITTED)
            return None

    def _file(self, batch: list[Found]) -> None:
        """Claim, prepare and settle one batch; what is not settled goes back."""
        if self.waiting:
            self.waiting += [found for _sighting, found in batch if isinstance(found, Letter)]
            return
        with self.sweeper.work.new_claim() as claim:
            mine = [(sighting.wire, found) for sighting, found in batch if self._is_taken(claim, sighting, found)]
            sync_each = len(mine) < SYNC_EACH_BELOW or not durable.can_sync_filesystem()
            filer = Filer(claim, self.sweeper.archive, self.sweeper.appearance, sync_each)
            with self._given_back_after_an_error(claim, filer):
                forecasts, replays = self._forecasts(mine)
                wishes = [wish for one in forecasts if (wish := self._wish(claim, filer, *one))]
                if not sync_each:
                    durable.sync_filesystem(self.sweeper.archive.descriptor)
            self._settle(claim, wishes, replays)
            filer.discard()
            self.sweeper.archive.forget_empty()
            self._put_back(claim)

    @contextlib.contextmanager
    def _given_back_after_an_error(self, claim: Claim, filer: Filer) -> Iterator[None]:
        """Leave nothing behind: as long as there is no record, nobody would finish it."""
        try:
            yield
        except BaseException:
            filer.discard()
            claim.undo_set_aside()
            self._put_back(claim)
            raise

    def _is_taken(self, claim: Claim, sighting: Sighting, found: Letter | Refusal) -> bool:
        if isinstance(found, Letter):
            return claim.take(sighting.wire, sighting.place)
        try:
            return claim.take(sighting.wire, sighting.place, control=sighting.control, data=sighting.data)
        except ConfigurationError as error:
            self.report.complain(f"{sighting.wire}: {found.reason}, but {error}", ExitStatus.SOME_FAILED)
            return False

    def _forecasts(self, mine: list[tuple[WireName, Letter | Refusal]]) -> tuple[list[Forecast], frozenset[WireName]]:
        """Return what should become of each arrival, and which of them came under a name that was logged before."""
        ledger = self.sweeper.ledger
        ledger.refresh()
        memory = ledger.recall(wire.id for wire, _found in mine)
        decisions = Decisions(memory, self.sweeper.tree)
        replays = {wire for wire, _found in mine if wire not in self.returned and memory.is_told(wire)}
        forecasts: list[Forecast] = []
        for wire, found in mine:
            if isinstance(found, Refusal):
                forecasts.append((wire, None, found))
            else:
                forecasts.append((wire, found, self._forecast(decisions, found)))
        return forecasts, frozenset(replays)

    def _forecast(self, decisions: Decisions, letter: Letter) -> Intent | Refusal | None:
        planned = plan(letter, self.job, self.sweeper.rules, time.time_ns())
        if isinstance(planned, Refusal):
            return planned
        self._warn_of_clock(letter, planned)
        try:
            decided = decisions.decide(planned)
        except OtherContentError as error:
            return Refusal(str(error))
        except NotADirectoryOfOursError as error:
            return self._blocked(letter, str(error.filename))
        return decided if decided.outcome.outcome == DUPLICATE else planned

    def _warn_of_clock(self, letter: Letter, planned: Intent) -> None:
        skew, host = float(planned.outcome.facts.get("skew", 0)), letter.control.host or "its sender"
        if skew and host not in self.skewed:
            self.skewed.add(host)
            wrong = f"{format_duration(abs(skew))} {'behind' if skew > 0 else 'ahead'}"
            self.report.warn(f"the clock of {host} is {wrong}: the nights of its files are corrected for it")

    def _blocked(self, letter: Letter, path: str) -> Refusal | None:
        """Blame whoever named the directory: the sender's dir= is refused, a night's name is not his choice."""
        reason = f"{path} is a file or a symbolic link and not a directory"
        if self.sweeper.rules.chosen_by_sender(letter.control):
            return Refusal(reason)
        self.report.complain(f"{letter.wire} waits: {reason}: mend that", ExitStatus.CONFIGURATION)
        return None

    def _wish(
        self, claim: Claim, filer: Filer, wire: WireName, letter: Letter | None, forecast: Intent | Refusal | None
    ) -> Intent | None:
        """Prepare what was forecast; None: it cannot be done now."""
        claim.beat()
        if letter and isinstance(forecast, Intent):
            forecast = self._made(filer, letter, forecast)
        if isinstance(forecast, Refusal):
            return self._set_aside(claim, wire, letter, forecast.reason)
        return forecast

    def _made(self, filer: Filer, letter: Letter, planned: Intent) -> Intent | Refusal | None:
        try:
            if not self.waiting:
                return filer.prepare(letter, planned)
        except OSError as error:
            if error.errno not in DISK_FULL:
                trouble = from_os_error(error, f"file {letter.wire} in {self.job.archive}")
                self.report.complain(f"{trouble}; it stays in {self.job.incoming}", trouble.status)
                return None
        self.waiting.append(letter)
        return None

    def _set_aside(self, claim: Claim, wire: WireName, letter: Letter | None, reason: str) -> Intent:
        root, source = self.sweeper.rejected, claim.set_aside(wire, reason)
        return plan_rejection(wire, letter, reason, self.job, root=root, source=source, now=time.time_ns())

    def _settle(self, claim: Claim, wishes: list[Intent], replays: frozenset[WireName]) -> None:
        done = settle(claim, self.sweeper.ledger, self.sweeper.tree, wishes, log=self.log, replays=replays)
        self.report.outcomes += Counter(intent.outcome.outcome for intent in done)
        for intent in done:
            if intent.outcome.outcome == REJECTED:
                place = os.path.join(intent.root, intent.moves[0].target)
                self.report.complain(
                    f"{intent.wire} rejected: {intent.outcome.facts['reason']}; it is in {place}",
                    ExitStatus.SOME_FAILED,
                )

    def _refuse_one(self, claim: Claim, wire: WireName, reason: str) -> None:
        self._settle(claim, [self._set_aside(claim, wire, None, reason)], frozenset([wire]))

    def _put_back(self, claim: Claim) -> None:
        for wire in claim.wires():
            with contextlib.suppress(FileExistsError):  # stays in the claim, where the next sweep's recovery sees to it
                claim.put_back(wire)
