"""One sweep, from the incoming directory to the archive: recover, see, file, clear up, report."""

from __future__ import annotations

import contextlib
import gc
import os
import time
from functools import cached_property, partial
from typing import TYPE_CHECKING, Self

from archq import console
from archq.errors import ExitStatus
from archq.instants import SECOND
from archq.names import DATA, parse_wire_name
from archq.quantities import format_duration, format_size
from sweeper import claim as claims
from sweeper import hooks, leftovers
from sweeper.claim import WorkPlace
from sweeper.deputy import accounts_with_dead_claims, as_account
from sweeper.filing import appearance_of
from sweeper.hooks import Hook
from sweeper.incoming import Incoming
from sweeper.ledger import Ledger
from sweeper.planning import rules_of
from sweeper.processes import call_apart
from sweeper.recovery import recover
from sweeper.report import Problem
from sweeper.round import BATCH_FILES, Findings, Round
from sweeper.tree import Forest, Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archq.names import WireName
    from sweeper.incoming import Sightings
    from sweeper.inspection import Letter
    from sweeper.job import Job
    from sweeper.report import Report

WORTH_A_PROCESS = 500  # arrivals


class Sweeper:
    """The open directories, logs and rules of one job."""

    def __init__(self, job: Job, *, log_by_line: bool = False) -> None:
        """Open everything a sweep needs; raise ArchqError where something is missing."""
        self.job = job
        self.log_by_line = log_by_line
        self._began = time.time_ns()
        self.rules = rules_of(job)
        self.appearance = appearance_of(job.instrument)
        command = None if job.sweeps_any else job.instrument.on_filed
        self.hook = Hook(command=command, limit=job.instrument.on_filed_limit) if command else None
        with contextlib.ExitStack() as stack:
            self.incoming = stack.enter_context(Incoming(job.incoming))
            self.archive = stack.enter_context(Tree(job.archive, prepare=self.appearance.give_directory))
            self.work = stack.enter_context(WorkPlace(self.incoming, job.sweeper.work))
            self.ledger = stack.enter_context(Ledger(job.logs))
            self.trees = stack.enter_context(Forest(self.archive))
            self._stack = stack.pop_all()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property
    def rejected(self) -> str:
        """Where rejected arrivals are set aside: on the incoming directory's filesystem."""
        path, descriptor = claims.open_private(self.incoming, self._rejected_by_all, "rejected")
        os.close(descriptor)
        return path

    @property
    def _rejected_by_all(self) -> str:
        return self.job.sweeper.rejected or os.path.join(self.incoming.path, claims.REJECTED)

    @property
    def log(self) -> str:
        """The transfer log that gets the next lines."""
        return self.job.logs.path(time.time_ns() if self.log_by_line else self._began)

    def rejected_arrivals(self) -> list[int]:
        """Return when each rejected arrival of this job was set aside, in nanoseconds since 1970."""
        try:
            with os.scandir(os.path.join(self._rejected_by_all, str(os.geteuid()))) as entries:
                return [entry.stat(follow_symlinks=False).st_ctime_ns for entry in entries if self._is_mine(entry.name)]
        except FileNotFoundError:
            return []

    def _is_mine(self, name: str) -> bool:
        wire = parse_wire_name(f"{name.partition('~')[0]}.{DATA}")
        return wire is not None and self.job.wants(wire.instrument)


def sweep(
    job: Job,
    *,
    workers: int | None = None,
    log_by_line: bool = False,
    hooks_later: Callable[[list[str]], None] | None = None,
) -> Report:
    """File everything that is complete, and say what could not be done.

    The daily log is that of the day on which the sweep began, or with ``log_by_line`` that of each batch.
    ``hooks_later`` gets the paths of the claims in which commands are owed, instead of their being run here.
    """
    with Sweeper(job, log_by_line=log_by_line) as sweeper, _without_looking_for_cycles():
        now = sweeper.work.now()
        first = Round(sweeper, frozenset(), now)
        _recover_for_others(sweeper, first.findings.report)
        returned = recover(sweeper.work, sweeper.trees, first.findings, first.refuse)
        arrivals = sweeper.incoming.sightings(job.wants)
        findings = first.findings
        findings.add(_filed(sweeper, arrivals, returned, now, workers))
        leftovers.discard_probes(sweeper.incoming, now)
        leftovers.clear(sweeper, findings, arrivals, now)
        _conclude(sweeper, findings, now)
    if hooks_later:
        hooks_later(findings.owing)
    else:
        _run_hooks(findings)
    return findings.report


