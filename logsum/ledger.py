"""What became of each file: the sweepers' verdicts, brought together by id (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archq.transferlog import CONFLICT, ERROR, FILED, REJECTED
from logsum.period import HOUR

if TYPE_CHECKING:
    from collections.abc import Iterable

    from logsum.events import Verdict
    from logsum.period import Period

ARCHIVED = frozenset({FILED, CONFLICT})
FAILED = frozenset({REJECTED, ERROR})

# An FTP log may give another time for a transfer, by as much as clocks and zones are wrong.
_SLACK = 48 * HOUR


@dataclass(slots=True)
class File:
    """A file as the transfer logs know it: how it was archived, if it was, and what was said of it last."""

    latest: Verdict
    archived: Verdict | None = None

    @property
    def failed(self) -> Verdict | None:
        """The last verdict, where that is a failure."""
        return self.latest if self.latest.outcome in FAILED else None


def bring_together(verdicts: Iterable[Verdict], period: Period) -> dict[str, File]:
    """Return what is known of each file that may count in ``period``, by id.

    Others are not kept, however long the logs are: what was said of a file before that does not count any more.
    """
    files: dict[str, File] = {}
    start, end = period.start - _SLACK, period.end + _SLACK
    for verdict in verdicts:
        file = files.get(verdict.wire.id)
        if not file:
            if not (_earliest(verdict) < end and start <= max(verdict.ended, verdict.time)):
                continue
            file = files[verdict.wire.id] = File(latest=verdict)
        if verdict.outcome in ARCHIVED and not file.archived:
            file.archived = verdict
        if verdict.time >= file.latest.time:
            file.latest = verdict
    return files


def _earliest(verdict: Verdict) -> int:
    """Return when the transfer was over at the earliest; a line may tell no better than that it is."""
    return verdict.ended if verdict.queued is None else min(verdict.queued, verdict.ended)
