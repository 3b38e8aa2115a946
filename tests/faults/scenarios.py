"""The commands that faults are put into, each with a line made ready for it."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archq.names import new_id
from archq.spool import SYNCED_TOGETHER
from sweeper.round import SYNC_EACH_BELOW
from tests.conftest import Fleet
from tests.faults import strace
from tests.faults.line import SWEEP_ANY, VISITOR, Line, Snapshot
from tests.places import Harbour

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.places import Place

    Prepare = Callable[[Line], tuple[str, ...]]

HERE = ""  # the place that is a directory of the line's own


@dataclass(frozen=True, slots=True)
class Scenario:
    """One command; ``prepare`` makes its line ready and returns its words."""

    name: str
    program: str
    prepare: Prepare
    place: str = HERE


@dataclass(frozen=True, slots=True)
class Scene:
    """A scenario on its stage: its line can be brought back as often as it is needed."""

    name: str
    program: str
    words: tuple[str, ...]
    snapshot: Snapshot


@dataclass
class Stage:
    """Where scenarios are played, one after the other: a scratch directory and the servers."""

    scratch: Path
    stack: ExitStack
    _harbour: Harbour = field(init=False)
    _scenes: dict[str, Scene] = field(default_factory=dict)

    def __post_init__(self) -> None:
        def place(name: str) -> Path:
            path = self.scratch / f"{name}-{new_id()}"
            path.mkdir()
            return path

        self._harbour = Harbour(self.stack, Fleet(self.stack), place)

    def place(self, name: str) -> Place:
        """Give a place that files can be put into, by its name."""
        return self._harbour.place(name)

    def scene(self, scenario: Scenario) -> Scene:
        if scenario.name not in self._scenes:
            place = self.place(scenario.place) if scenario.place else None
            line = Line.at(self.scratch / "line", place)
            words = scenario.prepare(line)
            snapshot = line.snapshot(self.scratch / "snapshots" / scenario.name.replace(" ", "-").replace(",", ""))
            self._scenes[scenario.name] = Scene(scenario.name, scenario.program, words, snapshot)
        return self._scenes[scenario.name]


@contextmanager
def stage(scratch: Path) -> Iterator[Stage]:
    with ExitStack() as stack:
        yield Stage(scratch, stack)


def submit(line: Line) -> tuple[str, ...]:
    line.build()
    line.submit("before.fits")
    return ("submit", line.source("one.fits", b"one" * 1000), line.source("two.fits", b"two" * 70_000))


def submit_first(line: Line) -> tuple[str, ...]:
    line.build()
    return ("submit", "-o", "dir=calibration", line.source("one.fits", b"one" * 1000))


def submit_linked(line: Line) -> tuple[str, ...]:
    line.build('spool_mode = "link"\n')
    return ("submit", line.source("one.fits", b"one" * 1000), line.source("two.fits", b"two" * 1000))


def submit_many(line: Line) -> tuple[str, ...]:
    """So many files that they are synced together."""
    line.build()
    names = [f"many{number:02}.fits" for number in range(SYNCED_TOGETHER)]
    return ("submit", *(line.source(name, name.encode() * 10) for name in names))


def ship(line: Line) -> tuple[str, ...]:
    line.build("connections = 1\n")
    line.submit("one.fits", "two.fits")
    line.submit("three.fits", size=200_000)
    return ("ship", "--once", "-d", "archive")


def ship_interrupted(call: str, number: int) -> Prepare:
    """Return a line whose shipper was killed at its ``number``-th ``call``, when a file was there but for its name."""
    return interrupted(ship, "archq", call, number)


def change(*words: str) -> Prepare:
    def prepare(line: Line) -> tuple[str, ...]:
        line.build()
        line.submit("one.fits", "two.fits")
        return words

    return prepare


def change_sent(*words: str) -> Prepare:
    def prepare(line: Line) -> tuple[str, ...]:
        line.build()
        line.submit("one.fits", "two.fits")
        line.run("archq", "ship", "--once")
        if "purge" in " ".join(words):
            line.owed.clear()  # whoever says purge takes the files back
        return words

    return prepare


def sweep(line: Line) -> tuple[str, ...]:
    """One arrival of each outcome: filed, conflict, duplicate by content and by id, rejected."""
    line.build()
    night = line.home / "archive" / "data"
    night.mkdir()
    _submit_as_night(line)
    line.run("archq", "ship", "--once")
    _damage_one(line)
    _try_again(line)
    return ("-i", "minicam")


def _submit_as_night(line: Line) -> None:
    line.build()
    night = line.home / "data" / "2026.1120"
    night.mkdir()
    planted = line.home / "archive" / "2026.1120"
    planted.mkdir(parents=True)
    (planted / "taken.fits").write_bytes(b"before")
    for name, content in (("first.fits", b"first"), ("taken.fits", b"beside"), ("damaged.fits", b"damaged")):
        path = night / name
        path.write_bytes(content)
        os.utime(path, ns=(1_795_144_455_926_535_897,) * 2)
        line.contents[name] = content
        line.run("archq", "submit", str(path))


def _damage_one(line: Line) -> None:
    """Change a byte on the way: the sender keeps its copy, and its user is owed the file no more by the sweeper."""
    for path in line.incoming.glob("*.df"):
        if path.read_bytes() == b"damaged":
            path.write_bytes(b"dAmaged")
    line.owed.discard("damaged.fits")


def _try_again(line: Line) -> None:
    """Leave a further try of the first file, as after a commit whose reply was lost."""
    for path in line.incoming.glob("*.df"):
        if path.read_bytes() == b"first":
            for kind in ("df", "cf"):
                source = path.with_suffix(f".{kind}")
                target = path.with_name(path.name.replace(".1.df", f".2.{kind}"))
                target.write_bytes(source.read_bytes())


def sweep_many(line: Line) -> tuple[str, ...]:
    """So many arrivals, for so many directories, that they are synced together."""
    line.build()
    for number in range(SYNC_EACH_BELOW + 1):
        (line.home / "data" / f"2026.11{number + 10}").mkdir()
    names = [f"2026.11{number + 10}/many{number}.fits" for number in range(SYNC_EACH_BELOW + 1)]
    line.run("archq", "submit", *(line.source(name, name.encode() * 10) for name in names))
    line.run("archq", "ship", "--once")
    return ("-i", "minicam")


def sweep_any(line: Line) -> tuple[str, ...]:
    """Two arrivals of an instrument that nobody has configured."""
    line.build()
    line.submit("one.fits", "two.fits", words=("-o", f"inst={VISITOR}"))
    line.run("archq", "ship", "--once")
    return SWEEP_ANY


def sweep_leftovers(line: Line) -> tuple[str, ...]:
    """A data file without its control file, and one that was cut off, of which a later try has been filed."""
    line.build()
    line.submit("one.fits")
    line.run("archq", "ship", "--once")
    (data,) = line.incoming.glob("*.df")
    later = {kind: data.name.replace(".1.df", f".2.{kind}") for kind in ("df", "cf")}
    (line.incoming / later["df"]).write_bytes(data.read_bytes())
    data.with_suffix(".cf").rename(line.incoming / later["cf"])
    (line.incoming / f".{later['df'].replace('.2.', '.3.')}.part").write_bytes(b"cut off")
    line.let_rest()
    return ("-i", "minicam")


def recovery(call: str, number: int) -> Prepare:
    """Return a line whose sweeper was killed at its ``number``-th ``call``."""
    return interrupted(sweep, "sweeper", call, number)


def interrupted(prepare: Prepare, program: str, call: str, number: int) -> Prepare:
    """Return a line on which the command was killed once, and is given again."""

    def prepare_and_kill(line: Line) -> tuple[str, ...]:
        words = prepare(line)
        trace = line.home.with_name("trace")
        line.traced(program, words, strace.killing(call, number), trace)
        killed = "killed by SIGKILL" in trace.read_text()
        assert killed, f"{program} {' '.join(words)} makes no {number} calls of {call}"
        return words

    return prepare_and_kill


SUBMISSIONS = [
    Scenario("submit", "archq", submit),
    Scenario("first submit", "archq", submit_first),
    Scenario("submit by link", "archq", submit_linked),
    Scenario("submit of many files", "archq", submit_many),
    Scenario("submit beside a dead one", "archq", interrupted(submit, "archq", "rename", 1)),
]
SHIPMENTS = [
    Scenario("ship", "archq", ship),
    Scenario("ship, take-over", "archq", ship_interrupted("renameat2", 2)),
    Scenario("ship by sftp", "archq", ship, "embedded sftp, full"),
    Scenario("ship by sftp to a drop box", "archq", ship, "embedded sftp, drop box"),
    Scenario("ship by sftp, take-over", "archq", ship_interrupted("fsync", 3), "embedded sftp, full"),
    Scenario("ship by ftp", "archq", ship, "embedded ftp, full"),
    Scenario("ship by ftp to a drop box", "archq", ship, "embedded ftp, drop box"),
]
CHANGES = [
    Scenario("cancel", "archq", change("cancel", "archive-1")),
    Scenario("alter", "archq", change("alter", "archive-1", "-o", "observer=Lowell")),
    Scenario("move", "archq", change("move", "archive-1", "other")),
    Scenario("retry", "archq", change_sent("retry", "archive-1")),
    Scenario("purge", "archq", change_sent("cancel", "--purge", "archive-1")),
]
SWEEPS = [
    Scenario("sweep and reject", "sweeper", sweep),
    Scenario("sweep of many files", "sweeper", sweep_many),
    Scenario("sweep -A", "sweeper", sweep_any),
    Scenario("sweep leftovers", "sweeper", sweep_leftovers),
]
RECOVERIES = [
    Scenario("recovery before the record", "sweeper", recovery("fsync", 6)),
    Scenario("recovery before publishing", "sweeper", recovery("renameat2", 1)),
    Scenario("recovery while publishing", "sweeper", recovery("renameat2", 2)),
    Scenario("recovery before leaving", "sweeper", recovery("unlinkat", 2)),
    Scenario("recovery of sweep -A", "sweeper", interrupted(sweep_any, "sweeper", "renameat2", 3)),
]
ALL = [*SUBMISSIONS, *SHIPMENTS, *CHANGES, *SWEEPS, *RECOVERIES]
