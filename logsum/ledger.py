"""What became of each file: the sweepers' verdicts, brought together by id (pure)."""

from __future__ import annotations

import marshal
from collections.abc import Mapping
from operator import attrgetter

from archq.light import dataclass, made_often
from archq.names import WireName
from archq.transferlog import CONFLICT, ERROR, FILED, REJECTED
from logsum.events import Verdict
from logsum.period import HOUR

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from logsum.period import Period

ARCHIVED = frozenset({FILED, CONFLICT})
FAILED = frozenset({REJECTED, ERROR})
_COUNTED = ARCHIVED | FAILED

_LONGEST_WAY = 7 * 24 * HOUR  # of what does not even tell when it was queued

# An FTP log may give another time for a transfer, by as much as clocks and zones are wrong.
_SLACK = 48 * HOUR

_NAMES = [name for name in Verdict.__slots__ if name != "wire"]


@made_often
@dataclass(frozen=True, slots=True)
class File:
    """A file as the transfer logs know it: what was said of it last, and how it was archived, if it was."""

    latest: Verdict
    archived: Verdict | None = None

    @property
    def failed(self) -> Verdict | None:
        """The last verdict, where that is a failure."""
        return self.latest if self.latest.outcome in FAILED else None

    def heard(self, verdict: Verdict) -> File:
        """Return what is known after ``verdict``: what archived a file first did so, and the latest word counts."""
        archived = verdict if verdict.outcome in ARCHIVED and not self.archived else self.archived
        return File(verdict if verdict.time >= self.latest.time else self.latest, archived)


class Ledger(Mapping[str, File]):
    """Files by id.  They are kept packed, in a third of their size, for those of ten years are many."""

    def __init__(self, *, checksums: bool) -> None:
        self._packed: dict[str, bytes] = {}
        self._names = [name for name in _NAMES if checksums or name != "checksum"]
        self._told = attrgetter(*self._names)
        self.since: int | None = None  # when the earliest was queued of those whose transfer nobody has timed

    def hear(self, verdict: Verdict) -> None:
        """Take note of ``verdict``."""
        id_ = verdict.wire.id
        file = self[id_].heard(verdict) if id_ in self._packed else File(verdict).heard(verdict)
        others = [file.archived] if file.archived and file.archived is not file.latest else []
        contents = [self._content(one) for one in (file.latest, *others)]
        self._packed[id_] = marshal.dumps((file.archived is file.latest, contents))

    def __getitem__(self, id_: str) -> File:
        is_archived, contents = marshal.loads(self._packed[id_])  # noqa: S302 - it never left this process
        latest, *others = [self._verdict(id_, *content) for content in contents]
        return File(latest, latest if is_archived else next(iter(others), None))

    def __contains__(self, id_: object) -> bool:
        return id_ in self._packed

    def __iter__(self) -> Iterator[str]:
        return iter(self._packed)

    def __len__(self) -> int:
        return len(self._packed)

    def _content(self, verdict: Verdict) -> tuple[str, int, tuple[Any, ...]]:
        return verdict.wire.instrument, verdict.wire.attempt, self._told(verdict)

    def _verdict(self, id_: str, instrument: str, attempt: int, told: tuple[Any, ...]) -> Verdict:
        wire = WireName(instrument=instrument, id=id_, attempt=attempt)
        return Verdict(wire=wire, **dict(zip(self._names, told, strict=True)))


def bring_together(verdicts: Iterable[Verdict], period: Period, *, checksums: bool = False) -> Ledger:
    """Return what is known of each file that may count in ``period``, its checksum only if that is wanted.

    Others are not kept, however long the logs are: what was said of a file before that does not count any more.
    """
    ledger = Ledger(checksums=checksums)
    start, end = period.start - _SLACK, period.end + _SLACK
    for verdict in verdicts:
        in_time = _earliest(verdict) < end and start <= max(verdict.ended, verdict.time)
        if in_time or verdict.wire.id in ledger:
            ledger.hear(verdict)
            if verdict.seconds is None and verdict.outcome in _COUNTED and verdict.ended in period:
                queued = verdict.time - _LONGEST_WAY if verdict.queued is None else verdict.queued
                ledger.since = queued if ledger.since is None else min(ledger.since, queued)
    return ledger


def _earliest(verdict: Verdict) -> int:
    """Return when the transfer was over at the earliest; a line may tell no better than that it is."""
    return verdict.ended if verdict.queued is None else min(verdict.queued, verdict.ended)
