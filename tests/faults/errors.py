"""Refuse each system call of a command once: a clear message, the right exit status, and nothing lost."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from archq.errors import ExitStatus
from tests.faults import invariants, scenarios, strace
from tests.faults.programme import Limits, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.faults.launch import Ended
    from tests.faults.line import Line
    from tests.faults.scenarios import Scenario, Scene, Stage
    from tests.faults.strace import Call

QUICK = Limits(seconds=60, points=700)
LONG = Limits(seconds=7200, points=50_000)

ERRORS = ("ENOSPC", "EIO", "EDQUOT", "EROFS", "EACCES", "EMFILE", "ESTALE")
TEMPORARY = {"ENOSPC", "EDQUOT", "EMFILE", "ESTALE"}
_OWN_BUG = {ExitStatus.BUG, ExitStatus.USAGE, ExitStatus.INTERRUPTED}
# What the kernel never says for a call is not tried with it.
_OF_WRITING = {"ENOSPC", "EDQUOT", "EROFS"}
_READING = {"read", "pread64", "stat", "lstat", "newfstatat", "getdents64", "flock", "statx", "statfs", "fstatfs"}
# close(2) frees the descriptor whatever it answers, which an error made instead of the call does not.
_NOT_TRIED = {"close", "dup", "dup2", "dup3", "fcntl", "lseek", "access", "faccessat", "faccessat2"}

# The calls at an open file of which a message can name the file.
_NAMED = {"write", "fsync", "fdatasync", "fchmod", "read", "pread64", "flock", "ftruncate", "utimensat", "getdents64"}


def run(
    stage: Stage,
    limits: Limits = QUICK,
    chosen: Sequence[Scenario] = scenarios.ALL,
    meddle: Callable[[], object] | None = None,
) -> Tally:
    tally = Tally("error at every call", limits)
    points = [point for scenario in chosen for point in _points(stage, stage.scene(scenario))]
    for scene, call, number, error in tally.sampled(points):
        where = f"{scene.name}, {error} at {call} {number}"
        tally.blame(where, _point(stage, scene, (call, number, error), tally, meddle))
    return tally


def _points(stage: Stage, scene: Scene) -> Iterator[tuple[Scene, str, int, str]]:
    for call, number in sorted({(call.name, number) for call, number in calls_on_files(stage, scene)}):
        for error in ERRORS:
            if call not in _NOT_TRIED and not (call in _READING and error in _OF_WRITING):
                yield scene, call, number, error


def calls_on_files(
    stage: Stage, scene: Scene, meddle: Callable[[], object] = lambda: None
) -> Iterator[tuple[Call, int]]:
    """Yield the calls of a clean run that are about files of the line, and not pipes, say; each with its number."""
    trace = stage.scratch / "trace"
    line = scene.snapshot.restore().meddled(meddle)
    line.traced(scene.program, scene.words, ["-y", "-e", f"trace={strace.CHANGING},{strace.READING}"], trace)
    seen: Counter[tuple[int, str]] = Counter()
    for call in strace.calls(trace):
        seen[call.pid, call.name] += 1
        if str(line.home) in call.text or str(line.incoming) in call.text:
            yield call, seen[call.pid, call.name]


def _point(
    stage: Stage,
    scene: Scene,
    point: tuple[str, int, str],
    tally: Tally,
    meddle: Callable[[], object] | None,
) -> Iterator[str]:
    line = scene.snapshot.restore()
    if meddle:
        line = line.meddled(meddle)
    call, number, error = point
    trace = stage.scratch / "trace"
    inject = ["-y", "-e", f"trace={call}", "-e", f"inject={call}:error={error}:when={number}"]
    try:
        ended = line.traced(scene.program, scene.words, inject, trace)
    except TimeoutError as hung:
        yield str(hung)
        return
    hit = [one for one in trace.read_text(errors="replace").split("\n") if "(INJECTED)" in one]
    tally.injected += bool(hit)
    if all(str(line.home) in one or str(line.incoming) in one for one in hit):  # in a second process it may be a pipe
        yield from judged(ended, faults=len(hit))
        if call in _NAMED and _is_vague(ended.errors, line):
            yield f"does not say where: {ended.errors.strip()}"
    yield from invariants.always(line)
    if error in TEMPORARY:
        yield from (f"a temporary error holds {request} for good" for request in invariants.held(line))
    yield from invariants.aftermath(line, scene.program, scene.words)


def _is_vague(errors: str, line: Line) -> bool:
    return "cannot go on" in errors or f"{line.incoming} or " in errors


def judged(ended: Ended, *, faults: int = 1) -> Iterator[str]:
    """Yield what a user could not make sense of; each of the ``faults`` may be told once."""
    told = [line for line in ended.errors.split("\n") if line]
    if ended.status < 0 or ended.status in _OWN_BUG or ended.status not in set(ExitStatus):
        yield f"exit status {ended.status}: {ended.errors.strip()}"
    elif ended.status and not told:
        yield f"exit status {ended.status} without a word"
    if strange := [line for line in told if not line.startswith(("archq: ", "sweeper: "))]:
        yield f"not a message of ours: {strange[0]} … {told[-1]}"
    for message, count in Counter(told).items():
        if count > max(faults, 1):
            yield f"told {count} times: {message}"
