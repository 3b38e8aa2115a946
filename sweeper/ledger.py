"""The transfer log as it is written, and as the memory of what was filed.

The logs are the truth.  Beside them lies an index (SQLite) of the ids they hold, so that no run reads years of logs: it
remembers how far it has read each log, is brought up to date under the logs' lock before it is asked, and is made anew
from the logs whenever it is missing or damaged.
"""

from __future__ import annotations

import contextlib
import gzip
import os
import re
import sqlite3
import stat
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Self

from archq import durable
from archq.errors import from_os_error
from archq.instants import SECOND
from archq.names import parse_wire_name
from archq.transferlog import CONFLICT, DUPLICATE, FILED, FINAL, Outcome, format_outcome

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO

    from archq.names import WireName

LOCK = ".archq-lock"
INDEX = ".archq-index"

SETTLED = frozenset({FILED, CONFLICT, DUPLICATE})  # what an id of which nothing more has to be filed has come to

_DAILY = "%Y%m%d.tdcin.log"
_LINE = re.compile(rb"[^ \n]+ (?P<outcome>[a-z][a-z-]*)(?P<facts>(?: [a-z0-9][a-z0-9._-]*=[^ \n]*)*)\n")
_WIRE = re.compile(rb" wire=([^ ]+)")
_CHECKSUM = re.compile(rb" checksum=([^ ]+)")
_ASK_AT_ONCE = 500  # ids
_MARK = 24  # characters of a checksum: enough to tell two contents of one id apart

_BADLY_PACKED = (gzip.BadGzipFile, EOFError, zlib.error)

