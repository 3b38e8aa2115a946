"""Let no file grow beyond a limit: the write that reaches it is short, and says so in its result alone (write(2))."""

from __future__ import annotations

import os
import re
import resource
from typing import TYPE_CHECKING

from tests.faults import invariants, scenarios, strace
from tests.faults.errors import judged
from tests.faults.launch import Ended
from tests.faults.programme import Limits, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from tests.faults.line import Line
    from tests.faults.scenarios import Scenario, Scene, Stage
    from tests.faults.strace import Call

QUICK = Limits(seconds=20, points=200)
LONG = Limits(seconds=1800, points=10_000)

_WRITING = "?write,?pwrite64,?writev,?copy_file_range,?sendfile,?ftruncate,?fallocate"
_ASKED = re.compile(r", (\d+)(?:, \d+)?$")
_MOST = 1 << 16  # bytes that a program may print: what a pipe holds


def run(
    stage: Stage,
    limits: Limits = QUICK,
    chosen: Sequence[Scenario] = scenarios.ALL,
    meddle: Callable[[], object] | None = None,
) -> Tally:
    tally = Tally("short writes", limits)
    points = [(scene, limit) for scene in map(stage.scene, chosen) for limit in _limits(scene)]
    for scene, limit in tally.sampled(points):
        where = f"{scene.name}, no file beyond {limit} bytes"
        tally.blame(where, _point(stage, scene, limit, tally, meddle))
    return tally


def _limits(scene: Scene) -> list[int]:
    """Return sizes that some file reaches, halfway, and all but its last byte."""
    line = scene.snapshot.restore()
    line.run(scene.program, *scene.words)
    roots = (line.home / "spool", line.home / "archive", line.home / "any", line.incoming)
    sizes = {path.stat().st_size for root in roots for path in root.rglob("*") if path.is_file()} - {0}
    return sorted({0, *(size - 1 for size in sizes), *(size // 2 for size in sizes)})


def _point(stage: Stage, scene: Scene, limit: int, tally: Tally, meddle: Callable[[], object] | None) -> Iterator[str]:
    line, trace = scene.snapshot.restore(), stage.scratch / "trace"
    ended = _run_limited(line, scene, limit, trace, meddle)
    tally.injected += any(map(_is_short, strace.calls(trace)))
    yield from judged(ended)
    yield from invariants.always(line)
    yield from invariants.aftermath(line, scene.program, scene.words)


def _run_limited(line: Line, scene: Scene, limit: int, trace: Path, meddle: Callable[[], object] | None) -> Ended:
    """Run the command with pipes to print to, as files could not take it."""
    pipes = {1: os.pipe(), 2: os.pipe()}

    def begin() -> None:
        for number, (_reading, writing) in pipes.items():
            os.dup2(writing, number)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        if meddle:
            meddle()

    ended = line.meddled(begin).traced(scene.program, scene.words, ["-e", f"trace={_WRITING}"], trace)
    told = {}
    for number, (reading, writing) in pipes.items():
        os.write(writing, b"\n")  # so that there is something to be read
        told[number] = os.read(reading, _MOST).decode(errors="replace").removesuffix("\n")
        os.close(reading)
        os.close(writing)
    return line.noted(scene.words, Ended(ended.status, told[1], told[2]))


def _is_short(call: Call) -> bool:
    asked = _ASKED.search(call.text)
    return call.error == "EFBIG" or bool(call.result is not None and asked and 0 <= call.result < int(asked[1]))
