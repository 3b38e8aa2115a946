"""The report for programs: JSON, CSV and ECSV (astropy's enhanced CSV, which carries units and meanings)."""

from __future__ import annotations

import csv
import io
import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from archq.instants import format_instant
from archq.names import ALL_INSTRUMENTS
from logsum.figures import FIGURES, figures, percentiles
from logsum.groups import BY_INSTRUMENT
from logsum.tally import chosen_bounds, in_bins

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from logsum.render.style import Style
    from logsum.report import Report
    from logsum.tally import Tally

VERSION = 1  # of the JSON's shape: it grows when a member changes or goes, not when one comes

SHARES = (1, 10, 25, 50, 75, 90, 99)  # percent


def as_json(report: Report, style: Style, messages: Sequence[str]) -> str:
    """Return the whole report, with what could not be read."""
    by = _grouping(style)
    sections = {title: _section(title, report, by, style) for title in report.sections}
    total = sections.pop(ALL_INSTRUMENTS, None)
    document = {
        "version": VERSION,
        "made": format_instant(report.now, 3),
        "start": format_instant(report.period.start, 3),
        "end": format_instant(report.period.end, 3),
        "zone": str(report.period.zone),
        "by": by,
        "instruments": list(sections.values()),
        "total": total,
        "used_twice": [
            {"instrument": one.title, "name": one.name, "files": one.files, "kept": list(one.kept)}
            for one in report.used_twice
        ],
        "problems": list(messages),
    }
    return json.dumps(document, indent=2) + "\n"


def as_csv(report: Report, style: Style) -> str:
    """Return a table with a heading: a line for each instrument, or for each of its nights, say."""
    by = _grouping(style)
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_names(by))
    writer.writerows(_lines(report, by))
    return text.getvalue()


def as_ecsv(report: Report, style: Style) -> str:
    """Return the same table with what astropy needs to know (APE 6)."""
    columns = [f"{{name: {name}, datatype: string}}" for name in _names(_grouping(style))[: -len(FIGURES)]]
    for figure in FIGURES:
        unit = f", unit: {figure.unit}" if figure.unit else ""
        kind = "int64" if figure.whole else "float64"
        columns.append(f"{{name: {figure.name}{unit}, datatype: {kind}, description: '{figure.meaning}'}}")
    header = [
        "%ECSV 1.0",
        "---",
        "delimiter: ','",
        "datatype:",
        *(f"- {column}" for column in columns),
        "meta: !!omap",
        f"- start: '{format_instant(report.period.start, 3)}'",
        f"- end: '{format_instant(report.period.end, 3)}'",
        f"- made: '{format_instant(report.now, 3)}'",
        "schema: astropy-2.0",
    ]
    return "".join(f"# {line}\n" for line in header) + as_csv(report, style)


def _names(by: str | None) -> list[str]:
    return ["instrument", *([by] if by else []), *(figure.name for figure in FIGURES)]


def _lines(report: Report, by: str | None) -> Iterator[list[object]]:
    """Yield the lines of the instruments; their sum is left out, for whoever adds a column up."""
    for title, tally in report.sections.items():
        if title == ALL_INSTRUMENTS:
            continue
        if not by:
            yield [title, *figures(tally).values()]
        for row in report.tables[by].get(title, ()) if by else ():
            yield [title, row.label, *figures(row.tally).values()]


def _section(title: str, report: Report, by: str | None, style: Style) -> dict[str, Any]:
    tally = report.sections[title]
    found = percentiles(tally, [share / 100 for share in SHARES])
    section: dict[str, Any] = {
        "instrument": title,
        **figures(tally),
        "throughput": round(tally.volume / report.elapsed, 3) if report.elapsed else None,
        "percentiles": {name: dict(zip(map(str, SHARES), values, strict=True)) for name, values in found.items()},
        "bins": _bins(tally, style),
        "reasons": dict(tally.reasons),
    }
    if by:
        section["rows"] = [{by: row.label, **figures(row.tally)} for row in report.tables[by].get(title, ())]
    return section


def _bins(tally: Tally, style: Style) -> list[dict[str, Any]]:
    rates = tally.performance.rates(style.unit_bytes)
    if not rates:
        return []
    bounds = style.bounds or chosen_bounds(rates)
    edges = pairwise([0.0, *(bound * style.unit_bytes for bound in bounds), None])
    return [
        {"above": low, "up_to": high, "files": count}
        for (low, high), count in zip(edges, in_bins(rates, bounds), strict=True)
    ]


def _grouping(style: Style) -> str | None:
    """Return what the lines are of, besides instruments, which they always are."""
    return None if style.by == BY_INSTRUMENT else style.by