_SCHEMA = """
CREATE TABLE IF NOT EXISTS logs (name TEXT PRIMARY KEY, inode INTEGER, size INTEGER);
CREATE TABLE IF NOT EXISTS outcomes (
    id TEXT, attempt INTEGER, outcome TEXT, checksum TEXT, PRIMARY KEY (id, attempt, outcome)
) WITHOUT ROWID;
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """Where lines go: a directory with a log for each UTC day, or with one of a given name.

    ``alone`` says that only that file, and not the others in its directory, is the memory.
    """

    directory: str
    name: str | None = None
    alone: bool = False

    def path(self, instant: int) -> str:
        """Return the log that gets the lines of ``instant`` (nanoseconds since 1970)."""
        return os.path.join(self.directory, self.name or daily_name(instant))


def daily_name(instant: int) -> str:
    """Return ``YYYYMMDD.tdcin.log`` for the UTC day of ``instant``."""
    return datetime.fromtimestamp(instant // SECOND, UTC).strftime(_DAILY)


@dataclass(slots=True)
class Memory:
    """What the logs hold of some ids."""

    settled: dict[str, str] = field(default_factory=dict)  # id: mark of what was filed under it
    told: dict[tuple[str, int], set[str]] = field(default_factory=dict)  # id and attempt: outcomes

    def is_told(self, wire: WireName, outcomes: Iterable[str] = FINAL) -> bool:
        """Say whether there is a line with one of ``outcomes`` for this very arrival."""
        return not self.told.get((wire.id, wire.attempt), frozenset()).isdisjoint(outcomes)


class Ledger:
    """The logs of one archive, and what they remember."""

    def __init__(self, logs: Logs, *, untouched: bool = False) -> None:
        """Open the memory; with ``untouched`` nothing is written, and every log is read anew."""
        self.logs = logs
        self._untouched = untouched
        self._prefix = f".{logs.name}" if logs.alone else ""
        if not untouched:
            self._make_directory()
            self._locks_reach_everybody = durable.locks_reach_everybody(logs.directory)
        self._index = self._opened_index()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._index.close()

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Keep every other sweeper out of these logs, with the memory up to date."""
        if self._untouched:
            self._catch_up()
            yield
            return
        with self._locked():
            self._catch_up()
            yield

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        path = self._own(LOCK)
        if not self._locks_reach_everybody:
            with durable.locked_by_name(path):
                yield
            return
        with durable.locked(path, mode=0o660 if self._is_shared() else 0o600):
            _adopt_file(path)
            yield

    def _is_shared(self) -> bool:
        """Say whether a group writes these logs."""
        return bool(os.stat(self.logs.directory).st_mode & 0o020)

    def refresh(self) -> None:
        """Take in what others have logged, for a look ahead; only while the logs are held does nothing change."""
        with self.held():
            pass

    def recall(self, ids: Iterable[str]) -> Memory:
        """Return what the logs hold of these ids, as of the last time they were held."""
        wanted = list(ids)
        try:
            rows = self._rows(wanted)
        except sqlite3.DatabaseError:
            self._do_without_file()  # it, or its disk, is damaged
            rows = self._rows(wanted)
        memory = Memory()
        for file_id, attempt, outcome, mark in rows:
            memory.told.setdefault((file_id, attempt), set()).add(outcome)
            if outcome in SETTLED:
                memory.settled[file_id] = mark
        return memory

    def _rows(self, ids: list[str]) -> list[tuple[str, int, str, str]]:
        rows: list[tuple[str, int, str, str]] = []
        for start in range(0, len(ids), _ASK_AT_ONCE):
            some = ids[start : start + _ASK_AT_ONCE]
            # The marks are made here, the ids are bound.
            query = f"SELECT * FROM outcomes WHERE id IN ({','.join('?' * len(some))})"  # noqa: S608
            rows += self._index.execute(query, some)
        return rows

    def append(self, outcomes: Iterable[Outcome], path: str) -> None:
        """Put the lines on stable storage, in the log ``path``, all or none.  Call it while the logs are held."""
        lines = b"".join(format_outcome(outcome) for outcome in outcomes)
        if lines:
            durable.append_line(path, lines, 0o664 if self._is_shared() else 0o644)
            _adopt_file(path)

    def lines(self) -> Iterator[bytes]:
        """Yield all lines of the logs, the oldest log first."""
        for entry in sorted(self._log_files(), key=lambda entry: entry.name):
            with _opened(entry) as file, contextlib.suppress(*_BADLY_PACKED):
                yield from file

    def _make_directory(self) -> None:
        directory = self.logs.directory
        if os.path.isdir(directory):
            return
        try:
            durable.make_directory(directory, 0o755)
        except OSError as error:
            raise from_os_error(error, f"make the log directory {directory}") from error
        _adopt(directory, durable.open_directory(directory))

    def _own(self, name: str) -> str:
        return os.path.join(self.logs.directory, f"{self._prefix}{name}")

    def _opened_index(self) -> sqlite3.Connection:
        path = ":memory:" if self._untouched else self._own(INDEX)
        try:
            return self._connected(path)
        except sqlite3.OperationalError:
            return self._connected(":memory:")  # no room or no permission: the logs still remember
        except sqlite3.DatabaseError:
            durable.remove(path)
            return self._connected(path)

    def _connected(self, path: str) -> sqlite3.Connection:
        is_new = not os.path.exists(path)
        index = sqlite3.connect(path, isolation_level=None, timeout=60)
        index.executescript(f"PRAGMA synchronous = NORMAL;{_SCHEMA}")
        if path != ":memory:" and is_new:
            _adopt_file(path)
            if self._is_shared():
                os.chmod(path, 0o664)
        return index

    def _catch_up(self) -> None:
        """Read what was appended since; a damaged index is thrown away and made anew."""
        try:
            self._read_logs()
        except sqlite3.OperationalError:  # no room, or no permission, to write it
            self._do_without_file()
        except sqlite3.DatabaseError:
            self._index.close()
            durable.remove(self._own(INDEX))
            self._index = self._opened_index()
            self._read_logs()

    def _do_without_file(self) -> None:
        self._index.close()
        self._index = self._connected(":memory:")
        self._read_logs()

    def _read_logs(self) -> None:
        read = {name: (inode, size) for name, inode, size in self._index.execute("SELECT * FROM logs")}
        news = [entry for entry in self._log_files() if self._is_news(entry, read.get(entry.name))]
        if not news:
            return
        self._index.execute("BEGIN")
        with self._index:
            for entry in news:
                inode, size = read.get(entry.name, (0, 0))
                facts = entry.stat(follow_symlinks=False)
                self._read_log(entry, size if inode == facts.st_ino and size <= facts.st_size else 0)

    def _log_files(self) -> Iterator[os.DirEntry[str]]:
        try:
            entries = os.scandir(self.logs.directory)
        except FileNotFoundError:
            return
        with entries:
            for entry in entries:
                ours = (
                    entry.name.startswith(self.logs.name or "") if self.logs.alone else not entry.name.startswith(".")
                )
                if ours and entry.is_file(follow_symlinks=False):
                    yield entry

    @staticmethod
    def _is_news(entry: os.DirEntry[str], read: tuple[int, int] | None) -> bool:
        facts = entry.stat(follow_symlinks=False)
        return read != (facts.st_ino, facts.st_size)

    def _read_log(self, entry: os.DirEntry[str], start: int) -> None:
        facts = entry.stat(follow_symlinks=False)
        with _opened(entry) as file, durable.naming(file.fileno()):
            if isinstance(file, gzip.GzipFile):
                with contextlib.suppress(*_BADLY_PACKED):
                    self._remember(file)
                end = facts.st_size
            else:
                file.seek(start)
                end = start + self._remember(file)
        self._index.execute("INSERT OR REPLACE INTO logs VALUES (?, ?, ?)", (entry.name, facts.st_ino, end))

    def _remember(self, file: BinaryIO | gzip.GzipFile) -> int:
        """Take in whole lines; return how many bytes they had."""
        taken = 0

        def rows() -> Iterator[tuple[str, int, str, str]]:
            nonlocal taken
            for line in file:
                if not line.endswith(b"\n"):
                    return  # still being written, or cut short: its writer's successor will end it
                taken += len(line)
                if row := _row(line):
                    yield row

        self._index.executemany("INSERT OR IGNORE INTO outcomes VALUES (?, ?, ?, ?)", rows())
        return taken


