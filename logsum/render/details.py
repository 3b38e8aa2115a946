"""What the text report tells on request: totals, percentiles, reasons, names used twice, and tables."""

from __future__ import annotations

from archq.console import printable
from archq.quantities import format_duration, format_size
from logsum.figures import figures, percentiles

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from logsum.render.style import Style
    from logsum.report import Report
    from logsum.tally import Tally

_MOST = 20  # lines of a list

_SHARES = {"10 %": 0.1, "Median": 0.5, "90 %": 0.9, "99 %": 0.99, "Max": 1.0}


def details(title: str, report: Report, style: Style) -> Iterator[str]:
    """Yield the parts of the details of one section; none where there is nothing to tell."""
    tally = report.sections[title]
    twice = [
        f"  {printable(one.name)}  ({one.files} file{'s' * (one.files != 1)}{_kept(one.kept)})"
        for one in report.used_twice
        if one.title == title
    ]
    reasons = [f"{count:6}  {printable(reason)}" for reason, count in tally.reasons.items()]
    if tally.files:
        yield _total(tally, report.elapsed)
    if tally.performance.sizes or tally.latencies:
        yield _percentiles(tally, style)
    if reasons:
        yield _listed("Errors by reason:", reasons)
    if twice:
        yield _listed("Names used twice:", twice)


def table(name: str, rows: Iterable[tuple[str, Tally]], style: Style) -> str:
    """Return a table with a line for each night, say."""
    from tabulate import tabulate

    headers = [name.capitalize(), "Files", "Errors", style.unit, f"{style.unit}/s", "Latency", "Longest"]
    lines = [[label, *_cells(tally, style.unit_bytes)] for label, tally in rows]
    return tabulate(lines, headers, disable_numparse=True, colalign=("left", *("right",) * 6)) + "\n"


def _cells(tally: Tally, unit_bytes: int) -> Iterator[str]:
    values = figures(tally)
    yield str(tally.files)
    yield str(tally.errors)
    yield f"{tally.volume / unit_bytes:.1f}"
    yield "" if values["rate_median"] is None else f"{values['rate_median'] / unit_bytes:.2f}"
    for name in ("latency_median", "latency_max"):
        value = values[name]
        yield "" if value is None else format_duration(value)


def _total(tally: Tally, elapsed: float) -> str:
    over = f", {format_size(tally.volume / elapsed)}/s over the period" if elapsed else ""
    return f"Total: {format_size(tally.volume)} in {tally.files} file{'s' * (tally.files != 1)}{over}\n"


def _percentiles(tally: Tally, style: Style) -> str:
    from tabulate import tabulate

    def in_units(value: float) -> str:
        return f"{value / style.unit_bytes:.2f}"

    shown: dict[str, tuple[str, Callable[[float], str]]] = {
        "size": (f"Size, {style.unit}", in_units),
        "rate": (f"Rate, {style.unit}/s", in_units),
        "seconds": ("Time, s", lambda seconds: f"{seconds:.1f}" if seconds >= 10 else f"{seconds:.3g}"),
        "latency": ("Latency", format_duration),
    }
    lines = []
    for name, values in percentiles(tally, list(_SHARES.values())).items():
        label, form = shown[name]
        lines.append([label, *map(form, values)])
    aligned = ("left", *("right",) * len(_SHARES))
    return tabulate(lines, ["", *_SHARES], disable_numparse=True, colalign=aligned) + "\n"


def _kept(kept: Sequence[str]) -> str:
    return f", kept as {', '.join(map(printable, kept))}" if kept else ""


def _listed(heading: str, lines: Sequence[str]) -> str:
    more = [f"  and {len(lines) - _MOST} more (--format json tells all)"] if len(lines) > _MOST else []
    return "\n".join([heading, *lines[:_MOST], *more, ""])
