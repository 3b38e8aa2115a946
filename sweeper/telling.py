"""Telling an operator: a problem is told when it begins, when it ends, and again from time to time between.

A cron job that mails the same line every ten minutes is one whose mail nobody reads.  What has been told is kept in
``$XDG_STATE_HOME/archq-sweeper`` (``~/.local/state`` by default); where that cannot be, everything is told each time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from archq import console, durable
from archq.errors import ArchqError
from archq.quantities import format_duration
from sweeper.report import Problem, Report, trouble_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from archq.errors import ExitStatus
    from sweeper.job import Job


@dataclass(frozen=True, slots=True, kw_only=True)
class Told:
    """When a problem began and when it was last told; seconds since 1970."""

    since: float
    last: float


def news_of(
    problems: Iterable[Problem], told: Mapping[str, Told], now: float, remind: float
) -> tuple[list[str], dict[str, Told]]:
    """Return the sentences that are due, and what has then been told; ``remind`` is in seconds."""
    messages, telling = [], {}
    for problem in problems:
        known = told.get(problem.key)
        if known is None:
            messages += [] if problem.begun else [problem.message]
            telling[problem.key] = Told(since=now, last=now)
        elif now - known.last >= remind:
            messages.append(f"{problem.message} (for {format_duration(now - known.since)} now)")
            telling[problem.key] = Told(since=known.since, last=now)
        else:
            telling[problem.key] = known
    for key, known in told.items():
        if key not in telling:
            messages.append(f"over after {format_duration(now - known.since)}: {key}")
    return messages, telling


def tell_all(jobs: Sequence[Job], sweep: Callable[[Job], Report], *, everything: bool = False) -> ExitStatus:
    """Call ``sweep`` for each job, tell what is new on standard error and return the worst exit status.

    With ``everything`` what lasts is told even if it is not due, and what was done as well.
    """
    both = Report()
    for job in jobs:
        report = _reported(job, sweep)
        prefix = f"{job.instrument.name}: " if len(jobs) > 1 else ""
        done = [report.summary] if everything else []
        for message in [*report.news, *_due(job, report.problems, everything=everything), *done]:
            console.complain("sweeper", f"{prefix}{message}")
        both.add(report)
    return both.status


def _due(job: Job, problems: list[Problem], *, everything: bool) -> list[str]:
    """Return what is due, and remember it.  On a terminal all is: whoever types the command wants to know."""
    told = _read(_state_file(job))
    messages, telling = news_of(problems, told, time.time(), job.sweeper.remind)
    remembered = telling == told or _write(_state_file(job), telling)
    if everything or not remembered or (sys.stderr is not None and sys.stderr.isatty()):
        messages += [problem.message for problem in problems if problem.message not in messages]
    return messages


def _reported(job: Job, sweep: Callable[[Job], Report]) -> Report:
    """Return what ``sweep`` reports; an error that ends it is a problem like others."""
    try:
        return sweep(job)
    except (ArchqError, OSError) as error:
        place = getattr(error, "filename", None)
        if not isinstance(place, str | bytes):  # none, or the number of a descriptor
            place = f"{job.incoming} or {job.logs.directory}"
        trouble = trouble_of(error, f"work in {os.fsdecode(place)}")
        report = Report()
        report.lasts(Problem(key=str(trouble), message=str(trouble)), trouble.status)
        return report


def _state_file(job: Job) -> str:
    base = os.environ.get("XDG_STATE_HOME") or os.path.expanduser("~/.local/state")
    who = "\n".join((job.instrument.name, str(job.sweeps_any), job.incoming, job.archive, job.logs.path(0)))
    return os.path.join(base, "archq-sweeper", hashlib.sha256(os.fsencode(who)).hexdigest()[:20] + ".json")


def _read(path: str) -> dict[str, Told]:
    with contextlib.suppress(OSError, ValueError, TypeError, AttributeError), open(path, encoding="utf-8") as file:
        return {key: Told(**told) for key, told in json.load(file).items()}
    return {}


def _write(path: str, telling: Mapping[str, Told]) -> bool:
    try:
        durable.make_directory(os.path.dirname(path))
        durable.write_over(path, json.dumps({key: asdict(told) for key, told in telling.items()}).encode())
    except OSError:
        return False
    return True
