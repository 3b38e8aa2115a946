"""Kill a command at each of its system calls; then do what cron would, and look whether all promises hold."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.faults import invariants, scenarios, strace
from tests.faults.programme import Limits, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.faults.scenarios import Scenario, Scene, Stage

QUICK = Limits(seconds=60, points=400)
LONG = Limits(seconds=3600, points=20_000)


def run(
    stage: Stage,
    limits: Limits = QUICK,
    chosen: Sequence[Scenario] = scenarios.ALL,
    meddle: Callable[[], object] | None = None,
) -> Tally:
    tally = Tally("kill at every call", limits)
    scenes = [stage.scene(scenario) for scenario in chosen]
    points = [(scene, point) for scene in scenes for point in _points(stage, scene, tally)]
    for scene, point in tally.sampled(points):
        where = f"{scene.name}, killed at {point[0]} {point[1]}"
        tally.blame(where, _point(stage, scene, point, tally, meddle))
    return tally


def _points(stage: Stage, scene: Scene, tally: Tally) -> list[tuple[str, int]]:
    """Return each call of a clean run, by name and number."""
    trace = stage.scratch / "trace"
    line = scene.snapshot.restore()
    ended = line.traced(scene.program, scene.words, ["-e", f"trace={strace.CHANGING}"], trace)
    tally.blame(f"{scene.name}, undisturbed", [] if ended.status in {0, 3} else [ended.errors or str(ended.status)])
    return strace.points(trace)


def _point(
    stage: Stage, scene: Scene, point: tuple[str, int], tally: Tally, meddle: Callable[[], object] | None
) -> Iterator[str]:
    line = scene.snapshot.restore()
    if meddle:
        line = line.meddled(meddle)
    trace = stage.scratch / "trace"
    line.traced(scene.program, scene.words, strace.killing(*point), trace)
    tally.injected += "killed by SIGKILL" in trace.read_text(errors="replace")
    yield from invariants.always(line)
    yield from invariants.aftermath(line, scene.program, scene.words)
