"""What the four pictures of a report show, whoever draws them: bins, points and nights (pure)."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from logsum.groups import BY_NIGHT
from logsum.tally import quantile

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from logsum.report import Report, Row
    from logsum.tally import Tally

MINUTE, HOUR, DAY = 60, 3600, 86_400  # seconds

_MOST_BINS = 24
_MOST_POINTS = 1500  # in a picture that is a page's part; more of them only hide each other

# Latencies lie between seconds and days: edges that people have words for.
_LATENCIES = (
    *(1, 2, 5, 10, 20, 30, MINUTE, 2 * MINUTE, 5 * MINUTE, 10 * MINUTE, 20 * MINUTE, 30 * MINUTE),
    *(HOUR, 2 * HOUR, 6 * HOUR, 12 * HOUR, DAY, 2 * DAY, 7 * DAY, 30 * DAY, 365 * DAY),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bins:
    """How many values lie between two edges each; what is above the last edge counts in ``beyond``."""

    edges: Sequence[float]
    counts: Sequence[int]
    beyond: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Panels:
    """The pictures' data: rates in units a second, (time in seconds, size in bytes), nights, latencies in seconds."""

    rates: Bins | None
    points: Sequence[tuple[float, float]]
    nights: Sequence[Row]
    latencies: Bins | None


def panels(report: Report, title: str, unit_bytes: int) -> Panels:
    """Return what the pictures of one section show; nothing for what was not measured."""
    tally = report.sections[title]
    return Panels(
        rates=rate_bins(tally.performance.rates(unit_bytes)),
        points=thinned(tally),
        nights=report.tables.get(BY_NIGHT, {}).get(title, ()),
        latencies=latency_bins(tally.latencies),
    )


def rate_bins(rates: Sequence[float]) -> Bins | None:
    """Return bins of one width that hold nearly all rates; a few very fast ones do not squeeze the rest."""
    if not rates:
        return None
    top = quantile(sorted(rates), 0.995) or 1.0
    width = nice(top / _MOST_BINS)
    edges = [number * width for number in range(math.ceil(top / width) + 1)]
    return _binned(rates, edges)


def latency_bins(latencies: Sequence[float]) -> Bins | None:
    """Return bins between times that have names, from the shortest latency to the longest."""
    if not latencies:
        return None
    first, last = (min(bisect_left(_LATENCIES, end), len(_LATENCIES) - 1) for end in (min(latencies), max(latencies)))
    edges = [_LATENCIES[first - 1] if first else 0, *_LATENCIES[first : last + 1]]
    return _binned(latencies, edges)


def thinned(tally: Tally) -> list[tuple[float, float]]:
    """Return (time, size) of the timed files, of very many every so manieth only."""
    performance = tally.performance
    step = max(math.ceil(len(performance.sizes) / _MOST_POINTS), 1)
    return list(zip(performance.times[::step], performance.sizes[::step], strict=True))


def nice(width: float) -> float:
    """Return the least number of the series 1, 2, 5, 10, … that is no less than ``width``."""
    power = 10.0 ** math.floor(math.log10(width))
    return next((digit * power for digit in (1, 2, 5) if digit * power >= width * (1 - 1e-9)), 10 * power)


def ticks(top: float, most: int = 5) -> list[float]:
    """Return round numbers from 0 to ``top``, at most so many above 0; a whole ``top`` counts, and so do they."""
    if top <= 0:
        return [0.0]
    step = nice(max(top / most, 1) if isinstance(top, int) else top / most)
    return [number * step for number in range(math.floor(top / step * (1 + 1e-9)) + 1)]


def _binned(values: Iterable[float], edges: Sequence[float]) -> Bins:
    counts = [0] * len(edges)
    for value in values:
        counts[max(bisect_left(edges, value) - 1, 0) if value <= edges[-1] else -1] += 1
    return Bins(edges=edges, counts=counts[:-1], beyond=counts[-1])
