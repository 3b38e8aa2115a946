"""People, shippers, sweepers and accidents in any order against a model: a set of names for which we have promised."""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import hypothesis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule, run_state_machine_as_test

from archq import console, durable
from archq.spool import QUEUED, SENT, STATES, Spool
from archq.transferlog import FINAL, SUPERSEDED
from archq.transports.base import TemporaryTransferError
from archq.transports.file import FileTransport
from sweeper.ledger import SETTLED
from tests.faults import invariants
from tests.faults.errors import judged
from tests.faults.lanes import in_lanes
from tests.faults.launch import COMMANDS, Ended
from tests.faults.line import Line
from tests.faults.programme import Limits, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archq.spool import RequestId
    from tests.faults.scenarios import Stage

QUICK = Limits(seconds=60, points=300)
LONG = Limits(seconds=4 * 3600, points=20_000)

STEPS = 50
BATCH = 4  # examples of one seed
LANES = 2
# Before these a program may be killed: between any two of them the disk is the same.
DURABLE = (
    "sync",
    "sync_directory",
    "sync_filesystem",
    "write_over",
    "move_new",
    "rename_new",
    "take",
    "remove",
    "create",
    "link",
    "append_line",
)


@dataclass(frozen=True)
class NearLine(Line):
    """A line whose programs run in this process, or in a fork of it that is killed."""

    def run(self, program: str, *words: str) -> Ended:
        output, errors = io.StringIO(), io.StringIO()
        environment = mock.patch.dict(os.environ, self.environment, clear=True)
        with environment, contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            status = console.run_click(program, COMMANDS[program], [*words])
        return self.noted(words, Ended(status, output.getvalue(), errors.getvalue()))

    def run_killed(self, call: int, program: str, *words: str) -> None:
        """Run a program that is killed before its durable step number ``call``, if it gets so far."""
        reading, writing = os.pipe()
        if not (child := os.fork()):
            try:
                self._run_in_child(call, writing, program, words)
            finally:
                os._exit(1)
        os.close(writing)
        with os.fdopen(reading) as pipe:
            said = pipe.read()
        os.waitpid(child, 0)
        self.noted(words, Ended(-9, said, ""))

    def _run_in_child(self, call: int, output: int, program: str, words: tuple[str, ...]) -> None:
        environment = self.environment
        os.environ.clear()
        os.environ.update(environment)
        sys.stdout, sys.stderr = os.fdopen(output, "w", buffering=1), io.StringIO()
        _die_before(call)
        console.run_click(program, COMMANDS[program], [*words])


