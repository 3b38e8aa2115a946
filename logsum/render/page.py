"""The report as one page that needs nothing else: no network, no script; light and dark, on a desk and on a phone."""

from __future__ import annotations

from importlib.resources import files
from typing import TYPE_CHECKING

from archq.instants import SECOND
from archq.names import ALL_INSTRUMENTS
from archq.quantities import format_duration, format_size
from archq.version import __version__
from logsum.figures import figures
from logsum.groups import BY_NIGHT
from logsum.panels import panels
from logsum.period import clock_of
from logsum.render.charts import charts
from logsum.render.html import Html, element, table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from logsum.render.style import Style
    from logsum.report import Report
    from logsum.tally import Tally
    from logsum.transfers import Transfer

# The page asks nobody for anything, and a browser that knows this stops whatever a mistake of ours would let in.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'"

_MOST_NAMES = 20
_MOST_NIGHTS = 62  # the picture has them all


def as_page(report: Report, style: Style, messages: Sequence[str]) -> str:
    """Return the page of a report that has tables by night, arrivals and failures; ``messages`` is what went wrong."""
    title = list(report.sections)[-1]  # of several instruments what they have together
    name = "all instruments" if title == ALL_INSTRUMENTS else title
    body = element(
        "body",
        element("header", element("h1", f"Data storage: {name}"), *_period(report)),
        element(
            "main",
            _tiles(report, title, style),
            *_instruments(report, style),
            *_pictures(report, title, style),
            *_nights(report, title, style),
            *_arrivals(report, style),
            *_problems(report, messages),
        ),
        element("footer", f"Made by logsum {__version__} at {_clock(report.now, report)}, and true as of then."),
    )
    return f'<!DOCTYPE html>\n<html lang="en">\n{_head(f"Data storage: {name}")}\n{body}\n</html>\n'


def _head(title: str) -> Html:
    css = files("logsum.render").joinpath("page.css").read_text()
    metas = [
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        '<meta name="color-scheme" content="light dark">',
    ]
    return element("head", *map(Html, metas), element("title", title), element("style", Html(css)))


def _period(report: Report) -> Iterator[Html]:
    period = report.period
    yield element("p", f"{_clock(period.start, report)} to {_clock(period.end, report)}", class_="faint")


def _tiles(report: Report, title: str, style: Style) -> Html:
    tally = report.sections[title]
    values = figures(tally)
    newest = report.arrivals[0] if report.arrivals else None
    tiles = {
        "Newest file": _age(report, newest) if newest else "none",
        "Files": f"{tally.files}",
        "Errors": f"{tally.errors}",
        "Volume": format_size(tally.volume),
        "Median rate": _rate(values["rate_median"], style),
        "Median latency": _duration(values["latency_median"]),
    }
    alarm = {"Errors"} if tally.errors else set()
    return element(
        "dl",
        *(
            element("div", element("dt", name), element("dd", value, class_="bad" if name in alarm else "good"))
            for name, value in tiles.items()
            if value
        ),
        class_="tiles",
    )


def _instruments(report: Report, style: Style) -> Iterator[Html]:
    if len(report.sections) > 1:
        rows = ([title, *_figures(tally, style)] for title, tally in report.sections.items())
        yield element("h2", "Instruments")
        yield _figure_table("Instrument", rows, "What each instrument sent in this period", style)


def _pictures(report: Report, title: str, style: Style) -> Iterator[Html]:
    drawn = list(charts(panels(report, title, style.unit_bytes), style.unit))
    if drawn:
        yield element("h2", "Transfers")
        pictures = (element("figure", element("h3", heading), Html(picture)) for heading, picture in drawn)
        yield element("div", *pictures, class_="charts")


def _nights(report: Report, title: str, style: Style) -> Iterator[Html]:
    rows = report.tables.get(BY_NIGHT, {}).get(title, ())
    if rows:
        yield element("h2", "Nights")
        lines = ([row.label, *_figures(row.tally, style)] for row in reversed(rows[-_MOST_NIGHTS:]))
        cut = f"; the last {_MOST_NIGHTS} of {len(rows)}" if len(rows) > _MOST_NIGHTS else ""
        yield _figure_table(
            "Night", lines, f"Each file under the night in which it was taken, the last first{cut}", style
        )


