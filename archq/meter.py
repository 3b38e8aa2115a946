"""One line on a terminal that says how far long work has come, how fast it goes and how long it will take."""

from __future__ import annotations

import os
import time
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from archq.quantities import format_duration, format_size

if TYPE_CHECKING:
    from typing import TextIO

SHOWN_AFTER = 1.0  # seconds: what is done sooner needs no bar
REDRAWN_EVERY = 0.2  # seconds
RATE_OF = 10.0  # the last seconds, whose rate is shown: that of the beginning says little about the end
_NARROWEST_BAR, _WIDEST_BAR = 8, 40  # columns
_NARROWEST_LABEL = 12
_LEFT_FREE = 3  # columns, for the ^C of whoever interrupts and for the cursor: a line that is broken cannot be cleared
_CLEAR = "\r\x1b[K"


class Meter:
    """Counts what is done of ``total``, in bytes or in ``unit``, and shows it on ``stream`` once that takes long."""

    def __init__(self, label: str, total: int, unit: str | None, stream: TextIO) -> None:
        self._label, self._total, self._unit, self._stream = label, total, unit, stream
        self._done = 0
        began = time.monotonic()
        self._due = began + SHOWN_AFTER
        self._seen = deque([(began, 0)])
        self._is_shown = False

    def advance(self, count: int = 0) -> None:
        """Count ``count`` more; nothing more is a sign that it still goes on."""
        self._done += count
        now = time.monotonic()
        if now >= self._due:
            self._due = now + REDRAWN_EVERY
            self._show(now)

    def clear(self) -> None:
        """Leave the line to something else; the next step takes it again."""
        if self._is_shown:
            self._write(_CLEAR)
            self._is_shown = False

    def _show(self, now: float) -> None:
        rate = self._rate(now)
        if is_ours(self._stream):
            width = width_of(self._stream)
            self._write(f"\r{line(self._label, self._done, self._total, rate, self._unit, width)}\x1b[K")
            self._is_shown = True

    def _rate(self, now: float) -> float:
        self._seen.append((now, self._done))
        while len(self._seen) > 2 and self._seen[1][0] <= now - RATE_OF:
            self._seen.popleft()
        then, before = self._seen[0]
        return (self._done - before) / (now - then)

    def _write(self, text: str) -> None:
        with suppress(OSError):  # the terminal has gone, and the work is not to end with it
            self._stream.write(text)
            self._stream.flush()


def line(label: str, done: int, total: int, rate: float, unit: str | None, width: int) -> str:
    """Return e.g. ``copying  43% [####      ] 1.2 GB of 2.8 GB  210.3 MB/s  8 s left`` in less than ``width`` columns.

    A ``total`` of 0 is not known.
    """
    share = min(done / total, 1.0) if total else 0.0
    percent = f" {int(100 * share):3d}%" if total else ""
    left = f"  {format_duration((total - done) / rate)} left" if rate > 0 and done < total else ""
    words = f" {_amount(done, total, unit)}  {_rate(rate, unit)}{left}"
    room = width - _LEFT_FREE - len(percent) - len(words)
    label = shortened(label, max(room, _NARROWEST_LABEL))
    bar = _bar(share, room - len(label) - len(" []")) if total else ""
    return f"{label}{percent}{bar}{words}"[: width - _LEFT_FREE]


def _bar(share: float, room: int) -> str:
    columns = min(room, _WIDEST_BAR)
    return f" [{'#' * int(share * columns):<{columns}}]" if columns >= _NARROWEST_BAR else ""


def _amount(done: int, total: int, unit: str | None) -> str:
    if unit is None:
        return f"{format_size(done)} of {format_size(total)}" if total else format_size(done)
    return f"{done} of {total} {unit}" if total else f"{done} {unit}"


def _rate(rate: float, unit: str | None) -> str:
    if unit is None:
        return f"{format_size(rate)}/s"
    return f"{rate:.0f}/s" if rate >= 10 else f"{rate:.1f}/s"


def shortened(text: str, width: int) -> str:
    """Return ``text``, or what fits into ``width`` columns of it and an ellipsis."""
    if columns(text) <= width:
        return text
    room, kept = width - 1, ""
    for sign in text:
        room -= columns(sign)
        if room < 0:
            break
        kept += sign
    return f"{kept}…"


def columns(text: str) -> int:
    """Return how many columns of a terminal ``text`` takes: signs of East Asia take two, accents none of their own."""
    if text.isascii():
        return len(text)
    from unicodedata import combining, east_asian_width

    return sum(0 if combining(sign) else 1 + (east_asian_width(sign) in "WF") for sign in text)


def width_of(stream: TextIO) -> int:
    """Return the columns of the terminal that ``stream`` is, 80 where that cannot be told."""
    with suppress(OSError, ValueError):
        return os.get_terminal_size(stream.fileno()).columns or 80
    return 80


def is_ours(stream: TextIO) -> bool:
    """Say whether the terminal is ours to draw on: a job in the background would write over what is typed."""
    try:
        return os.tcgetpgrp(stream.fileno()) == os.getpgrp()
    except OSError:  # a terminal that controls nobody
        return True
