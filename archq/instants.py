"""Instants as text: UTC, RFC 3339, to the nanosecond.

An instant is an ``int``: nanoseconds since 1970-01-01T00:00:00Z, as :func:`time.time_ns` and ``st_mtime_ns`` give it.
A ``float`` or a ``datetime`` would lose the last three digits of a file's timestamp.
"""

from __future__ import annotations

import time

from archq.errors import MalformedError
from archq.light import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

SECOND = 1_000_000_000  # nanoseconds

_calendars: list[tuple[Callable[[str], datetime], datetime]] = []

_FIRST, _LAST = -62_135_596_800, 253_402_300_799  # seconds: 0001-01-01T00:00:00 and 9999-12-31T23:59:59
_TEXT = pattern(r"(?a)(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")


def format_instant(instant: int, digits: int = 9) -> str:
    """Return e.g. ``2026-11-20T03:14:15.926535897Z``; further ``digits`` of the fraction are cut off, not rounded.

    Raise MalformedError for what no four-digit year holds: some filesystems keep such timestamps.
    """
    seconds, nanoseconds = divmod(instant, SECOND)
    if not _FIRST <= seconds <= _LAST:
        raise MalformedError(f"not a time of the years 1 to 9999: {seconds} s since 1970")
    fraction = f".{nanoseconds:09d}"[: digits + 1] if digits else ""
    return "%04d-%02d-%02dT%02d:%02d:%02d" % time.gmtime(seconds)[:6] + fraction + "Z"  # noqa: UP031  # a third faster than f"…"


def _opened_calendar() -> tuple[Callable[[str], datetime], datetime]:
    """Return what reads a UTC time, and 1970; a command that only writes instants does not wait for it."""
    from datetime import datetime

    _calendars.append((datetime.fromisoformat, datetime(1970, 1, 1)))
    return _calendars[0]


def parse_instant(text: str) -> int:
    """Return the instant that ``text`` names; raise MalformedError if it names none."""
    match = _TEXT.fullmatch(text)
    if not match:
        raise MalformedError(f"not a UTC time such as 2026-11-20T03:14:15.9Z: {text!r}")
    read, beginning = _calendars[0] if _calendars else _opened_calendar()
    try:
        since = read(match[1]) - beginning
    except ValueError as error:
        raise MalformedError(f"no such time: {text!r}") from error
    return (since.days * 86_400 + since.seconds) * SECOND + int((match[2] or "").ljust(9, "0"))
