"""Submit, ship and sweep all at once, and kill at random instants; then recover, and look whether all promises hold."""

from __future__ import annotations

import random
import time
from typing import TYPE_CHECKING

from tests.faults import invariants
from tests.faults.crowd import Crowd
from tests.faults.errors import judged
from tests.faults.line import Line
from tests.faults.programme import Limits, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.scenarios import Stage

QUICK = Limits(seconds=60, points=1_000_000)
LONG = Limits(seconds=3600, points=1_000_000_000)

ROUND = 4.0  # seconds of killing before all is recovered and checked
AT_ONCE = 5  # commands
LARGEST = 300_000  # bytes
LONGEST_PAUSE = 0.01  # seconds between two kills: about as long as a command takes


def run(stage: Stage, limits: Limits = QUICK, meddle: Callable[[], object] | None = None) -> Tally:
    """Count a command that was begun as a point, and a kill as a fault."""
    tally = Tally("random kill -9", limits)
    chance = random.Random(limits.seed)
    number = 0
    while not tally.is_over:
        number += 1
        line = Line.at(stage.scratch / "crowd").build("connections = 2\n")
        line = line.meddled(meddle) if meddle else line
        seconds = max(0.5, min(ROUND, limits.seconds - tally.took))
        tally.blame(f"round {number}", _round(line, chance, tally, seconds))
        line.clear()
    tally.facts["rounds"] = number
    return tally


def _round(line: Line, chance: random.Random, tally: Tally, seconds: float) -> Iterator[str]:
    end = time.monotonic() + seconds
    with Crowd(line) as crowd:
        while time.monotonic() < end and tally.points < tally.limits.points:
            while len(crowd.members) < AT_ONCE:
                _begin_one(crowd, chance)
                tally.points += 1
            time.sleep(chance.uniform(0, LONGEST_PAUSE))
            tally.injected += crowd.kill_one(chance)
            for member, ended in crowd.ended():
                if not member.killed:
                    yield from judged(ended)
            yield from invariants.archive_shows_whole_files_only(line)
    yield from invariants.always(line)
    yield from invariants.recover(line)
    yield from invariants.settled(line)


def _begin_one(crowd: Crowd, chance: random.Random) -> None:
    """Begin what there is least of; submissions end soonest, so that many of them are made."""
    if crowd.count("archq", "ship") < 1:
        crowd.begin("archq", "ship", "--once", "-d", "archive")
    elif crowd.count("sweeper") < 2:
        crowd.begin("sweeper", "-i", "minicam")
    else:
        crowd.begin("archq", "submit", *(_source(crowd.line, chance) for _ in range(chance.randint(1, 3))))


def _source(line: Line, chance: random.Random) -> str:
    name = f"img{len(line.contents):05d}.fits"
    return line.source(name, chance.randbytes(chance.choice((0, 1, 3000, LARGEST))))
