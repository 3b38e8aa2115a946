"""Logs of any length: read in pieces, by several workers where that pays, into columns and single uploads."""

from __future__ import annotations

import gc
import os
from array import array
from bisect import bisect_left
from collections import Counter
from itertools import chain

from archq.console import progress
from archq.errors import TemporaryError
from archq.light import contextmanager, dataclass, replace
from archq.names import WireName
from logsum.events import Upload
from logsum.problems import Problems
from logsum.readers import xferlog
from logsum.readers.columns import Collector
from logsum.readers.files import blocks, lines_of
from logsum.readers.ftplog import FORMATS, readable, require_log, rotated, tell_unknown, years_of
from logsum.readers.pieces import tasks
from logsum.readers.source import Source
from logsum.readers.stamps import Calendar, ServerClock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import tzinfo

    from logsum.period import Period
    from logsum.readers.columns import Found, Packed, Question
    from logsum.readers.pieces import Task
    from logsum.readers.source import Reader

WORTH_WORKERS = 1 << 24  # bytes: less is read before workers are at work
MOST_WORKERS = 4
_COMPARED_AT_ONCE = 50_000  # hashes, of which there may be millions


_Told = tuple[str, str, int, int, float | None, int, bool, str, str]  # an upload's wire name, and the rest of it


@dataclass(frozen=True, slots=True)
class Answer:
    """What logs tell: columns by what the report calls the instrument, and what has to be looked at one by one."""

    columns: Mapping[str, Sequence[Packed]]
    singly: Sequence[Upload]


@dataclass(frozen=True, slots=True)
class Job:
    """What every worker has to know."""

    question: Question
    zone: tzinfo
    years: Mapping[str, int]  # in which files begin whose stamps do not tell it


def ask(path: str, zone: tzinfo, question: Question, problems: Problems, *, workers: int | None = None) -> Answer:
    """Ask the log ``path`` and its rotated elders; raise OSError if it cannot be read.

    An id that no transfer log knows and that comes more than once is looked at singly: for that, the pieces in which it
    is are read again.
    """
    require_log(path)
    parts = readable(rotated(path), problems)
    job = Job(question, zone, years_of(parts, zone))
    todo = tasks(parts, zone, question.to_be_read)
    count = _workers() if workers is None else workers
    found = _looked_up(todo, job, count, f"reading {os.path.basename(path)}")
    if suspects := _suspects(found):
        again = [place for place, one in enumerate(found) if not suspects.isdisjoint(one.hashes)]
        careful = replace(job, question=replace(question, suspects=suspects))
        some = [todo[place] for place in again]
        for place, one in zip(again, _looked_up(some, careful, count, "comparing names"), strict=True):
            found[place] = one
    for one in found:
        problems.add(one.problems)
    return _together(found)


def _looked_up(todo: Sequence[Task], job: Job, workers: int, label: str) -> list[Found]:
    with progress(label, sum(map(_size, todo))) as advance:
        return list(_results(todo, job, workers, advance))


def _workers() -> int:
    return min(len(os.sched_getaffinity(0)), MOST_WORKERS)


def _size(task: Task) -> int:
    return sum(piece.size for piece in task)


def _together(found: Sequence[Found]) -> Answer:
    columns: dict[str, list[Packed]] = {}
    for one in found:
        for title, packed in one.columns.items():
            columns.setdefault(title, []).append(packed)
    return Answer(columns, [upload for one in found for upload in one.singly])


def _suspects(found: Sequence[Found]) -> frozenset[int]:
    """Return the hashes of ids that come more than once, or seem to: a range at a time, as all are too many to sort."""
    singles = {hash(upload.wire.id.encode()) for one in found for upload in one.singly}
    all_hashes = [*(one.hashes for one in found), array("q", sorted(singles))]
    total = sum(map(len, all_hashes))
    step = 2**64 // (total // _COMPARED_AT_ONCE + 1) + 1
    suspects: set[int] = set()
    for low in range(-(2**63), 2**63, step):
        some = [hashes[bisect_left(hashes, low) : bisect_left(hashes, low + step)] for hashes in all_hashes]
        if len(set(chain(*some))) < sum(map(len, some)):
            suspects |= {value for value, times in Counter(chain(*some)).items() if times > 1}
    return frozenset(suspects)


