"""Log what a command's filesystem writes to its disk, make the disk as it was at any instant of that, and mount it.

A disk may write in any order what it was not told to flush: of that some writes are left out by chance, or torn.
"""

from __future__ import annotations

import hashlib
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import invariants, recorder, scenarios
from tests.faults.disk import KINDS, Disk, Laid, NoDiskError, lacking, private_mounts
from tests.faults.launch import Ended
from tests.faults.programme import Limits, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.faults.line import Line
    from tests.faults.recorder import Step
    from tests.faults.scenarios import Scenario, Stage

    Point = tuple["Recording", int, str]

QUICK = Limits(seconds=75, points=400)
LONG = Limits(seconds=7200, points=100_000)

WHOLE, SOME, TORN = "all that was written", "some of what was not flushed", "some sectors of what was not flushed"
SECTOR = 4096  # bytes that a disk writes whole or not at all: no filesystem survives that its superblock is torn

# A server's incoming directory is on another disk, and cannot be taken back with ours.
_HERE = [scenario for scenario in scenarios.ALL if not scenario.place]


@dataclass(frozen=True, slots=True)
class Recording:
    """What reached the disk while a command ran, and what was printed by then."""

    laid: Laid
    steps: list[Step]
    console: bytes

    def __str__(self) -> str:
        return str(self.laid)

    def restore(self, count: int, how: str, chance: random.Random) -> Line:
        """Make the disk as it was after ``count`` steps, and the line's debts what they were."""
        line = self.laid.bring_back()
        with self.laid.disk.image.open("r+b") as file:
            for offset, data in kept(self.steps[:count], how, chance):
                file.seek(offset)
                file.write(data)
        line.noted(self.laid.scene.words, Ended(0, self.console[: self.told_by(count)].decode(), ""))
        return line

    def told_by(self, count: int) -> int:
        """Return how many bytes had been printed when the step after ``count`` came."""
        return self.steps[count].told if count < len(self.steps) else len(self.console)


def kept(steps: Sequence[Step], how: str, chance: random.Random) -> Iterator[tuple[int, bytes]]:
    """Yield what reaches the disk when the power goes after these steps: everything before the last flush at least."""
    flushed = max((number for number, step in enumerate(steps) if not step.data), default=0)
    for number, step in enumerate(steps):
        if number < flushed or how == WHOLE:
            yield step.offset, step.data
            continue
        size = SECTOR if how == TORN else max(len(step.data), 1)
        for begin in range(0, len(step.data), size):
            if chance.random() < 1 / 2:
                yield step.offset + begin, step.data[begin : begin + size]


def run(
    stage: Stage,
    limits: Limits = QUICK,
    chosen: Sequence[Scenario] = _HERE,
    meddle: Callable[[], object] | None = None,
) -> Tally:
    tally = Tally("block log", limits, left_out=recorder.lacking())
    if tally.left_out:
        return tally
    scenes = [stage.scene(scenario) for scenario in chosen if not scenario.place]
    missing = {kind: lacking(kind) for kind in KINDS}
    tally.left_out = "; ".join(filter(None, missing.values()))
    if all(missing.values()):
        return tally
    with private_mounts():
        laid = [Laid.on(kind, scene, stage.scratch) for kind in KINDS if not missing[kind] for scene in scenes]
        _play(tally, [_record(one, stage.scratch, meddle) for one in laid])
    return tally


def _play(tally: Tally, recordings: list[Recording]) -> None:
    seen: set[str] = set()
    points = [point for recording in recordings for point in _points(recording)]
    first = [point for recording in recordings for point in _when_all_was_told(recording)]
    for recording, count, how in tally.sampled(points, first=first):
        where = f"{recording}, {how} by step {count} of {len(recording.steps)}"
        chance = random.Random(f"{tally.limits.seed} {where}")
        line = recording.restore(count, how, chance)
        tally.blame(where, _judged(recording, line, seen))
        tally.injected += 1
    tally.facts["writes and flushes"] = sum(len(recording.steps) for recording in recordings)
    tally.facts["different states recovered"] = len(seen)


def _points(recording: Recording) -> Iterator[Point]:
    """Yield each instant of a recording, and how the disk may look at it."""
    for count in range(len(recording.steps) + 1):
        yield recording, count, WHOLE
        if count and recording.steps[count - 1].data:
            yield recording, count, SOME
            yield recording, count, TORN


def _when_all_was_told(recording: Recording) -> Iterator[Point]:
    """Yield the instant after the last word: what was promised then, and is not on the disk, never comes there."""
    told = [count for count in range(len(recording.steps)) if recording.told_by(count) == len(recording.console)]
    for how in (WHOLE, SOME):
        yield recording, min(told, default=len(recording.steps)), how


def _record(laid: Laid, scratch: Path, meddle: Callable[[], object] | None) -> Recording:
    line = laid.bring_back()
    place, console, log = (scratch / name for name in ("recorder", "console", "blocks"))
    place.mkdir(exist_ok=True)
    console.write_bytes(b"")

    def begin() -> None:
        descriptor = os.open(console, os.O_WRONLY | os.O_APPEND)
        os.dup2(descriptor, 1)
        os.close(descriptor)
        if meddle:
            meddle()

    with (
        recorder.recording(laid.disk.image, place, console, log) as image,
        Disk(laid.disk.kind, image, laid.disk.place).mounted(),
    ):
        line.meddled(begin).run(laid.scene.program, *laid.scene.words)
    return Recording(laid, recorder.steps(log), console.read_bytes())


def _judged(recording: Recording, line: Line, seen: set[str]) -> Iterator[str]:
    program, words = recording.laid.scene.program, recording.laid.scene.words
    try:
        with recording.laid.disk.mounted():
            yield from invariants.always(line)
            state = f"{recording} {sorted(line.owed)} {_digest(line.home)}"
            if state not in seen:  # the same again would be recovered in the same way
                seen.add(state)
                yield from invariants.aftermath(line, program, words)
    except NoDiskError as error:
        yield f"the disk cannot be mounted: {error}"


def _digest(home: Path) -> str:
    """Return a digest of all names, modes, times and bytes below ``home``."""
    digest = hashlib.sha256()
    for directory, directories, names in os.walk(home):
        directories.sort()
        for name in sorted(names + directories):
            path = Path(directory, name)
            facts = path.lstat()
            digest.update(f"{path} {facts.st_mode} {facts.st_nlink} {facts.st_mtime_ns} {facts.st_size}\n".encode())
            if path.is_file():
                digest.update(path.read_bytes())
    return digest.hexdigest()
