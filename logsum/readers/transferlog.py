"""Transfer logs, which the sweeper writes: its verdicts from every log in a directory."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from itertools import chain

from archq.console import progress
from archq.errors import MalformedError
from archq.instants import SECOND, parse_instant
from archq.light import pattern
from archq.names import parse_wire_name
from archq.transferlog import FINAL, PASSING, Outcome, parse_outcome
from logsum.events import Verdict
from logsum.period import clock_of
from logsum.readers.files import blocks, lines_of
from logsum.readers.usual import usual_verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from logsum.problems import Problems

# The sweeper's clock may run behind the one that timed the transfer, by far less than a day.
_SLACK = timedelta(days=1)

_DATED = pattern(r"(?a)(\d{4})(\d\d)(\d\d)\.tdcin\.log(?:\.gz)?")
_STAMP = pattern(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")
_QUEUED = pattern(rb" queued=(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)")
_SNIFFED = 5  # lines: a damaged first one does not hide a log


def read_directory(directory: str, since: int, problems: Problems, until: int | None = None) -> Iterator[Verdict]:
    """Yield the verdicts from the transfer logs in ``directory`` that may tell of transfers from ``since`` on.

    Files that were queued after ``until`` are left out: they are in the logs of later days, which may tell of older
    files too.
    """
    latest = None if until is None else _stamp(until)
    names = [
        name for name in sorted(os.listdir(directory)) if not name.startswith(".") and not _is_earlier(name, since)
    ]
    paths = [path for path in (os.path.join(directory, name) for name in names) if os.path.isfile(path)]
    sizes = [os.path.getsize(path) for path in paths]
    with progress("reading transfer logs", sum(sizes)) as advance:
        for path, size in zip(paths, sizes, strict=True):
            yield from read_file(path, problems, latest)
            advance(size)


def read_file(path: str, problems: Problems, latest: bytes | None = None) -> Iterator[Verdict]:
    """Yield the verdicts in one transfer log, plain or gzipped; what cannot be used is counted.

    Lines that tell of a file queued after ``latest``, a stamp, are passed over unread.
    """
    text = blocks(path, problems)
    first = next(text, b"")
    if first and not any(map(_STAMP.match, first.split(b"\n", _SNIFFED)[:_SNIFFED])):
        problems.warn(f"{path}: not a transfer log, left out")
        return
    for block in chain((first,), text):
        if not latest or not _is_later(block, latest):
            yield from _verdicts(block, path, problems, latest)


def _verdicts(block: bytes, path: str, problems: Problems, latest: bytes | None) -> Iterator[Verdict]:
    for line in lines_of((block,)):
        if latest and _is_later(line, latest):
            continue
        if verdict := usual_verdict(line):
            yield verdict
        else:
            yield from _parsed(line, path, problems)


def _stamp(until: int) -> bytes | None:
    """Return what the stamps of files surely queued after ``until`` are greater than, None where no year has it."""
    try:
        return (clock_of(until, UTC) + _SLACK).strftime("%Y-%m-%dT%H:%M:%S").encode()
    except OverflowError:
        return None


def _is_later(lines: bytes, latest: bytes) -> bool:
    """Tell at one glance: a report about last year should not have to read this year's lines word by word."""
    queued = _QUEUED.findall(lines)
    is_told = queued and len(queued) == lines.count(b"\n") and b" skew=" not in lines  # a wrong clock tells nothing
    return bool(is_told) and min(queued) > latest


def _parsed(line: bytes, path: str, problems: Problems) -> Iterator[Verdict]:
    try:
        outcome = parse_outcome(line)
        if outcome.outcome in FINAL or outcome.outcome in PASSING:
            yield _verdict(outcome)
        else:
            problems.unreadable(path, line, f"an unknown outcome, {outcome.outcome}")
    except (MalformedError, ValueError, OverflowError):  # seconds=inf
        problems.unreadable(path, line)


def _verdict(outcome: Outcome) -> Verdict:
    facts = outcome.facts
    wire = parse_wire_name(facts.get("wire", ""))
    if not wire:
        raise MalformedError("a line without a wire name")
    seconds = float(facts["seconds"]) if "seconds" in facts else None
    return Verdict(
        wire=wire,
        instrument=facts.get("instrument", wire.instrument),
        outcome=outcome.outcome,
        time=outcome.time,
        ended=_ended(outcome, seconds),
        size=int(facts["size"]) if "size" in facts else None,
        seconds=seconds,
        queued=_queued(facts),
        path=facts.get("path"),
        checksum=facts.get("checksum"),
        reason=facts.get("reason"),
        beside=facts.get("with"),
    )


def _queued(facts: Mapping[str, str]) -> int | None:
    if "queued" not in facts:
        return None
    return parse_instant(facts["queued"]) + round(float(facts.get("skew", 0)) * SECOND)


def _ended(outcome: Outcome, seconds: float | None) -> int:
    """Return when the transfer was over: by the sender's clock, or by ours where that one was found to be wrong."""
    facts = outcome.facts
    if "arrived" in facts:
        return parse_instant(facts["arrived"])
    if "started" in facts and seconds is not None:
        return parse_instant(facts["started"]) + round(seconds * SECOND)
    return outcome.time


def _is_earlier(name: str, since: int) -> bool:
    """Tell by its name whether a log ends before ``since``: it holds what was swept on one UTC date, never before."""
    match = _DATED.fullmatch(name)
    if not match:
        return False
    try:
        year, month, date = map(int, match.groups())
        day = datetime(year, month, date, tzinfo=UTC)
        return day + timedelta(days=1) + _SLACK < clock_of(since, UTC)
    except (ValueError, OverflowError):
        return False