def _die_before(call: int) -> None:
    left = [call]

    def counted(honest: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        left[0] -= 1
        if not left[0]:
            os._exit(9)
        return honest(*arguments, **keywords)

    for name in DURABLE:
        setattr(durable, name, partial(counted, getattr(durable, name)))


class LineMachine(RuleBasedStateMachine):
    """The rules; ``scratch``, ``steps`` and ``kills`` are of the class, as hypothesis makes the objects."""

    scratch: Path
    counts: Counter[str]

    def __init__(self) -> None:
        super().__init__()
        self.home = Path(tempfile.mkdtemp(dir=self.scratch))
        line = NearLine.at(self.home / "line")
        self.line = line.build("connections = 1\n")
        self.promised: dict[int, set[str]] = {}  # a request's number, which stays: the names of its files
        self.further = 0  # tries that were made
        self.moved: set[str] = set()  # paths of what an astronomer took out of the archive

    # What people do.

    @rule(files=st.integers(1, 2), size=st.sampled_from((0, 1, 5000)))
    def submit(self, files: int, size: int) -> None:
        self._submit([self._source(size) for _ in range(files)])

    @rule(again=st.integers(0, 30))
    @precondition(lambda self: self.line.contents)
    def submit_again(self, again: int) -> None:
        names = sorted(self.line.contents)
        self._submit([str(self.line.home / "data" / names[again % len(names)])])

    @rule(call=st.integers(1, 25))
    def submit_and_be_killed(self, call: int) -> None:
        self._count("kills")
        self._promise(lambda words: self.line.run_killed(call, "archq", *words), [self._source(300)])

    @rule(
        which=st.integers(0, 30), verb=st.sampled_from(("cancel", "hold", "release", "retry", "purge", "alter", "move"))
    )
    @precondition(lambda self: self.promised)
    def change(self, which: int, verb: str) -> None:
        number = sorted(self.promised)[which % len(self.promised)]
        request = self._requests()[number]
        words = {
            "purge": ("cancel", "--purge", str(request)),
            "alter": ("alter", str(request), "-o", "observer=Lowell"),
            "move": ("move", str(request), "archive" if request.queue == "other" else "other"),
        }.get(verb, (verb, str(request)))
        done = self._run("archq", *words)
        if verb == "purge" and not done.status:
            del self.promised[number]
            self._owe()

    @rule(which=st.integers(0, 30))
    def move_a_file_out_of_the_archive(self, which: int) -> None:
        """Its id stays filed, and its request owes it no more."""
        if found := invariants.archived(self.line):
            path = found[which % len(found)]
            self.moved.add(str(path.relative_to(self.line.home / "archive")))
            path.unlink()
            for names in self.promised.values():
                names.discard(invariants.original(path.name))
            self._owe()

    # What programs do.

    @rule()
    def ship(self) -> None:
        self._run("archq", "ship", "--once")

    @rule()
    def sweep(self) -> None:
        self._run("sweeper", "-i", "minicam")

    @rule(call=st.integers(1, 40), program=st.sampled_from(("ship", "sweep")))
    def be_killed(self, call: int, program: str) -> None:
        self._count("kills")
        words = {"ship": ("archq", "ship", "--once"), "sweep": ("sweeper", "-i", "minicam")}[program]
        self.line.run_killed(call, *words)

    @rule(call=st.integers(1, 4), what=st.sampled_from(("put", "rename")))
    def lose_a_reply(self, call: int, what: str) -> None:
        self._count("lost replies")
        honest, left = getattr(FileTransport, what), [call]

        def losing(transport: FileTransport, *arguments: Any, **keywords: Any) -> None:
            honest(transport, *arguments, **keywords)
            left[0] -= 1
            if not left[0]:
                raise TemporaryTransferError("the reply was lost")

        with mock.patch.object(FileTransport, what, losing):
            self._run("archq", "ship", "--once")

    # What happens on the way.

    @rule(which=st.integers(0, 30))
    def corrupt(self, which: int) -> None:
        if found := [path for path in sorted(self.line.incoming.glob("*.df")) if path.stat().st_size]:
            self._count("bytes flipped")
            path = found[which % len(found)]
            content = bytearray(path.read_bytes())
            content[which % len(content)] ^= 1
            path.write_bytes(content)

    @rule(which=st.integers(0, 30))
    def duplicate(self, which: int) -> None:
        """Leave a further try, as after a commit whose reply was lost."""
        if found := sorted(self.line.incoming.glob("*.cf")):
            control = found[which % len(found)]
            data = control.with_suffix(".df")
            self.further += 1  # a name is never used twice
            further = control.with_name(f"{control.stem.rpartition('.')[0]}.{1000 + self.further}.cf")
            if data.exists():
                shutil.copy2(data, further.with_suffix(".df"))
                shutil.copy2(control, further)

    @rule()
    def let_an_hour_pass(self) -> None:
        self.line.let_rest()

    # What has to hold.

    @invariant()
    def nothing_is_lost(self) -> None:
        self._count("steps")
        self._hold(self._always())

    def _always(self) -> Iterator[str]:
        """Yield what is wrong.

        Of an id that is filed, the sweeper removes a further try's data file after ten minutes, whose control file may
        still come.
        """
        settled = {one.facts["wire"].split(".")[1] for one in invariants.outcomes(self.line) if one.outcome in SETTLED}
        for problem in invariants.always(self.line):
            if not (problem.endswith("without its data") and problem.split(".")[1] in settled):
                yield problem

    def teardown(self) -> None:
        """Do what people and cron would do, and look at the whole."""
        try:
            self._hold(self._settling())
        finally:
            shutil.rmtree(self.home, ignore_errors=True)

    def _settling(self) -> Iterator[str]:
        spool = Spool(str(self.line.home / "spool"))
        for request in spool.requests(QUEUED):
            self.line.run("archq", "release", str(request))
        yield from invariants.recover(self.line)
        for request in invariants.requests_of(self.line, invariants.spoiled(self.line)):
            self.line.run("archq", "retry", request)
        yield from invariants.recover(self.line)
        gone = {f"transfer log and archive differ about {path}" for path in self.moved}
        given_up = {f"still in incoming after recovery: {name}" for name in self._given_up()}
        in_halves = {f"transfer log: {count} final lines for {wire}" for wire, count in self._in_halves()}
        yield from (problem for problem in invariants.settled(self.line) if problem not in gone | given_up | in_halves)

    def _in_halves(self) -> Iterator[tuple[str, int]]:
        """Yield the tries of which data and control file came an hour apart, and went each as superseded."""
        lines = Counter(
            (one.facts["wire"], one.outcome) for one in invariants.outcomes(self.line) if one.outcome in FINAL
        )
        tries = {wire for wire, _outcome in lines}
        yield from ((wire, 2) for wire in tries if lines[wire, SUPERSEDED] == 2)

    def _given_up(self) -> Iterator[str]:
        """Yield the data files whose requests were cancelled, purged or moved before their control files were sent."""
        spool = Spool(str(self.line.home / "spool"))
        ids = {
            file.control.id
            for state in (QUEUED, SENT)
            for request in spool.requests(state, "archive")
            for file in spool.files(state, request)
        }
        yield from (name for name in self.line.arrivals() if name.endswith(".df") and name.split(".")[1] not in ids)

    def _hold(self, problems: Iterator[str]) -> None:
        found = list(problems)
        assert not found, "; ".join(found)

    def _count(self, what: str) -> None:
        self.counts[what] += 1

    def _run(self, program: str, *words: str) -> Ended:
        ended = self.line.run(program, *words)
        self._hold(judged(ended))
        return ended

    def _source(self, size: int) -> str:
        name = f"img{len(self.line.contents):04d}.fits"
        return self.line.source(name, (name.encode() * size)[:size])

    def _submit(self, sources: list[str]) -> None:
        self._promise(lambda words: self._run("archq", *words), sources)

    def _promise(self, submit: Callable[[list[str]], object], sources: list[str]) -> None:
        before = self._requests()
        self.line.owed.clear()
        submit(["submit", *sources])
        acknowledged = set(self.line.owed)
        for number in self._requests().keys() - before.keys():
            self.promised[number] = acknowledged
        self._owe()

    def _requests(self) -> dict[int, RequestId]:
        spool = Spool(str(self.line.home / "spool"))
        return {request.number: request for state in STATES for request in spool.requests(state)}

    def _owe(self) -> None:
        self.line.owed.clear()
        self.line.owed.update(*self.promised.values())


def run(stage: Stage, limits: Limits = QUICK, meddle: Callable[[], object] | None = None) -> Tally:
    """Count an example as a point; each has up to 50 steps."""
    tally = Tally("state machine", limits)
    in_lanes(tally, [(lane, 1) for lane in range(LANES)], partial(_play, stage, meddle), LANES)
    tally.facts["seed"] = limits.seed
    return tally


def _play(stage: Stage, meddle: Callable[[], object] | None, lane: int, tally: Tally) -> None:
    if meddle:
        meddle()
    counts: Counter[str] = Counter()
    batch = 0
    with tempfile.TemporaryDirectory(dir=stage.scratch) as scratch:
        while not tally.is_over and tally.points < tally.limits.points / LANES and not tally.violations:
            seed = tally.limits.seed + LANES * batch + lane
            kind = hypothesis.seed(seed)(
                type("LineMachine", (LineMachine,), {"scratch": Path(scratch), "counts": counts})
            )
            tally.blame(f"seed {seed}", _one_batch(kind))
            tally.points += BATCH
            batch += 1
    tally.injected += counts["kills"] + counts["lost replies"] + counts["bytes flipped"]
    tally.facts[f"steps in lane {lane + 1}"] = counts["steps"]


def _one_batch(kind: type[LineMachine]) -> Iterator[str]:
    ours = settings(
        max_examples=BATCH,
        stateful_step_count=STEPS,
        deadline=None,
        database=None,
        phases=(Phase.generate,),  # not made smaller: that takes longer than all the rest
        suppress_health_check=list(HealthCheck),
    )
    try:
        run_state_machine_as_test(kind, settings=ours)
    except Exception as error:
        notes = "\n".join(getattr(error, "__notes__", ()))
        yield f"{type(error).__name__}: {error}\n{notes}"
