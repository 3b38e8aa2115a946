"""The lines of an xferlog that nearly all are, many at a time: a pattern made for a block finds what reports need.

The pattern knows the year and the directories and instruments that a first look at the block has found.  It takes only
lines that the exact reader would take for the same; all others are left to that one.  So are leap seconds, which would
make hours of different lengths.
"""

from __future__ import annotations

import re
from collections import Counter
from functools import lru_cache

from archq.light import dataclass, pattern
from logsum.readers.stamps import MONTHS

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

_LOOKED_AT = 1 << 13  # bytes
_MOST_PREFIXES = 16

_FIELD = rb"[^ \n]++"
_NUMBER = rb"[0-9]{1,18}+"
_ID = rb"[0-7][0-9a-hjkmnp-tv-z]{25}"
_TAIL = rb" [ab] [CUT_]++ %b [agr] " + _FIELD + rb" " + _FIELD + rb" [01] " + _FIELD + rb" %b\n"
_UPLOAD_TAIL = _TAIL % (b"i", b"c")
_ANY_TAIL = _TAIL % (b"[iod]", b"[ci]")
# A file whose name ends otherwise is no data file.
_OTHER = rb"%b %b %b %b(?:(?<!\.df)(?<!\.part)|(?<=\.cf\.part))" % (_NUMBER, _FIELD, _NUMBER, _FIELD) + _ANY_TAIL

_IRREGULAR = rb"|([^\n]*+\n|[^\n]++)"
_WEEKDAYS = (b"Mon", b"Tue", b"Wed", b"Thu", b"Fri", b"Sat", b"Sun")
_MONTHS = {number: name for name, number in MONTHS.items()}

_YEAR = pattern(rb"(?m)^[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} ([0-9]{4}) ")
_NAME = pattern(rb" ([^ \n]*[A-Za-z0-9_+-])\.%b\.1\.df(\.part)? " % _ID)


@dataclass(frozen=True, slots=True)
class Rows:
    """Columns of a block, one row for each regular line that is not the control file after a data file.

    ``hours`` are such as ``Thu Nov 20 03``, ``minutes`` such as ``14:29``; seconds, sizes, prefixes and ids are empty
    where the line is no upload of a data file; ``irregular`` holds the whole line that the pattern does not know, and
    nothing else is told of it.
    """

    hours: Sequence[bytes]
    minutes: Sequence[bytes]
    seconds: Sequence[bytes]
    sizes: Sequence[bytes]
    prefixes: Sequence[bytes]
    ids: Sequence[bytes]
    irregular: Sequence[bytes]


@dataclass(frozen=True, slots=True)
class PlainRows:
    """The same of a block in which all days are plain and all data files have the same ``prefix``."""

    prefix: bytes
    seconds: Sequence[bytes]
    sizes: Sequence[bytes]
    ids: Sequence[bytes]
    irregular: Sequence[bytes]


def rows_of(block: bytes) -> tuple[int, Rows] | None:
    """Return the year of a block and its rows, None where nothing in it looks like an xferlog."""
    year = _YEAR.search(block, 0, _LOOKED_AT)
    if not year:
        return None
    pattern = _pattern(year[1], *_prefixes(block))
    return int(year[1]), Rows(*zip(*pattern.findall(block), strict=True))


def plain_rows_of(block: bytes, days: Sequence[date]) -> PlainRows | None:
    """Return the rows of a block with lines of these ``days``, all of one year; None where there is no one prefix.

    Lines of other days are irregular.
    """
    prefixes, temporary = _prefixes(block)
    if len(prefixes) != 1:
        return None
    pattern = _plain_pattern(tuple(days), prefixes[0], temporary)
    return PlainRows(prefixes[0], *zip(*pattern.findall(block), strict=True))


def _prefixes(block: bytes) -> tuple[tuple[bytes, ...], bool]:
    """Return what names begin with up to the instrument, and whether they are temporary: as most of them are."""
    found = Counter(_NAME.findall(block, 0, _LOOKED_AT)).most_common(_MOST_PREFIXES)
    temporary = {prefix: count for (prefix, part), count in found if part and _is_hidden(prefix)}
    final = {prefix: count for (prefix, part), count in found if not part and not _is_hidden(prefix)}
    is_temporary = sum(temporary.values()) > sum(final.values())
    return tuple(sorted(temporary if is_temporary else final)), is_temporary


def _is_hidden(prefix: bytes) -> bool:
    return prefix.rpartition(b"/")[2].startswith(b".")


@lru_cache(maxsize=64)
def _plain_pattern(days: tuple[date, ...], prefix: bytes, temporary: bool) -> re.Pattern[bytes]:
    stamp = rb"(?:%b) (?:[01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9] %d " % (
        b"|".join(map(_day_pattern, days)),
        days[0].year,
    )
    name = re.escape(prefix) + rb"\.(%b)\.1\.df" % _ID + rb"\.part" * temporary
    upload = rb"(%b) %b (%b) " % (_NUMBER, _FIELD, _NUMBER) + name + _UPLOAD_TAIL
    regular = stamp + rb"(?:" + upload + rb"|" + _OTHER + rb")(?:" + stamp + _OTHER + rb")?+"
    return re.compile(regular + _IRREGULAR)


def _day_pattern(day: date) -> bytes:
    padded = b"[ 0]%d" % day.day if day.day < 10 else b"%d" % day.day
    return b"%b %b %b" % (_WEEKDAYS[day.weekday()], _MONTHS[day.month], padded)


@lru_cache(maxsize=64)
def _pattern(year: bytes, prefixes: tuple[bytes, ...], temporary: bool) -> re.Pattern[bytes]:
    prefix = b"|".join(map(re.escape, prefixes)) or b"(?!)"
    name = rb"(%b)\.(%b)\.1\.df" % (prefix, _ID) + rb"\.part" * temporary
    upload = rb"(%b) %b (%b) " % (_NUMBER, _FIELD, _NUMBER) + name + _UPLOAD_TAIL
    # The next line is most often the control file, of the same hour.
    follower = rb"(?:\1:[0-5][0-9]:[0-5][0-9] %b " % year + _OTHER + rb")?+"
    regular = rb"(.{13}):([0-5][0-9]:[0-5][0-9]) %b (?:" % year + upload + rb"|" + _OTHER + rb")" + follower
    return re.compile(regular + _IRREGULAR)
