"""Plain charts as SVG, for a page that colours them: bars, and points on two logarithmic axes (pure).

The page's style gives the colours by class: ``bar``, ``point``, ``axis``, ``grid`` and ``label``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING

from logsum.panels import ticks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

WIDTH, HEIGHT = 420, 240
_LEFT, _RIGHT, _TOP, _BOTTOM = 56, 26, 12, 40  # margins
_WIDEST = 60  # of a bar: one night alone is no wall


@dataclass(frozen=True, slots=True, kw_only=True)
class Bars:
    """A bar chart.  ``marks`` are places along the axis, in bars, with what stands there."""

    name: str  # unique in the page
    title: str
    description: str
    values: Sequence[float]
    tips: Sequence[str]
    marks: Sequence[tuple[float, str]]
    along: str
    up: str
    height: int = HEIGHT
    odd: int | None = None  # which bar is of another kind than the rest


def bars(chart: Bars) -> str:
    """Return a chart with a bar for each value."""
    return _picture(chart.name, chart.title, chart.description, chart.height, _parts(chart))


def _parts(chart: Bars) -> Iterator[str]:
    bottom = chart.height - (_BOTTOM if chart.along else _TOP)
    top = max(chart.values, default=0) or 1
    step = (WIDTH - _LEFT - _RIGHT) / max(len(chart.values), 1)
    for level in ticks(top, most=max((bottom - _TOP) // 30, 2)):
        y = bottom - (bottom - _TOP) * level / top
        yield _line("grid", _LEFT, y, WIDTH - _RIGHT, y)
        yield _text(f"{level:g}", _LEFT - 6, y + 4, "end")
    for number, (value, tip) in enumerate(zip(chart.values, chart.tips, strict=True)):
        if value > 0:
            kind = "bar odd" if number == chart.odd else "bar"
            yield _bar(kind, _LEFT + number * step, step, bottom, max((bottom - _TOP) * value / top, 1), tip)
    for place, label in chart.marks:
        yield _text(label, _LEFT + place * step, bottom + 17, "middle")
    yield _line("axis", _LEFT, bottom, WIDTH - _RIGHT, bottom)
    yield from _names(chart.along, chart.up, chart.height, (bottom + _TOP) / 2)


def _bar(kind: str, left: float, step: float, bottom: float, height: float, tip: str) -> str:
    width = min(max(step - min(step * 0.15, 3), 0.5), _WIDEST)
    return (
        f'<rect class="{kind}" x="{left + (step - width) / 2:.1f}" y="{bottom - height:.1f}" '
        f'width="{width:.1f}" height="{height:.1f}"><title>{escape(tip)}</title></rect>'
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Points:
    """A chart of points on two logarithmic axes, which ``across`` and ``upward`` name values of."""

    name: str
    title: str
    description: str
    points: Sequence[tuple[float, float]]
    along: str
    up: str
    across: Callable[[float], str]
    upward: Callable[[float], str]


def points(chart: Points) -> str:
    """Return a chart with a point for each pair; what is not above 0 lies on the edge."""
    x, x_levels = _logarithmic([one for one, _other in chart.points], _LEFT, WIDTH - _RIGHT)
    y, y_levels = _logarithmic([other for _one, other in chart.points], HEIGHT - _BOTTOM, _TOP)

    def parts() -> Iterator[str]:
        for level in y_levels:
            yield _line("grid", _LEFT, y(level), WIDTH - _RIGHT, y(level))
            yield _text(chart.upward(level), _LEFT - 6, y(level) + 4, "end")
        for level in x_levels:
            yield _line("grid", x(level), _TOP, x(level), HEIGHT - _BOTTOM)
            yield _text(chart.across(level), x(level), HEIGHT - _BOTTOM + 17, "middle")
        places = "".join(f"M{x(one):.1f} {y(other):.1f}h0" for one, other in chart.points)
        yield f'<path class="point" d="{places}"/>'  # a line of no length with round ends is a dot
        yield _line("axis", _LEFT, HEIGHT - _BOTTOM, WIDTH - _RIGHT, HEIGHT - _BOTTOM)
        yield from _names(chart.along, chart.up, HEIGHT, (HEIGHT - _BOTTOM + _TOP) / 2)

    return _picture(chart.name, chart.title, chart.description, HEIGHT, parts())


def _logarithmic(values: Sequence[float], start: float, end: float) -> tuple[Callable[[float], float], list[float]]:
    """Return where a value lies between two places, and the powers of ten to mark."""
    positive = [value for value in values if value > 0] or [1.0]
    low, high = math.floor(math.log10(min(positive))), math.ceil(math.log10(max(positive)))
    high = max(high, low + 1)
    levels = [10.0**power for power in range(low, high + 1, max(math.ceil((high - low) / 5), 1))]

    def place(value: float) -> float:
        share = (math.log10(value) - low) / (high - low) if value > 0 else 0.0
        return start + (end - start) * share

    return place, levels


def _names(along: str, up: str, height: int, middle: float) -> Iterator[str]:
    yield _text(along, (WIDTH + _LEFT - _RIGHT) / 2, height - 5, "middle")
    turned = f"translate(12 {middle:.0f}) rotate(-90)"
    yield f'<text class="label" text-anchor="middle" transform="{turned}">{escape(up)}</text>'


def _picture(name: str, title: str, description: str, height: int, parts: Iterator[str]) -> str:
    inside = "".join(parts)
    return (
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-labelledby="{name}-title {name}-words">'
        f'<title id="{name}-title">{escape(title)}</title><desc id="{name}-words">{escape(description)}</desc>'
        f"{inside}</svg>"
    )


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"/>'


def _text(words: str, x: float, y: float, anchor: str) -> str:
    return f'<text class="label" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(words)}</text>'