@contextlib.contextmanager
def _opened(entry: os.DirEntry[str]) -> Iterator[BinaryIO | gzip.GzipFile]:
    with open(durable.open_unfollowed(entry.path), "rb") as file:
        if entry.name.endswith(".gz"):
            with gzip.GzipFile(fileobj=file) as packed:
                yield packed
        else:
            yield file


def _adopt_file(path: str) -> None:
    _adopt(path, durable.open_unfollowed(path))


def _adopt(path: str, descriptor: int) -> None:
    """Give what root has made to the account whose directory it is in: that one has to write it, too."""
    try:
        owner, made = os.stat(os.path.dirname(path)), os.fstat(descriptor)
        linked = stat.S_ISREG(made.st_mode) and made.st_nlink > 1  # so it is not, or not only, what was made here
        if os.geteuid() == made.st_uid == 0 != owner.st_uid and not linked:
            os.fchown(descriptor, owner.st_uid, owner.st_gid)
    finally:
        os.close(descriptor)


def mark_of(checksum: str) -> str:
    """Return what the memory keeps of a checksum."""
    return checksum[:_MARK]


def _row(line: bytes) -> tuple[str, int, str, str] | None:
    match = _LINE.fullmatch(line)
    found = _WIRE.search(match["facts"]) if match else None
    wire = parse_wire_name(found[1].decode("ascii", "replace")) if found else None
    if not match or not wire:
        return None
    checksum = _CHECKSUM.search(match["facts"])
    mark = mark_of(checksum[1].decode("ascii", "replace")) if checksum else ""
    return wire.id, wire.attempt, match["outcome"].decode(), mark