@contextlib.contextmanager
def _without_looking_for_cycles() -> Iterator[None]:
    """Let the interpreter not search what a batch keeps for values that hold each other: a sweep makes none.

    It would do so hundreds of times, and a sixth of the time of a long sweep was spent with it.
    """
    was_looking = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_looking:
            gc.enable()


def _recover_for_others(sweeper: Sweeper, report: Report) -> None:
    """Finish, if we are root, what dead sweepers of other accounts have begun."""
    if os.geteuid() != 0:
        return
    for account in accounts_with_dead_claims(sweeper.work):
        if not as_account(account, lambda: _recover(sweeper.job)):
            message = (
                f"cannot finish what {account.pw_name} has begun in {sweeper.work.path}: run sweeper as that account"
            )
            report.lasts(Problem(key=message, message=message), ExitStatus.TEMPORARY)


def _recover(job: Job) -> None:
    """Finish what this account's dead sweepers have begun, with no need of what ``job`` would archive."""
    findings = Findings()
    with Incoming(job.incoming) as incoming, WorkPlace(incoming, job.sweeper.work) as work, Forest() as trees:
        recover(work, trees, findings, lambda *_: None)
    _run_hooks(findings)


def _filed(
    sweeper: Sweeper, arrivals: Sightings, returned: frozenset[WireName], now: int, workers: int | None
) -> Findings:
    """File ``arrivals``, by several processes where they are asked for or worth it."""
    workers = min(len(arrivals), workers or min(len(os.sched_getaffinity(0)), len(arrivals) // WORTH_A_PROCESS))
    if workers < 2:
        with console.progress("filing", len(arrivals), "arrivals") as done:
            return Round(sweeper, returned, now).file(arrivals, done)
    findings = Findings()
    # The first one tells for all how far they are: they have as much to do, and there is one terminal.
    shares = [workers, *[0] * (workers - 1)]
    firsts = [BATCH_FILES * number // workers for number in range(workers, 0, -1)]
    parts = [
        partial(_filed_apart, sweeper, part, returned, now, share, first)
        for part, share, first in zip(arrivals.parts(workers), shares, firsts, strict=True)
    ]
    for part in call_apart(parts):
        findings.add(part)
    return findings


def _filed_apart(
    parent: Sweeper, arrivals: Sightings, returned: frozenset[WireName], now: int, share: int, first: int
) -> Findings:
    """File a part of the arrivals in this process, with descriptors, a claim and a memory of its own.

    Show how far it is as if ``share`` processes were as far, or nothing for 0; ``first`` are in its first batch.
    """
    shown = (
        console.progress("filing", len(arrivals) * share, "arrivals")
        if share
        else contextlib.nullcontext(lambda _count: None)
    )
    with Sweeper(parent.job, log_by_line=parent.log_by_line) as sweeper, shown as done:
        findings = Round(sweeper, returned, now).file(arrivals, lambda count: done(count * share), first=first)
    _run_hooks(findings)  # here, so that there are as many at once as there are processes
    return findings


def _run_hooks(findings: Findings) -> None:
    for path in findings.owing:
        for failure in hooks.run_owed(path):
            findings.report.happened(failure, ExitStatus.SOME_FAILED)
        claims.release(path)
    findings.owing.clear()


def _conclude(sweeper: Sweeper, findings: Findings, now: int) -> None:
    """Report what lasts beyond this sweep."""
    if findings.waiting:
        findings.report.lasts(_full_disk(sweeper.job.archive, findings.waiting, now), ExitStatus.INPUT_OUTPUT)
    if rejected := sweeper.rejected_arrivals():
        findings.report.lasts(_rejected(sweeper.rejected, rejected, now))


def _full_disk(archive: str, waiting: list[Letter], now: int) -> Problem:
    """Return e.g. ``archive disk full: 37 arrivals (148 GB) wait, oldest 2 h``."""
    size = format_size(sum(letter.control.size for letter in waiting))
    age = format_duration((now - min(letter.arrived for letter in waiting)) / SECOND)
    arrivals = "1 arrival" if len(waiting) == 1 else f"{len(waiting)} arrivals"
    waits = "waits" if len(waiting) == 1 else "wait"
    message = f"archive disk full: {arrivals} ({size}) {waits}, oldest {age}: make room in {archive}"
    return Problem(key=f"archive disk full: {archive}", message=message)


def _rejected(place: str, times: list[int], now: int) -> Problem:
    age = format_duration((now - min(times)) / SECOND)
    arrivals = "1 rejected arrival lies" if len(times) == 1 else f"{len(times)} rejected arrivals lie"
    message = f"{arrivals} in {place}, the oldest for {age}: see the reason beside it, then send it again or remove it"
    return Problem(key=f"rejected arrivals lie in {place}", message=message, begun=True)
