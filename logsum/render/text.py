"""The report as text, to the byte as users of the original know it."""

from __future__ import annotations

import math
from itertools import pairwise

from logsum.groups import BY_INSTRUMENT
from logsum.period import HOUR, clock_of
from logsum.runs import highest, lowest, median
from logsum.tally import chosen_bounds, in_bins

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from logsum.period import Period
    from logsum.render.style import Style
    from logsum.report import Report
    from logsum.tally import Performance


def render(report: Report, style: Style) -> str:
    """Return the report; an empty text where there is nothing to tell."""
    told = {title: one for title, one in report.sections.items() if style.verbosity > 1 or one.files or one.errors}
    if not told:
        return ""
    parts = [_heading(report.period), *(part for title in told for part in _section(title, report, style))]
    if style.by == BY_INSTRUMENT:
        from logsum.render.details import table

        parts.append(table(BY_INSTRUMENT, told.items(), style))
    return "\n".join(parts)


def _heading(period: Period) -> str:
    return f"        Internet Data Storage Report\n\n{covered(period, 'Period covered: ')}"


def covered(period: Period, label: str) -> str:
    """Return two lines that tell when ``period`` begins, when it ends, and how long that is."""
    days, rest = divmod(period.end - period.start, 24 * HOUR)
    return (
        f"{label}{clock(period.start, period)}  to\n"
        f"{' ' * len(label)}{clock(period.end, period)}  or {days} days, {rest / HOUR:g} hours\n"
    )


def clock(instant: int, period: Period) -> str:
    """Return what a clock shows at ``instant`` in the zone of ``period``, which is told too."""
    return clock_of(instant, period.zone).strftime("%Y-%m-%d %H:%M:%S %Z")


def _section(title: str, report: Report, style: Style) -> Iterator[str]:
    tally = report.sections[title]
    yield f"Instrument: {title:<10} {tally.files:5} files {tally.errors:7} errors\n"
    if style.verbosity and tally.performance.sizes:
        yield _performance(tally.performance, style)
    if style.details:
        from logsum.render.details import details

        yield from details(title, report, style)
    rows = report.tables.get(style.by or "", {}).get(title)
    if style.by and rows:
        from logsum.render.details import table

        yield table(style.by, ((row.label, row.tally) for row in rows), style)


def _performance(performance: Performance, style: Style) -> str:
    sizes, times = performance.sizes, performance.times
    rates = performance.rates(style.unit_bytes)
    return (
        f"FTP performance for {len(sizes)} files:\n"
        f"  Files sizes:  Min = {min(sizes):9} bytes\n"
        f"                Max = {max(sizes):9}\n"
        "\n"
        f"  Median rate:  {median(rates):4.2f} {style.unit}/s   Median Time: {_whole(median(times)):3} seconds\n"
        f"     Min        {lowest(rates):4.2f}           Min       {_whole(min(times)):3}\n"
        f"     Max        {highest(rates):4.2f}           Max       {_whole(max(times)):3}\n"
        "\n" + _histogram(rates, style)
    )


def _histogram(rates: Sequence[float], style: Style) -> str:
    bounds = style.bounds or chosen_bounds(rates)
    counts = in_bins(rates, bounds)
    edges = pairwise((0.0, *bounds))
    lines = [
        f"{count:6}  at  {low:3.1f} < rate <= {high:3.1f}" for count, (low, high) in zip(counts, edges, strict=False)
    ]
    lines[0] += f" {style.unit}/sec"
    return "".join(f"{line}\n" for line in (*lines, f"{counts[-1]:6}  at  {bounds[-1]:3.1f} < rate"))


def _whole(seconds: float) -> int:
    """Round half up, as the original did; Python's round() goes to the even neighbour."""
    return math.floor(seconds + 0.5)
