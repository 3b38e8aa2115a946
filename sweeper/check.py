"""Comparing an archive with its logs, long after: --check.

Everything that the logs say was filed is read again.  How far that has come is kept beside the logs, so that an
interrupted check goes on where it stopped.
"""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from typing import TYPE_CHECKING, Self

from archq import console, durable
from archq.checksum import parse_checksum, sum_file
from archq.errors import MalformedError
from archq.instants import format_instant
from archq.transferlog import CONFLICT, FILED, parse_outcome
from sweeper.filing import TEMPORARY
from sweeper.ledger import Ledger
from sweeper.planning import rules_of
from sweeper.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archq.transferlog import Outcome
    from sweeper.job import Job
    from sweeper.placement import Parts

STATE = ".archq-check"

_SAVE = 5.0  # seconds between two notes of how far it has come

# A path may hold bytes that are no text.  A file that was filed, moved away and filed again counts as it was last.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS filed (path BLOB PRIMARY KEY, size INTEGER, checksum TEXT, time INTEGER, verdict TEXT);
CREATE INDEX IF NOT EXISTS unread ON filed (path) WHERE verdict IS NULL;
"""
_NOTE = """
INSERT INTO filed VALUES (?, ?, ?, ?, NULL) ON CONFLICT (path) DO UPDATE
SET size = excluded.size, checksum = excluded.checksum, time = excluded.time, verdict = NULL
WHERE excluded.time > filed.time
"""


def check(job: Job, tell: Callable[[str], None]) -> int:
    """Compare the archive with its logs; call ``tell`` with a sentence for each difference, return their number."""
    differences = 0
    with Tree(job.archive) as archive, _State(job) as state:
        state.note(_filed(job))
        for path, verdict in state.verdicts(archive, f"checking {os.path.basename(job.archive)}"):
            differences += 1
            tell(f"{console.printable(path)}: {verdict}")
        for path, verdict in _unlogged(job, state):
            differences += 1
            tell(f"{console.printable(path)}: {verdict}")
        state.forget()
    return differences


def _filed(job: Job) -> Iterator[Outcome]:
    """Yield what the logs say was filed."""
    with Ledger(job.logs, untouched=True) as ledger:
        for line in ledger.lines():
            with contextlib.suppress(MalformedError):
                outcome = parse_outcome(line)
                if outcome.outcome in {FILED, CONFLICT} and {"path", "size", "checksum"} <= set(outcome.facts):
                    yield outcome


class _State:
    """How far a check has come: one row for each path."""

    def __init__(self, job: Job) -> None:
        prefix = f".{job.logs.name}" if job.logs.alone else ""
        self._path = os.path.join(job.logs.directory, f"{prefix}{STATE}")
        self._rows = sqlite3.connect(self._path, isolation_level=None)

    def __enter__(self) -> Self:
        self._rows.executescript(f"PRAGMA synchronous = NORMAL;{_SCHEMA}")
        return self

    def __exit__(self, *_: object) -> None:
        self._rows.close()

    def note(self, outcomes: Iterator[Outcome]) -> None:
        """Take in what was filed; what has been read since it was filed need not be read again."""
        self._rows.execute("BEGIN")
        with self._rows:
            self._rows.executemany(
                _NOTE,
                (
                    (os.fsencode(one.facts["path"]), int(one.facts["size"]), one.facts["checksum"], one.time)
                    for one in outcomes
                ),
            )

    def verdicts(self, archive: Tree, label: str) -> Iterator[tuple[str, str]]:
        """Read what has not been read yet; yield what is not as it was filed, that of an earlier run included."""
        yield from self._differences()
        (total,) = self._rows.execute("SELECT ifnull(sum(size), 0) FROM filed WHERE verdict IS NULL").fetchone()
        with console.progress(label, total) as advance:
            while batch := self._rows.execute("SELECT * FROM filed WHERE verdict IS NULL LIMIT 1000").fetchall():
                began, done = time.monotonic(), []
                for path, size, checksum, filed, _none in batch:
                    verdict = _verdict(archive, os.fsdecode(path), size, checksum, filed, advance)
                    done.append((verdict, path))
                    if verdict:
                        yield os.fsdecode(path), verdict
                    if time.monotonic() - began > _SAVE:
                        break
                self._rows.executemany("UPDATE filed SET verdict = ? WHERE path = ?", done)

    def knows(self, path: str) -> bool:
        """Say whether the logs tell of ``path``."""
        return bool(self._rows.execute("SELECT 1 FROM filed WHERE path = ?", (os.fsencode(path),)).fetchone())

    def forget(self) -> None:
        """Begin the next check afresh."""
        durable.remove(self._path)

    def _differences(self) -> Iterator[tuple[str, str]]:
        for path, verdict in self._rows.execute("SELECT path, verdict FROM filed WHERE verdict > '' ORDER BY path"):
            yield os.fsdecode(path), verdict


def _verdict(archive: Tree, path: str, size: int, checksum: str, filed: int, seen: Callable[[int], None]) -> str:
    """Return in what ``path`` differs from what was filed, nothing where it does not; ``seen`` is told what is read."""
    *directory, name = path.split("/")
    told = f"filed {format_instant(filed, 0)}"
    try:
        descriptor = durable.open_unfollowed(name, directory=archive.directory(tuple(directory)))
    except FileNotFoundError:
        return f"missing ({told})"
    except OSError as error:
        return f"cannot be read: {error.strerror} ({told})"
    try:
        expected = parse_checksum(checksum)
        found_size, found = sum_file(descriptor, expected.algorithm, seen)
    except OSError as error:
        return f"cannot be read: {error.strerror} ({told})"
    finally:
        os.close(descriptor)
    if found_size != size:
        return f"changed: it has {found_size} bytes and had {size} ({told})"
    return "" if found == expected else f"changed: its checksum is {found} and was {expected} ({told})"


def _unlogged(job: Job, state: _State) -> Iterator[tuple[str, str]]:
    """Yield the files of the archive that no log tells of."""
    forbidden = rules_of(job).forbidden
    for directory, parts in _directories(job.archive, (), forbidden):
        for entry in sorted(directory, key=lambda entry: entry.name):
            path = "/".join((*parts, entry.name))
            if entry.name.startswith(TEMPORARY):
                yield path, "left behind by a sweeper: the next sweep removes it, unless it belongs to one at work"
            elif (*parts, entry.name) not in forbidden and not entry.name.startswith(".") and not state.knows(path):
                yield path, "not in the logs"


def _directories(
    root: str, parts: Parts, forbidden: frozenset[Parts]
) -> Iterator[tuple[list[os.DirEntry[str]], Parts]]:
    """Yield the files of each directory below ``root``, those left out that are not for data."""
    with os.scandir(os.path.join(root, *parts)) as entries:
        found = list(entries)
    yield [entry for entry in found if not entry.is_dir(follow_symlinks=False)], parts
    for entry in sorted(found, key=lambda entry: entry.name):
        below = (*parts, entry.name)
        if entry.is_dir(follow_symlinks=False) and below not in forbidden:
            yield from _directories(root, below, forbidden)