def _results(todo: Sequence[Task], job: Job, workers: int, advance: Callable[[int], None]) -> Iterator[Found]:
    """Yield what each task has found, in order."""
    if workers < 2 or len(todo) < 2 or sum(map(_size, todo)) < WORTH_WORKERS:
        found = (_do(task, job) for task in todo)
        yield from _watched(found, todo, advance)
        return
    # They take a while to load.
    import multiprocessing
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    # Forked, so that they know hashes as we do, and what is known without being told.
    with ProcessPoolExecutor(workers, multiprocessing.get_context("fork"), _begin, (job,)) as pool:
        try:
            yield from _watched(map(_from_worker, pool.map(_do_as_worker, todo)), todo, advance)
        except BrokenProcessPool as error:
            raise TemporaryError(
                "a process that was reading the log was killed; if memory is short, report a shorter period"
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)  # of no use any more if we are interrupted


def _watched(found: Iterator[Found], todo: Sequence[Task], advance: Callable[[int], None]) -> Iterator[Found]:
    for task, one in zip(todo, found, strict=True):
        yield one
        advance(_size(task))


_jobs: list[Job] = []  # a worker's one


def _begin(job: Job) -> None:
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # who has started us ends us
    _jobs[:] = [job]


def _do_as_worker(task: Task) -> tuple[Found, list[_Told]]:
    """Give what was found with the single uploads beside it, as plain as they can be: they are many, perhaps."""
    found = _do(task, _jobs[0])
    return replace(found, singly=[]), [_plain(upload) for upload in found.singly]


def _plain(upload: Upload) -> _Told:
    wire = upload.wire
    told = upload.ended, upload.seconds, upload.size, upload.complete, upload.user, upload.client
    return wire.instrument, wire.id, wire.attempt, *told


def _from_worker(given: tuple[Found, list[_Told]]) -> Found:
    found, told = given
    found.singly.extend(map(_upload, told))
    return found


def _upload(told: _Told) -> Upload:
    instrument, id_, attempt, ended, seconds, size, complete, user, client = told
    wire = WireName(instrument=instrument, id=id_, attempt=attempt)
    return Upload(wire=wire, ended=ended, seconds=seconds, size=size, complete=complete, user=user, client=client)


@contextmanager
def _no_collecting() -> Iterator[None]:
    """Keep the collector from looking at millions of values again and again: nothing here is in cycles."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _do(task: Task, job: Job) -> Found:
    problems, collector = Problems(), Collector(job.question)
    with _no_collecting():
        for reader, source, text in _opened(task, job.zone, job.years, problems):
            if isinstance(reader, xferlog.Reader):
                for block in text:
                    collector.take_block(block, reader, source)
            else:
                collector.take(reader.read(lines_of(text), source))
        return collector.found(problems)


def read_period(path: str, zone: tzinfo, period: Period, problems: Problems) -> Iterator[Upload]:
    """Yield the uploads of which the log ``path`` and its elders tell around ``period``, one by one.

    Raise OSError if it cannot be read.
    """
    require_log(path)
    parts = readable(rotated(path), problems)
    years = years_of(parts, zone)
    for task in tasks(parts, zone, period):
        for reader, source, text in _opened(task, zone, years, problems):
            yield from reader.read(lines_of(text), source)


def _opened(
    task: Task, zone: tzinfo, years: Mapping[str, int], problems: Problems
) -> Iterator[tuple[Reader, Source, Iterator[bytes]]]:
    """Yield each piece's blocks with who can read them; of a piece that nobody can it is told."""
    clock = ServerClock(zone)
    readers = {kind: kind() for kind in FORMATS}
    for piece in task:
        source = Source(path=piece.path, problems=problems, clock=clock, calendar=Calendar(years.get(piece.path, 0)))
        text = blocks(piece.path, problems, piece.start, piece.end)
        if piece.kind:
            yield readers[piece.kind], source, text
        elif head := next(text, b""):
            tell_unknown(source, [head])
