"""What became of each file: the sweepers' verdicts, brought together by id (pure)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archq.transferlog import CONFLICT, ERROR, FILED, REJECTED

if TYPE_CHECKING:
    from collections.abc import Iterable

    from logsum.events import Verdict

ARCHIVED = frozenset({FILED, CONFLICT})
FAILED = frozenset({REJECTED, ERROR})


@dataclass(slots=True)
class File:
    """A file as the transfer logs know it: how it was archived, if it was, and what was said of it last."""

    latest: Verdict
    archived: Verdict | None = None

    @property
    def failed(self) -> Verdict | None:
        """The last verdict, where that is a failure."""
        return self.latest if self.latest.outcome in FAILED else None


def bring_together(verdicts: Iterable[Verdict]) -> dict[str, File]:
    """Return what is known of each file, by id."""
    files: dict[str, File] = {}
    for verdict in verdicts:
        file = files.setdefault(verdict.wire.id, File(latest=verdict))
        if verdict.outcome in ARCHIVED and not file.archived:
            file.archived = verdict
        if verdict.time >= file.latest.time:
            file.latest = verdict
    return files
