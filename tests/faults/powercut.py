"""Stop a command before each call that changes something, cut the power, mount again, and look what is left.

What was only in memory is lost then, names as well as bytes, for the journal is not written out either.  A cut after
the command's end, when everything was promised, is tried, too.
"""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

from tests.faults import invariants, scenarios, strace
from tests.faults.disk import KINDS, Laid, lacking, private_mounts
from tests.faults.programme import Limits, Tally, again_and_again

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.faults.scenarios import Scenario, Scene, Stage

    Point = tuple[str, int]

QUICK = Limits(seconds=100, points=300)
LONG = Limits(seconds=3600, points=20_000)

# What may be on a disk of its own; but what a sweep has begun on one disk is not gone on with on two.
_APART = {scenario.name: "archive" for scenario in scenarios.SWEEPS} | {
    scenario.name: "incoming" for scenario in scenarios.SHIPMENTS if not scenario.place
}
_AT_ITS_END = ("exit_group", 0)


def run(
    stage: Stage,
    limits: Limits = QUICK,
    chosen: Sequence[Scenario] = scenarios.ALL,
    meddle: Callable[[], object] | None = None,
) -> Tally:
    tally = Tally("power cut", limits)
    scenes = [stage.scene(scenario) for scenario in chosen]
    missing = {kind: lacking(kind) for kind in KINDS}
    tally.left_out = "; ".join(filter(None, missing.values()))
    kinds = [kind for kind in KINDS if not missing[kind]]
    if not kinds:
        return tally
    chance = random.Random(limits.seed)
    with private_mounts():
        laid = [
            Laid.on(kind, scene, stage.scratch, *apart)
            for kind in kinds
            for scene in scenes
            for apart in _layouts(scene)
        ]
        # The calls are the same on every kind of filesystem, but for a few, and looking for them takes time.
        calls = {(one.scene.name, len(one.disks)): _points(stage, one) for one in laid[: len(laid) // len(kinds)]}
        points = [
            (one, cuts) for one in laid for cuts in again_and_again(calls[one.scene.name, len(one.disks)], chance)
        ]
        for one, cuts in tally.sampled(points, first=[(one, (_AT_ITS_END,)) for one in laid]):
            at = ", then at ".join(f"{call} {number}" for call, number in cuts)
            tally.blame(f"{one} cut at {at}", _point(stage, one, cuts, tally, meddle))
    return tally


def _layouts(scene: Scene) -> list[tuple[str, ...]]:
    """Return what is on further disks: where one journal holds all names, what forgets to sync some is not seen."""
    return [(), (_APART[scene.name],)] if scene.name in _APART else [()]


def _points(stage: Stage, one: Laid) -> list[Point]:
    """Return each call of a clean run, by name and number."""
    trace = stage.scratch / "trace"
    line = one.bring_back()
    with one.mounted():
        line.traced(one.scene.program, one.scene.words, ["-e", f"trace={strace.CHANGING}"], trace)
    return strace.points(trace)


def _point(
    stage: Stage, one: Laid, cuts: tuple[Point, ...], tally: Tally, meddle: Callable[[], object] | None
) -> Iterator[str]:
    program, words = one.scene.program, one.scene.words
    line = one.bring_back()
    if meddle:
        line = line.meddled(meddle)
    for point in cuts:
        with one.mounted():
            yield from invariants.always(line)
            if point == _AT_ITS_END:
                line.run(program, *words)
            else:
                line.traced(program, words, strace.killing(*point), stage.scratch / "trace")
            one.cut()
            tally.injected += 1
    with one.mounted():
        yield from invariants.always(line)
        yield from invariants.aftermath(line, program, words)
