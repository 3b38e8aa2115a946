"""The four pictures of a page, as SVG: rates, sizes against times, nights, latencies."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from archq.quantities import format_size
from logsum.panels import DAY, HOUR, MINUTE, ticks
from logsum.render.svg import HEIGHT, Bars, Points, bars, points

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from logsum.panels import Bins, Panels
    from logsum.report import Row

_MOST_MARKS = 6


def charts(panels: Panels, unit: str) -> Iterator[tuple[str, str]]:
    """Yield the heading of each picture and the picture, which may be several charts; none of what was not measured."""
    if panels.rates:
        yield "How fast", _rates(panels.rates, unit)
    if panels.points:
        yield "Size against time", _sizes(panels.points)
    if panels.nights:
        yield "Night by night", _nights(panels.nights)
    if panels.latencies:
        yield "From queued to archived", _latencies(panels.latencies)


def _rates(bins: Bins, unit: str) -> str:
    width = bins.edges[1] - bins.edges[0]
    values, beyond = _with_beyond(bins)
    return bars(
        Bars(
            name="rates",
            title=f"Files by rate, in {unit}/s",
            description=f"The most frequent are around {_fullest(bins):.3g} {unit}/s.",
            values=values,
            tips=[
                *(f"{edge:g} to {edge + width:g} {unit}/s: {_files(n)}" for edge, n in _pairs(bins)),
                *(f"above {bins.edges[-1]:g} {unit}/s: {_files(n)}" for n in beyond),
            ],
            marks=[(rate / width, f"{rate:g}") for rate in ticks(bins.edges[-1], _MOST_MARKS)],
            along=f"{unit}/s",
            up="files",
            odd=len(bins.counts),
        )
    )


def _sizes(pairs: Sequence[tuple[float, float]]) -> str:
    return points(
        Points(
            name="sizes",
            title="Size of each file against the time of its transfer",
            description=f"{len(pairs)} files; both axes are logarithmic.",
            points=pairs,
            along="seconds",
            up="size",
            across=lambda seconds: f"{seconds:g}",
            upward=short_size,
        )
    )


def _nights(rows: Sequence[Row]) -> str:
    every = max(math.ceil(len(rows) / _MOST_MARKS), 1)
    marks = [(place + 0.5, row.label[5:]) for place, row in enumerate(rows) if place % every == 0]
    files = Bars(
        name="files",
        title="Files of each night",
        description=f"{len(rows)} nights from {rows[0].label} to {rows[-1].label}.",
        values=[row.tally.files for row in rows],
        tips=[f"{row.label}: {_files(row.tally.files)}" for row in rows],
        marks=[],
        along="",
        up="files",
        height=HEIGHT * 2 // 5,
    )
    volumes = Bars(
        name="volumes",
        title="Volume of each night, in GB",
        description=f"{len(rows)} nights from {rows[0].label} to {rows[-1].label}.",
        values=[row.tally.volume / 1e9 for row in rows],
        tips=[f"{row.label}: {format_size(row.tally.volume)}" for row in rows],
        marks=marks,
        along="night",
        up="GB",
        height=HEIGHT * 3 // 5,
    )
    return bars(files) + bars(volumes)


def _latencies(bins: Bins) -> str:
    values, beyond = _with_beyond(bins)
    every = max(math.ceil(len(bins.edges) / _MOST_MARKS), 1)
    names = list(map(short_duration, bins.edges))
    return bars(
        Bars(
            name="latencies",
            title="Files by the time from being queued to being archived",
            description=f"The most frequent are around {short_duration(_fullest(bins))}.",
            values=values,
            tips=[
                *(f"{low} to {high}: {_files(n)}" for low, high, n in zip(names, names[1:], bins.counts, strict=False)),
                *(f"above {names[-1]}: {_files(n)}" for n in beyond),
            ],
            marks=[(place, name) for place, name in enumerate(names) if place % every == 0],
            along="latency",
            up="files",
            odd=len(bins.counts),
        )
    )


def short_duration(seconds: float) -> str:
    """Return e.g. ``20 s``, ``5 min``, ``12 h``, ``30 d``: of times that these units divide."""
    for unit, length in (("d", DAY), ("h", HOUR), ("min", MINUTE)):
        if seconds >= length and seconds % length == 0:
            return f"{seconds / length:g} {unit}"
    return f"{seconds:g} s"


def short_size(size: float) -> str:
    """Return e.g. ``10 MB``: of powers of ten."""
    for unit, length in (("TB", 1e12), ("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= length:
            return f"{size / length:g} {unit}"
    return f"{size:g} B"


def _fullest(bins: Bins) -> float:
    """Return the upper edge of the bin that holds most."""
    return bins.edges[max(range(len(bins.counts)), key=bins.counts.__getitem__) + 1]


def _with_beyond(bins: Bins) -> tuple[list[int], list[int]]:
    beyond = [bins.beyond] if bins.beyond else []
    return [*bins.counts, *beyond], beyond


def _pairs(bins: Bins) -> Iterator[tuple[float, int]]:
    return zip(bins.edges, bins.counts, strict=False)


def _files(number: int) -> str:
    return f"{number} file{'s' * (number != 1)}"
