"""Time zones by name or by POSIX TZ string; an unknown one is refused, never taken for UTC."""

from __future__ import annotations

import os
import struct
from datetime import UTC
from io import BytesIO

from archq.errors import UsageError
from archq.light import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import tzinfo
    from typing import IO

LOCAL_FILE = "/etc/localtime"

# What a POSIX string with a summer time but without rules means is left to the system; glibc's tzset(3) takes these.
_DEFAULT_RULES = ",M3.2.0,M11.1.0"

_ABBREVIATION = r"(?:[A-Za-z]{3,}|<[A-Za-z0-9+-]{3,}>)"
_CLOCK = r"(?:2[0-4]|[01]?[0-9])(?::[0-5]?[0-9]){0,2}"
_DAY = r"(?:J[0-9]{1,3}|[0-9]{1,3}|M(?:1[0-2]|[1-9])\.[1-5]\.[0-6])"
_HOURS = r"(?:1[0-6][0-9]|[0-9]?[0-9])(?::[0-5]?[0-9]){0,2}"  # a rule may reach a week far (RFC 9636), to 167 hours
_RULE = rf",{_DAY}(?:/[+-]?{_HOURS})?"
_POSIX = pattern(
    rf"(?a){_ABBREVIATION}[+-]?{_CLOCK}(?P<summer>{_ABBREVIATION}(?:[+-]?{_CLOCK})?(?P<rules>{_RULE}{_RULE})?)?"
)


def find_zone(text: str) -> tzinfo:
    """Return the zone that ``text`` names (``America/Phoenix``, ``MST``) or describes (``EST5EDT,M3.2.0,M11.1.0``).

    In a POSIX string a positive number is *west* of Greenwich.  Raise UsageError for an unknown zone.
    """
    zone = _named(text.removeprefix(":")) or _described(text)
    if zone is None:
        raise UsageError(
            f"unknown time zone {text[:60]!r}: use a name such as America/Phoenix{_nearest(text)}, "
            "or a POSIX string such as EST5EDT,M3.2.0,M11.1.0"
        )
    return zone


def local_zone(environment: Mapping[str, str] = os.environ) -> tzinfo:
    """Return the zone this process lives in: ``$TZ``, else the system's; raise UsageError if ``$TZ`` is unknown."""
    if text := environment.get("TZ"):
        return _read(_opened(text[1:]), text[1:]) if text.startswith(":/") else find_zone(text)
    try:
        with open(LOCAL_FILE, "rb") as file:
            return _read(file, LOCAL_FILE)
    except (OSError, ValueError):
        return UTC  # as tzset(3) does


def _read(file: IO[bytes], name: str) -> tzinfo:
    from zoneinfo import ZoneInfo  # takes 3 ms to load, which who lives by UTC need not wait for

    return ZoneInfo.from_file(file, name)


def _opened(path: str) -> BytesIO:
    try:
        with open(path, "rb") as file:
            return BytesIO(file.read())
    except OSError as error:
        raise UsageError(f"TZ=:{path}: cannot read this time zone: {error.strerror}") from error


def _named(name: str) -> tzinfo | None:
    if name == "UTC":
        return UTC  # without a time zone database, too
    from zoneinfo import ZoneInfo

    try:
        return ZoneInfo(name)
    except (OSError, ValueError, KeyError):  # no such file, a directory, a name that climbs, no time zone in it
        return None


def _described(text: str) -> tzinfo | None:
    """Return the zone of a POSIX string: a time zone file (RFC 9636) without transitions that ends in the string.

    The library applies a file's last line to the time after its transitions, which here is all time.
    """
    match = _POSIX.fullmatch(text)
    if not match:
        return None
    rules = _DEFAULT_RULES if match["summer"] and not match["rules"] else ""
    header = struct.pack(">4sc15x6L", b"TZif", b"2", 0, 0, 0, 0, 1, 4)
    block = struct.pack(">l2B4s", 0, 0, 0, b"UTC\0")
    try:
        return _read(BytesIO(header + block + header + block + f"\n{text}{rules}\n".encode()), text)
    except ValueError:
        return None


def _nearest(text: str) -> str:
    import difflib
    from zoneinfo import available_timezones

    by_lower = {name.lower(): name for name in available_timezones()}
    near = difflib.get_close_matches(text.lower(), by_lower, n=1, cutoff=0.8)  # 0.8: never EST for PST
    return f" (did you mean {by_lower[near[0]]}?)" if near else ""
