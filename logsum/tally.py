"""Counting and measuring what was transferred in a period (pure)."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from logsum.events import Upload
    from logsum.ledger import File
    from logsum.period import Period


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """Sizes in bytes and times in seconds of the files whose transfer was timed, in step with each other."""

    sizes: Sequence[int]
    times: Sequence[float]

    def rates(self, unit: int) -> list[float]:
        """Return the rates in units of ``unit`` bytes a second."""
        return [size / time / unit for size, time in zip(self.sizes, self.times, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What the report says about one instrument, or all."""

    title: str
    files: int
    errors: int
    performance: Performance


def tally(title: str, files: Mapping[str, File], period: Period, uploads: Iterable[Upload] | None) -> Tally:
    """Count and measure; ``uploads`` are an FTP log's, or None where the transfer logs' own times are used."""
    seen = None if uploads is None else _arrived(uploads, files)
    ended = {id_: upload.ended for id_, upload in (seen or {}).items()}
    archived = {
        id_: file.archived
        for id_, file in files.items()
        if file.archived and ended.get(id_, file.archived.ended) in period
    }
    failed = [id_ for id_, file in files.items() if file.failed and ended.get(id_, file.failed.ended) in period]
    if seen is None:
        timed = [
            (one.size, one.seconds) for one in archived.values() if one.size is not None and one.seconds is not None
        ]
    else:
        timed = [(upload.size, upload.seconds) for upload in seen.values() if upload.ended in period]
    return Tally(
        title=title,
        files=len(archived),
        errors=len(failed),
        performance=Performance(
            sizes=[size for size, _time in timed],
            times=[max(time, 0.001) for _size, time in timed],  # the control file tells milliseconds
        ),
    )


def _arrived(uploads: Iterable[Upload], files: Mapping[str, File]) -> dict[str, Upload]:
    """Return the upload that brought each file: a whole one, and the last of several."""
    arrived = {}
    for upload in uploads:
        file = files.get(upload.wire.id)
        size = file.latest.size if file else None
        if upload.complete and size in (None, upload.size):
            arrived[upload.wire.id] = upload
    return arrived


def in_bins(rates: Iterable[float], bounds: Sequence[float]) -> list[int]:
    """Return how many rates lie in each bin ``(low, high]``; empty files count in the first, fast ones in one more."""
    counts = Counter(bisect_left(bounds, rate) for rate in rates)
    return [counts[index] for index in range(len(bounds) + 1)]


def chosen_bounds(rates: Sequence[float]) -> tuple[float, ...]:
    """Return four bounds of the series 1, 2, 5, 10, … that leave the fastest rates in the open bin above them."""
    series = [digit * 10.0**power for power in range(-1, 7) for digit in (1, 2, 5)]
    above = bisect_left(series, max(rates))
    last = min(max(above, 4), len(series))
    return tuple(series[last - 4 : last])
