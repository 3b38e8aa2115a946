"""The four pictures of a report in one file, PNG or SVG, drawn by matplotlib, which is loaded only for this."""

from __future__ import annotations

import io
import os
from typing import TYPE_CHECKING

from archq.errors import UsageError
from logsum.panels import panels
from logsum.period import clock_of
from logsum.render.charts import short_duration

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure, SubFigure

    from logsum.panels import Bins, Panels
    from logsum.render.style import Style
    from logsum.report import Report

SUFFIXES = (".png", ".svg")

_COLOUR = "#0b5fa5"
_INCHES = (11, 7.5)


def checked_plot(path: str) -> str:
    """Return ``path`` if a plot can be drawn and be of its kind, else raise UsageError, before any log is read."""
    if os.path.splitext(path)[1].lower() not in SUFFIXES:
        raise UsageError(f"--plot {path}: a plot's name ends in {' or '.join(SUFFIXES)}")
    try:
        import matplotlib  # noqa: F401
    except ImportError as error:
        raise UsageError(
            "--plot needs matplotlib, which is not installed: pip install 'archq[plot]' (--html draws without it)"
        ) from error
    return path


def as_plot(report: Report, style: Style, kind: str) -> bytes:
    """Return the picture as a file's content; ``kind`` is its suffix."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    title = list(report.sections)[-1]
    shown = panels(report, title, style.unit_bytes)
    # Text stays text in SVG; the salt makes a picture of the same data the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "archq", "font.size": 9}):
        figure = Figure(figsize=_INCHES, layout=ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.12))
        figure.suptitle(f"{title}: {_clock(report.period.start, report)} to {_clock(report.period.end, report)}")
        _draw(figure, shown, style.unit)
        content = io.BytesIO()
        figure.savefig(content, format=kind.removeprefix("."), dpi=150, metadata=_NAMELESS[kind])
    return content.getvalue()


_NAMELESS: dict[str, dict[str, str | None]] = {".svg": {"Date": None}, ".png": {}}


def _draw(figure: Figure, shown: Panels, unit: str) -> None:
    rates, sizes, nights, latencies = figure.subfigures(2, 2, squeeze=False).flat
    _bins(_axes(rates, "How fast", f"{unit}/s", "files"), shown.rates)
    _points(_axes(sizes, "Size against time", "seconds", "MB"), shown)
    _nights(nights, shown)
    axes = _axes(latencies, "From queued to archived", "", "files")
    _bins(axes, shown.latencies, named=True)


def _axes(place: SubFigure, title: str, along: str, up: str) -> Axes:
    axes = place.subplots()
    axes.set(title=title, xlabel=along, ylabel=up)
    if up == "files":
        _count(axes)
    axes.spines[["top", "right"]].set_visible(False)
    return axes


def _count(axes: Axes) -> None:
    """Let whole numbers alone stand at the upright axis: there are no halves of files."""
    from matplotlib.ticker import MaxNLocator

    axes.yaxis.set_major_locator(MaxNLocator(5, integer=True))


def _bins(axes: Axes, bins: Bins | None, *, named: bool = False) -> None:
    if not bins:
        _nothing(axes)
        return
    places = range(len(bins.counts)) if named else bins.edges[:-1]
    width = 1 if named else bins.edges[1] - bins.edges[0]
    axes.bar(places, bins.counts, width=width * 0.9, align="edge", color=_COLOUR)
    if bins.beyond:
        axes.bar([places[-1] + width], [bins.beyond], width=width * 0.9, align="edge", color=_COLOUR, hatch="//")
    if named:
        names = list(map(short_duration, bins.edges))
        every = max(len(names) // 7, 1)
        axes.set_xticks(range(0, len(names), every), names[::every])


def _points(axes: Axes, shown: Panels) -> None:
    points = [(seconds, size / 1e6) for seconds, size in shown.points if size > 0]
    if not points:
        _nothing(axes)
        return
    axes.loglog(*zip(*points, strict=True), ".", color=_COLOUR, alpha=0.5, markersize=4)
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter("{x:g}")
        axis.set_minor_formatter("")  # between them there is no room for more


def _nights(place: SubFigure, shown: Panels) -> None:
    upper, lower = place.subplots(2, 1, sharex=True)
    upper.set(title="Night by night", ylabel="files")
    lower.set(ylabel="GB")
    _count(upper)
    for axes in (upper, lower):
        axes.spines[["top", "right"]].set_visible(False)
    if not shown.nights:
        _nothing(upper)
        _nothing(lower)
        return
    places = range(len(shown.nights))
    upper.bar(places, [row.tally.files for row in shown.nights], color=_COLOUR)
    lower.bar(places, [row.tally.volume / 1e9 for row in shown.nights], color=_COLOUR)
    every = max(len(shown.nights) // 6, 1)
    lower.set_xticks(places[::every], [row.label[5:] for row in shown.nights[::every]])


def _nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "nothing", ha="center", va="center", transform=axes.transAxes)
    axes.set(xticks=[], yticks=[])


def _clock(instant: int, report: Report) -> str:
    return f"{clock_of(instant, report.period.zone):%Y-%m-%d %H:%M %Z}"
