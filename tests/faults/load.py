"""Eight submitters, four sweepers and a shipper at once: all is filed once, and nobody stands in the way of another."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from tests.faults import invariants
from tests.faults.crowd import PAUSE, Crowd
from tests.faults.errors import judged
from tests.faults.line import Line
from tests.faults.programme import Limits, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.scenarios import Stage

QUICK = Limits(seconds=40, points=2_000)
LONG = Limits(seconds=7200, points=200_000)

SUBMITTERS, SWEEPERS = 8, 4
SHIPPERS = 2
FILES_AT_ONCE = 10  # of one request
SIZE = 3000  # bytes
PATIENCE = 300  # seconds that whatever is still on its way gets at the end


def run(stage: Stage, limits: Limits = QUICK, meddle: Callable[[], object] | None = None) -> Tally:
    """Count a file as a point."""
    tally = Tally(f"load, {SUBMITTERS} x {SWEEPERS}", limits)
    line = Line.at(stage.scratch / "load").build("connections = 4\n")
    line = line.meddled(meddle) if meddle else line
    tally.blame("load", _crowded(line, tally))
    tally.blame("load, at its end", invariants.recover(line))
    tally.blame("load, at its end", invariants.settled(line))
    tally.blame("load, at its end", _all_acknowledged(line))
    tally.facts["files filed"] = len(invariants.archived(line))
    tally.stop()
    line.clear()
    return tally


def _crowded(line: Line, tally: Tally) -> Iterator[str]:
    with Crowd(line) as crowd:
        while not tally.is_over:
            yield from _ended_well(crowd)
            _fill_up(crowd, tally)
            time.sleep(PAUSE)
        crowd.wait(PATIENCE)
        yield from _ended_well(crowd)


def _fill_up(crowd: Crowd, tally: Tally) -> None:
    while crowd.count("sweeper") < SWEEPERS:
        crowd.begin("sweeper", "-i", "minicam")
    while crowd.count("archq", "ship") < SHIPPERS:  # all but one find the queue owned, and leave it alone
        crowd.begin("archq", "ship", "--once", "-d", "archive")
    while crowd.count("archq", "submit") < SUBMITTERS and not tally.is_over:
        crowd.begin("archq", "submit", *(_source(crowd.line) for _ in range(FILES_AT_ONCE)))
        tally.points += FILES_AT_ONCE


def _ended_well(crowd: Crowd) -> Iterator[str]:
    for member, ended in crowd.ended():
        yield from judged(ended)
        if ended.status:
            yield f"{member.program} {member.words[0]}: exit status {ended.status}: {ended.errors.strip()}"


def _source(line: Line) -> str:
    name = f"img{len(line.contents):06d}.fits"
    return line.source(name, (name.encode() * SIZE)[:SIZE])


def _all_acknowledged(line: Line) -> Iterator[str]:
    for name in sorted(line.contents.keys() - line.owed):
        yield f"{name} was submitted, and never acknowledged"
