"""Instants as text: UTC, RFC 3339, to the nanosecond.

An instant is an ``int``: nanoseconds since 1970-01-01T00:00:00Z, as :func:`time.time_ns` and ``st_mtime_ns`` give it.
A ``float`` or a ``datetime`` would lose the last three digits of a file's timestamp.
"""

from __future__ import annotations

import time

from archq.errors import MalformedError
from archq.light import pattern

SECOND = 1_000_000_000  # nanoseconds

_FIRST, _LAST = -62_135_596_800, 253_402_300_799  # seconds: 0001-01-01T00:00:00 and 9999-12-31T23:59:59
_TEXT = pattern(r"(?a)(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?Z")


def format_instant(instant: int, digits: int = 9) -> str:
    """Return e.g. ``2026-11-20T03:14:15.926535897Z``; further ``digits`` of the fraction are cut off, not rounded.

    Raise MalformedError for what no four-digit year holds: some filesystems keep such timestamps.
    """
    seconds, nanoseconds = divmod(instant, SECOND)
    if not _FIRST <= seconds <= _LAST:
        raise MalformedError(f"not a time of the years 1 to 9999: {seconds} s since 1970")
    year, month, day, hour, minute, second, *_rest = time.gmtime(seconds)
    fraction = f".{nanoseconds:09d}"[: digits + 1] if digits else ""
    return f"{year:04d}-{month:02d}-{day:02d}T{hour:02d}:{minute:02d}:{second:02d}{fraction}Z"


def parse_instant(text: str) -> int:
    """Return the instant that ``text`` names; raise MalformedError if it names none."""
    from datetime import datetime  # a command that only writes instants does not wait for it

    match = _TEXT.fullmatch(text)
    if not match:
        raise MalformedError(f"not a UTC time such as 2026-11-20T03:14:15.9Z: {text!r}")
    try:
        since = datetime.fromisoformat(match[1]) - datetime(1970, 1, 1)  # both are UTC
    except ValueError as error:
        raise MalformedError(f"no such time: {text!r}") from error
    return (since.days * 86_400 + since.seconds) * SECOND + int((match[2] or "").ljust(9, "0"))
