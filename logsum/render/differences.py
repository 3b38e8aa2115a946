"""What a comparison of ledgers has found, as text and as data."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING

from archq.console import printable
from archq.instants import format_instant
from logsum.reconcile import KINDS
from logsum.render.text import clock, covered

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from logsum.period import Period
    from logsum.reconcile import Comparison, Difference

VERSION = 1  # of the JSON's shape
_WIDTH = max(map(len, KINDS))
_COLUMNS = ("time", "instrument", "kind", "wire", "detail")


def differences_as_text(comparison: Comparison, *, verbose: bool) -> str:
    """Return a line for each difference under a heading; nothing where all agree, unless ``verbose``."""
    found = comparison.differences
    if not found and not verbose:
        return ""
    lines = [*_heading(comparison), *(_line(one, comparison.period) for one in found)]
    return "".join(f"{line}\n" for line in lines)


def _heading(comparison: Comparison) -> Iterator[str]:
    counts = {"sent": comparison.sent, "arrived": comparison.arrived, "filed": comparison.filed}
    number = len(comparison.differences)
    yield covered(comparison.period, "Ledgers compared: ")
    yield ", ".join(f"{count} {name}" for name, count in counts.items() if count is not None) + (
        f"; {number} difference{'s' * (number != 1)}"
    )
    if number:
        yield ""


def _line(one: Difference, period: Period) -> str:
    return printable(f"{clock(one.time, period)}  {one.kind:<{_WIDTH}}  {one.wire}  {one.detail}")


def differences_as_json(comparison: Comparison, messages: Sequence[str]) -> str:
    """Return the comparison as one JSON object, with what could not be read."""
    document = {
        "version": VERSION,
        "start": format_instant(comparison.period.start, 3),
        "end": format_instant(comparison.period.end, 3),
        "sent": comparison.sent,
        "arrived": comparison.arrived,
        "filed": comparison.filed,
        "differences": [dict(zip(_COLUMNS, _cells(one), strict=True)) for one in comparison.differences],
        "problems": list(messages),
    }
    return json.dumps(document, indent=2) + "\n"


def differences_as_csv(comparison: Comparison) -> str:
    """Return a table with a heading and a line for each difference."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(_COLUMNS)
    writer.writerows(map(_cells, comparison.differences))
    return text.getvalue()


def _cells(one: Difference) -> tuple[str, ...]:
    return format_instant(one.time, 3), one.title, one.kind, one.wire, one.detail
