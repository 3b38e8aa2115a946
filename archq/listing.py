"""How `archq status` and `archq queues` look: in columns that fit a terminal, whole in a pipe."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, NamedTuple

from archq.console import Colour, printable
from archq.instants import SECOND
from archq.meter import columns, shortened
from archq.quantities import format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from archq.status import QueueStatus, RequestStatus

    _Row = tuple[str, str, str, str]

_TO_THE_RIGHT = frozenset({2, 4})  # the columns of sizes and ages
_INDENT = "    "
_HEADERS = ("queue", "destination", "queued", "state")
_ALIGNED = ("left", "left", "right", "left")
_NARROWEST_DESTINATION = 20  # columns
_COLOURS = {
    "blocked": Colour.RED,
    "damaged": Colour.RED,
    "held": Colour.YELLOW,
    "waiting": Colour.YELLOW,
}


class Line(NamedTuple):
    """A line, and the colour in which a terminal shows it."""

    text: str
    colour: Colour = Colour.PLAIN


def request_lines(statuses: Iterable[RequestStatus], now: int, width: int | None) -> Iterator[Line]:
    """Yield a row for each request as `lpstat -o` does, with the reason for which it waits below.

    On a terminal of ``width`` columns titles are cut and reasons broken; with None nothing is.
    """
    shown = list(statuses)
    rows = [_row(one, now) for one in shown]
    widths = [max(map(columns, column)) for column in zip(*rows, strict=True)]
    for one, row in zip(shown, rows, strict=True):
        text = "  ".join(_aligned(row, widths)).rstrip()
        yield Line(text if width is None else shortened(text, width), _COLOURS.get(one.state, Colour.PLAIN))
        if one.reason:
            soonest = min((file.next_try for file in one.files if file.next_try), default=0)
            yield from broken(f"{one.reason}{_next(soonest, now)}", width, indent=_INDENT)


def _row(one: RequestStatus, now: int) -> Sequence[str]:
    files = f"{len(one.files)} file{'s' if len(one.files) != 1 else ''}"
    age = format_duration((now - one.queued) / SECOND)
    return one.request, printable(one.user), format_size(one.size), files, age, one.state, printable(one.title)


def _aligned(row: Sequence[str], widths: Sequence[int]) -> Iterator[str]:
    for number, (cell, width) in enumerate(zip(row, widths, strict=True)):
        blanks = " " * (width - columns(cell))
        yield f"{blanks}{cell}" if number in _TO_THE_RIGHT else f"{cell}{blanks}"


def queue_lines(one: QueueStatus, now: int, width: int | None) -> Iterator[Line]:
    """Yield whether a shipper runs for a queue, and what is wrong with it."""
    runs = "a shipper runs" if one.shipper else "no shipper runs"
    trouble = f"; {one.state}: {one.reason}{_next(one.next_try, now)}" if one.reason else ""
    yield from broken(f"queue {one.name}: {runs}{trouble}", width, _COLOURS.get(one.state, Colour.PLAIN))


def queue_table(queues: Iterable[QueueStatus], default: str | None, width: int | None) -> Iterator[Line]:
    """Yield the table of `archq queues`, with what is wrong with a queue below its row.

    On a terminal destinations are cut and reasons broken.
    """
    from tabulate import tabulate

    shown = list(queues)
    rows = [(_name(one, default), printable(one.url), str(one.requests), one.state) for one in shown]
    if width is not None:
        rows = _narrowed(rows, width)
    header, *lines = tabulate(rows, _HEADERS, "plain", disable_numparse=True, colalign=_ALIGNED).split("\n")
    yield Line(header)
    for one, line in zip(shown, lines, strict=True):
        colour = _COLOURS.get(one.state, Colour.PLAIN)
        yield Line(line, colour)
        if one.reason:
            yield from broken(one.reason, width, colour, _INDENT)


def _name(one: QueueStatus, default: str | None) -> str:
    return f"{one.name} (default)" if one.name == default else one.name


def _narrowed(rows: Sequence[_Row], width: int) -> list[_Row]:
    """Return the rows with destinations cut, so that they fit into ``width`` columns."""
    # tabulate lets a column be two wider than its header, and puts two blanks between columns.
    widths = [max(len(header) + 2, *map(len, column)) for header, *column in zip(_HEADERS, *rows, strict=True)]
    room = max(width - sum(widths) + widths[1] - 2 * (len(widths) - 1), _NARROWEST_DESTINATION)
    return [(name, shortened(url, room), requests, state) for name, url, requests, state in rows]


def broken(text: str, width: int | None, colour: Colour = Colour.PLAIN, indent: str = "") -> Iterator[Line]:
    """Yield ``text`` in as many lines as a terminal of ``width`` columns needs for it."""
    if width is None:
        yield Line(f"{indent}{text}", colour)
        return
    wrapper = textwrap.TextWrapper(
        width,
        initial_indent=indent,
        subsequent_indent=indent or _INDENT,
        break_long_words=False,  # so that commands and names can be copied
        break_on_hyphens=False,
    )
    for line in wrapper.wrap(printable(text)):
        yield Line(line, colour)


def _next(soonest: int, now: int) -> str:
    """Say when the next try is; 0 is no instant, but "unknown"."""
    if not soonest:
        return ""
    return f"; next try in {format_duration((soonest - now) / SECOND)}" if soonest > now else "; next try now"
