"""Do what a command asks of the file server, and tell it that it failed: the logic that NFS wants.

A reply that is lost for good is an error (EIO).  One that is lost once makes the client ask again, and what comes then
is the answer to the second request: the source is gone, or the name is taken (rename(2), BUGS; open(2), O_EXCL).
"""

from __future__ import annotations

import errno
import os
from functools import partial
from typing import TYPE_CHECKING

from archq import durable
from tests.faults import invariants, scenarios, tracer
from tests.faults.errors import calls_on_files, judged
from tests.faults.programme import Limits, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from tests.faults.scenarios import Scenario, Scene, Stage
    from tests.faults.strace import Call

QUICK = Limits(seconds=45, points=400)
LONG = Limits(seconds=3600, points=20_000)

_AGAIN = {
    "link": "EEXIST",
    "linkat": "EEXIST",
    "mkdir": "EEXIST",
    "mkdirat": "EEXIST",
    "rename": "ENOENT",
    "renameat": "ENOENT",
    "renameat2": "EEXIST",
    "unlink": "ENOENT",
    "unlinkat": "ENOENT",
}
_MAY_WRITE = ("O_WRONLY", "O_RDWR")


def run(
    stage: Stage,
    limits: Limits = QUICK,
    chosen: Sequence[Scenario] = scenarios.ALL,
    meddle: Callable[[], object] | None = None,
) -> Tally:
    tally = Tally("lost replies", limits, left_out=tracer.lacking())
    if tally.left_out:
        return tally
    points = [
        (scene, way, point)
        for scene in map(stage.scene, chosen)
        for way in (as_it_is, without_no_replace)
        for point in _points(calls_on_files(stage, scene, way))
    ]
    for scene, way, point in tally.sampled(points):
        where = "{0}, {3} after {1} {2} was done".format(scene.name, *point) + f", {way.__name__}"
        tally.blame(where, _point(stage, scene, partial(_begin, way, meddle), point, tally))
    return tally


def as_it_is() -> None:
    """Change nothing of what the filesystem can do."""


def without_no_replace() -> None:
    """Refuse as NFS does to rename without replacing: our own way around it has replies to lose, too."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    durable._rename_no_replace = refuse


def _begin(way: Callable[[], object], meddle: Callable[[], object] | None) -> None:
    way()
    if meddle:
        meddle()


def _points(calls: Iterable[tuple[Call, int]]) -> list[tuple[str, int, str]]:
    """Return each site of a clean run, by call and number, with each answer that may come instead of the lost one."""
    found: set[tuple[str, int, str]] = set()
    written: dict[str, bool] = {}  # whether the descriptor was opened for writing, as strace shows it
    for call, number in calls:
        if call.name in {"open", "openat"}:
            written[f"{call.result}<{call.path}>"] = any(word in call.text for word in _MAY_WRITE)
        # A server has something to say when a file is closed that was written.
        if call.name in tracer.NUMBERS and call.result == 0 and (call.name != "close" or written.get(call.text)):
            found.update((call.name, number, error) for error in {"EIO", _AGAIN.get(call.name, "EIO")})
    return sorted(found)


def _point(
    stage: Stage, scene: Scene, meddle: Callable[[], object], point: tuple[str, int, str], tally: Tally
) -> Iterator[str]:
    line = scene.snapshot.restore().meddled(meddle)
    told, loss = stage.scratch / "lost", tracer.Loss.of(*point, line.home, line.incoming)
    try:
        ended = line.watched(scene.program, scene.words, lambda pid: tracer.losing(pid, loss, told))
    except TimeoutError as hung:
        yield str(hung)
        return
    lost = int(told.read_text())  # in each of several processes, perhaps
    tally.injected += lost
    yield from judged(ended, faults=lost)
    yield from invariants.always(line)
    yield from invariants.aftermath(line, scene.program, scene.words)