def _arrivals(report: Report, style: Style) -> Iterator[Html]:
    yield element("h2", "Last arrivals")
    if not report.arrivals:
        yield element("p", "Nothing has arrived in this period.")
        return
    rows = (
        [
            _clock(one.ended, report),
            *_whose(one.title, report),
            _name(one.archived.path or "" if one.archived else ""),
            format_size(one.size),
            _rate(one.size / one.seconds if one.seconds else None, style),
            _duration(None if one.latency is None else one.latency / SECOND),
        ]
        for one in report.arrivals
    )
    headers = ["Arrived", *_whose("Instrument", report), "File", "Size", "Rate", "Latency"]
    yield _entries(headers, rows, f"The last {len(report.arrivals)} files")


def _problems(report: Report, messages: Sequence[str]) -> Iterator[Html]:
    yield element("h2", "Problems")
    if not report.failures and not report.used_twice and not messages:
        yield element("p", "None in this period.")
    if report.failures:
        rows = ([_clock(one.ended, report), *_whose(one.title, report), *_failure(one)] for one in report.failures)
        headers = ["Time", *_whose("Instrument", report), "Outcome", "File", "Reason"]
        yield _entries(headers, rows, f"The last {len(report.failures)} errors")
    if report.used_twice:
        twice = report.used_twice
        shown = twice[:_MOST_NAMES]
        rows = ([_name(one.name), *_whose(one.title, report), str(one.files), _kept(one.kept)] for one in shown)
        more = f", of {len(twice)}" if len(twice) > _MOST_NAMES else ""
        headers = ["Name", *_whose("Instrument", report), "Files", "Kept as"]
        yield _entries(headers, rows, f"Names that were used twice{more}")
    if messages:
        yield element("p", "What could not be read:", class_="faint")
        yield element("ul", *(element("li", _name(message)) for message in messages))


def _whose(title: str, report: Report) -> list[str]:
    """Return a column for the instrument, which is needed only where there are several."""
    return [title] if len(report.sections) > 1 else []


def _failure(one: Transfer) -> list[str]:
    failed = one.failed
    assert failed
    return [failed.outcome, _name(failed.path or str(failed.wire)), _name(failed.reason or "")]


def _entries(headers: list[str], rows: Iterator[list[str]], caption: str) -> Html:
    """Return a table of single files, which a phone shows as paragraphs."""
    return element("div", table(headers, rows, caption), class_="entries")


def _figure_table(first: str, rows: Iterator[list[str]], caption: str, style: Style) -> Html:
    headers = [first, "Files", "Errors", "Volume", f"Rate, {style.unit}/s", "Latency", "Longest"]
    return element("div", table(headers, rows, caption), class_="figures")


def _figures(tally: Tally, style: Style) -> list[str]:
    values = figures(tally)
    rate = values["rate_median"]
    return [
        str(tally.files),
        element("span", str(tally.errors), class_="bad") if tally.errors else "0",
        format_size(tally.volume),
        "" if rate is None else f"{rate / style.unit_bytes:.2f}",
        _duration(values["latency_median"]),
        _duration(values["latency_max"]),
    ]


def _name(name: str) -> Html:
    return element("span", name, class_="name")


def _kept(kept: Sequence[str]) -> Html:
    return _name(", ".join(kept))


def _age(report: Report, newest: Transfer) -> str:
    return f"{format_duration(max(report.now - newest.ended, 0) / SECOND)} ago"


def _clock(instant: int, report: Report) -> str:
    return f"{clock_of(instant, report.period.zone):%Y-%m-%d %H:%M %Z}"


def _rate(rate: float | None, style: Style) -> str:
    return "" if rate is None else f"{rate / style.unit_bytes:.2f} {style.unit}/s"


def _duration(seconds: float | None) -> str:
    return "" if seconds is None else format_duration(seconds)
