"""Counting and measuring what was transferred, for each instrument, night or whatever is asked (pure)."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import Counter

from archq.instants import SECOND
from archq.light import dataclass, field, pattern
from logsum.runs import Runs, highest

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from typing import TypeVar

    from logsum.transfers import Transfer

    Key = TypeVar("Key")

_MOST_BYTES = 2**63 - 1  # which only a damaged log goes beyond
_LEAST_SECONDS = 0.001  # the control file tells milliseconds

# Of one kind are reasons that differ in their numbers, checksums and names only.
_PARTICULARS = pattern(r"[a-z0-9]+:[0-9a-f]{32,}|'[^']*'|\b\d+\b")


@dataclass(frozen=True, slots=True, kw_only=True)
class Performance:
    """Sizes in bytes and times in seconds of the files whose transfer was timed, in step with each other."""

    sizes: Sequence[int] = field(default_factory=lambda: array("q"))
    times: Sequence[float] = field(default_factory=lambda: array("d"))
    ordered: Sequence[array[float]] = ()  # their rates in bytes a second in sorted runs, where they are so many

    def rates(self, unit: int) -> Sequence[float]:
        """Return the rates in units of ``unit`` bytes a second."""
        if self.ordered:
            return Runs(self.ordered, unit)
        return [size / time / unit for size, time in zip(self.sizes, self.times, strict=True)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Tally:
    """What the report says about one instrument, or all, or what else is counted together."""

    files: int = 0
    errors: int = 0
    performance: Performance = field(default_factory=Performance)
    volume: int = 0  # bytes of the files
    latencies: Sequence[float] = ()  # seconds from being queued to being archived, of the files that tell
    reasons: Mapping[str, int] = field(default_factory=dict)  # of the errors, the most frequent first


class _Count:
    """A tally while it is being made."""

    def __init__(self) -> None:
        self.files = self.volume = self.errors = 0
        self.sizes, self.times, self.latencies = array("q"), array("d"), array("d")
        self.reasons: Counter[str] = Counter()

    def add(self, transfer: Transfer) -> None:
        if transfer.archived:
            self.files += 1
            self.volume += transfer.size
        if transfer.failed:
            self.errors += 1
            self.reasons[kind_of(transfer.failed.reason or "no reason is told")] += 1
        if transfer.seconds is not None:
            self.sizes.append(min(transfer.size, _MOST_BYTES))
            self.times.append(max(transfer.seconds, _LEAST_SECONDS))
        if (latency := transfer.latency) is not None:
            self.latencies.append(latency / SECOND)

    def done(self) -> Tally:
        return Tally(
            files=self.files,
            errors=self.errors,
            performance=Performance(sizes=self.sizes, times=self.times),
            volume=self.volume,
            latencies=self.latencies,
            reasons=dict(self.reasons.most_common()),
        )


def tally(transfers: Iterable[Transfer], keys_of: Callable[[Transfer], Iterable[Key]]) -> dict[Key, Tally]:
    """Count each transfer under each of its keys."""
    counts: dict[Key, _Count] = {}
    for transfer in transfers:
        for key in keys_of(transfer):
            if key not in counts:
                counts[key] = _Count()
            counts[key].add(transfer)
    return {key: count.done() for key, count in counts.items()}


def kind_of(reason: str) -> str:
    """Return ``reason`` without what is particular to one file, so that equal ones can be counted."""
    return _PARTICULARS.sub("…", reason)


def in_bins(rates: Iterable[float], bounds: Sequence[float]) -> list[int]:
    """Return how many rates lie in each bin ``(low, high]``; empty files count in the first, fast ones in one more."""
    if isinstance(rates, Runs):
        return rates.counts(bounds)
    counts = Counter(bisect_left(bounds, rate) for rate in rates)
    return [counts[index] for index in range(len(bounds) + 1)]


def chosen_bounds(rates: Sequence[float]) -> tuple[float, ...]:
    """Return four bounds of the series 1, 2, 5, 10, … that leave the fastest rates in the open bin above them."""
    series = [digit * 10.0**power for power in range(-1, 7) for digit in (1, 2, 5)]
    above = bisect_left(series, highest(rates))
    last = min(max(above, 4), len(series))
    return tuple(series[last - 4 : last])


def quantile(ordered: Sequence[float], share: float) -> float:
    """Return the value below which ``share`` of the ordered values lie, between two of them in proportion."""
    place = share * (len(ordered) - 1)
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)
