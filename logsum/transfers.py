"""What counts in a period: the files that were archived, those that failed, and the uploads that were timed (pure)."""

from __future__ import annotations

from archq.light import dataclass, made_often
from logsum.arrivals import arrived

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from logsum.events import Upload, Verdict
    from logsum.ledger import File
    from logsum.period import Period
    from logsum.sources import Scope


@made_often
@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer:
    """What counts of one file.  ``ended`` is in nanoseconds since 1970, ``size`` in bytes.

    ``archived`` and ``failed`` are the verdicts that make it count as such, None where they do not.  ``seconds`` is
    None where its transfer was not timed.
    """

    title: str  # what the report calls its instrument
    ended: int
    size: int
    seconds: float | None
    archived: Verdict | None = None
    failed: Verdict | None = None

    @property
    def latency(self) -> float | None:
        """How many nanoseconds it took from being queued to being archived; None where the log does not tell."""
        if not self.archived or self.archived.queued is None:
            return None
        return max(self.archived.time - self.archived.queued, 0)  # clocks may differ by less than anybody minds


def transfers(
    files: Mapping[str, File], uploads: Iterable[Upload] | None, period: Period, scope: Scope
) -> Iterator[Transfer]:
    """Yield what counts in ``period``; ``uploads`` are an FTP log's, None where the transfer logs' times are used.

    An upload that no transfer log knows, because nothing has swept it yet, counts with its time and rate only.
    """
    seen = None if uploads is None else arrived(uploads, files)
    for id_, file in files.items():
        title = scope.title_of(file.latest.instrument)
        if title:
            yield from _counted(title, file, None if seen is None else seen.pop(id_, None), period, timed=seen is None)
    for upload in (seen or {}).values():
        title = scope.title_of(upload.wire.instrument)
        if title and upload.ended in period:
            yield Transfer(title=title, ended=upload.ended, size=upload.size, seconds=upload.seconds)


def _counted(title: str, file: File, upload: Upload | None, period: Period, *, timed: bool) -> Iterator[Transfer]:
    """Yield what counts of one file: once, unless it failed at another time than it was archived."""
    archived, failed = file.archived, file.failed
    if upload:
        if upload.ended in period:
            known = (archived or file.latest).seconds  # of the sender, where the server does not tell
            yield Transfer(
                title=title,
                ended=upload.ended,
                size=upload.size,
                seconds=known if upload.seconds is None else upload.seconds,
                archived=archived,
                failed=failed,
            )
        return
    if archived and archived.ended in period:
        seconds = archived.seconds if timed and archived.size is not None else None
        yield Transfer(title=title, ended=archived.ended, size=archived.size or 0, seconds=seconds, archived=archived)
    if failed and failed.ended in period:
        yield Transfer(title=title, ended=failed.ended, size=failed.size or 0, seconds=None, failed=failed)
