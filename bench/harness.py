"""Run contenders in turn on the same work, and say by how much they differ.

Turns are interleaved, so that whatever else the machine does hits all alike; medians decide.  Every turn's time is kept
in the JSON document, so that a reader can judge how steady they were.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

TURNS_OF_GROWTH = 2


def nothing() -> None:
    """Do nothing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Contender:
    """A program that does the work; ``goal`` is the highest ratio to its peer to be satisfied with."""

    name: str
    run: Callable[[], object]
    prepare: Callable[[], object] = nothing  # before each turn; its time does not count
    verify: Callable[[], object] = nothing  # after each turn, likewise: raises where the work was not done
    goal: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """What one contender needed.  Times are in seconds; ``ratio`` is by medians, to ``against``."""

    work: str
    name: str
    times: tuple[float, ...]
    median: float
    against: str
    ratio: float
    goal: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """Something measured that has to stay below a limit of its own, whatever others need."""

    what: str
    value: float
    limit: float
    unit: str


@dataclass(frozen=True, slots=True)
class Report:
    """What one run has found."""

    rows: list[Row] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    versions: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def compare(
        self,
        work: str,
        ours: Sequence[Contender],
        peers: Sequence[Contender],
        *,
        against: str | None = None,
        turns: int = 5,
    ) -> None:
        """Let all do ``work``, ``turns`` times each; ratios are to the peer ``against``, by default the fastest."""
        times = measured((*ours, *peers), turns)
        medians = {name: statistics.median(found) for name, found in times.items()}
        reference = against or min((one.name for one in peers or ours), key=medians.__getitem__)
        for one in (*ours, *peers):
            ratio = medians[one.name] / medians[reference]
            row = Row(
                work=work,
                name=one.name,
                times=times[one.name],
                median=medians[one.name],
                against=reference,
                ratio=ratio,
                goal=one.goal,
            )
            self.rows.append(row)
            _progress(f"{work}: {one.name} {_seconds(row.median)}, {ratio:.2f} times {reference}")

    def check(self, what: str, value: float, limit: float, unit: str) -> None:
        """Take up a figure that has a limit."""
        self.figures.append(Figure(what=what, value=value, limit=limit, unit=unit))
        _progress(f"{what}: {value:.3g} {unit}")

    def grow(self, what: str, sizes: Sequence[int], of: Callable[[int], Contender], limit: float) -> None:
        """Take up by how much the cost of one in many is that of one in the fewest; ``of`` makes the work of a size."""
        costs = [_fastest(of(size)) / size for size in sizes]
        for size, cost in zip(sizes[1:], costs[1:], strict=True):
            self.check(f"{what.format(size)}, each to each of {sizes[0]:,}", cost / costs[0], limit, "times")

    def note(self, text: str) -> None:
        """Take up what a reader has to know beside the figures."""
        self.notes.append(text)


def _fastest(one: Contender) -> float:
    [times] = measured([one], TURNS_OF_GROWTH).values()
    return min(times)


def measured(contenders: Sequence[Contender], turns: int) -> Mapping[str, tuple[float, ...]]:
    """Return the times of each contender; who begins changes from turn to turn.

    What one left to the disk to be written later is written before the next one begins, who may have to wait for it.
    """
    times: dict[str, list[float]] = {one.name: [] for one in contenders}
    for turn in range(turns):
        shift = turn % len(contenders)
        for one in (*contenders[shift:], *contenders[:shift]):
            one.prepare()
            os.sync()
            begun = time.perf_counter()
            one.run()
            times[one.name].append(time.perf_counter() - begun)
            one.verify()
    return {name: tuple(found) for name, found in times.items()}


def succeed(*words: str | os.PathLike[str], environment: Mapping[str, str] | None = None) -> bytes:
    """Run a program and return its output; a failure ends the benchmark with the program's own words."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, env=environment)
    if done.returncode:
        raise RuntimeError(f"{words[0]} failed: {done.stderr.decode(errors='replace').strip()}")
    return done.stdout


def first_line(*words: str, environment: Mapping[str, str] | None = None) -> str:
    """Return the first line in which a program tells its version, on whichever stream it does."""
    done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, env=environment)
    lines = (done.stdout or done.stderr).decode(errors="replace").strip().split("\n")
    return " ".join(lines[0].split())[:60]


def machine() -> dict[str, str]:
    """Return what the figures depend on beside the programs."""
    return {
        "processor": f"{_processor()}, {len(os.sched_getaffinity(0))} usable",
        "memory": f"{os.sysconf('SC_PHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 1e9:.1f} GB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        "load": " ".join(f"{value:.2f}" for value in os.getloadavg()),
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _processor() -> str:
    with open("/proc/cpuinfo", encoding="utf-8") as lines:
        return next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), "unknown")


def text(report: Report) -> str:
    """Return ``report`` for people."""
    from tabulate import tabulate

    facts = [f"{name}: {value}" for name, value in (machine() | report.versions).items()]
    rows = tabulate(
        [_cells(row) for row in report.rows],
        headers=("work", "program", "median", "fastest", "ratio", "to", "goal", ""),
        disable_numparse=True,
        colalign=("left", "left", "right", "right", "right", "left", "right", "left"),
    )
    figures = tabulate(
        [
            (one.what, f"{one.value:.3g} {one.unit}", f"{one.limit:g} {one.unit}", _verdict(one.value <= one.limit))
            for one in report.figures
        ],
        headers=("figure", "measured", "limit", ""),
    )
    parts = ("\n".join(facts), "\n".join(report.notes), rows if report.rows else "", figures if report.figures else "")
    return "\n\n".join(part for part in parts if part)


def _cells(row: Row) -> tuple[str, ...]:
    goal, verdict = ("", "") if row.goal is None else (f"{row.goal:.2f}", _verdict(row.ratio <= row.goal))
    times = _seconds(row.median), _seconds(min(row.times))
    return row.work, row.name, *times, f"{row.ratio:.2f}", row.against, goal, verdict


def _verdict(reached: bool) -> str:
    return "reached" if reached else "not reached"


def _seconds(value: float) -> str:
    return f"{value * 1e3:.1f} ms" if value < 1 else f"{value:.2f} s"


def _progress(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def save(report: Report, path: Path) -> None:
    """Write ``report`` as one JSON document."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"machine": machine()} | asdict(report), indent=2) + "\n")
