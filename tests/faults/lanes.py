"""Points that mostly wait, tried side by side in forked processes."""

from __future__ import annotations

import multiprocessing
import time
import traceback
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from tests.faults.programme import Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection

    Group = TypeVar("Group")

_PROCESSES = multiprocessing.get_context("fork")


def in_lanes(
    tally: Tally, groups: Sequence[tuple[Group, int]], work: Callable[[Group, Tally], object], lanes: int
) -> None:
    """Call ``work`` for each group with a tally that has its share of the time; add up what comes of it.

    Each group comes with the number of its points, by which the time is shared.
    """
    pipes = []
    for lane in range(min(lanes, len(groups))):
        ours, theirs = _PROCESSES.Pipe(duplex=False)
        process = _PROCESSES.Process(target=_lane, args=(tally, groups[lane::lanes], work, theirs))
        process.start()
        theirs.close()
        pipes.append((process, ours))
    for process, pipe in pipes:
        try:
            _add(tally, pipe.recv())
        except EOFError:
            tally.blame("lane", ["ended without a word"])
        process.join()
    tally.stop()


def _lane(
    tally: Tally, groups: Sequence[tuple[Group, int]], work: Callable[[Group, Tally], object], pipe: Connection
) -> None:
    end = time.monotonic() + tally.limits.seconds
    tallies = []
    left = sum(points for _group, points in groups)
    for group, points in groups:
        seconds = max(0.0, end - time.monotonic()) * points / left
        own = Tally(tally.technique, replace(tally.limits, seconds=seconds))
        try:
            work(group, own)
        except Exception:
            own.blame(str(group), [traceback.format_exc()])
        tallies.append(own)
        left -= points
    pipe.send(tallies)


def _add(tally: Tally, others: Sequence[Tally]) -> None:
    for other in others:
        tally.points += other.points
        tally.of = (tally.of or 0) + (other.of or 0)
        tally.injected += other.injected
        tally.violations += other.violations
        tally.facts |= other.facts
        if other.left_out and other.left_out not in tally.left_out:
            tally.left_out = f"{tally.left_out}; {other.left_out}" if tally.left_out else other.left_out
