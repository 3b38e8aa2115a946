"""Observing nights: which one an instant belongs to, and when it begins and ends.

A night runs from rollover to rollover in the instrument's zone (noon MST, say) and is named by the date on which it
begins.  A rollover is in seconds after midnight by the wall clock.
"""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta, tzinfo

from archq.instants import SECOND
from archq.light import pattern

_DATED = pattern(r"(?a)(\d{4})(?:\.(\d\d)(\d\d)|(\d\d)(\d\d)|-(\d\d)-(\d\d))")


def night_of(instant: int, zone: tzinfo, rollover: int) -> date:
    """Return the night that holds ``instant`` (nanoseconds since 1970)."""
    local = datetime.fromtimestamp(instant // SECOND, UTC).astimezone(zone).replace(tzinfo=None)
    return (local - timedelta(seconds=rollover)).date()


def start_of(night: date, zone: tzinfo, rollover: int) -> int:
    """Return the instant (nanoseconds since 1970) at which ``night`` begins, which is when the one before it ends."""
    clock = datetime.combine(night, time()) + timedelta(seconds=rollover)
    return int(clock.replace(tzinfo=zone).timestamp()) * SECOND


def named_night(directory: str) -> date | None:
    """Return the night for which a directory is named: ``2002.0523``, ``20020523`` or ``2002-05-23``; else None."""
    match = _DATED.fullmatch(directory)
    if not match:
        return None
    year, month, day = (int(part) for part in match.groups() if part)
    try:
        return date(year, month, day)
    except ValueError:
        return None
