"""The lines of an xferlog that nearly all are, many at a time: a pattern made for a block finds what reports need.

The pattern knows the year and the directories and instruments that a first look at the block has found.  It takes only
lines that the exact reader would take for the same; all others are left to that one.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

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

_YEAR = re.compile(rb"^[A-Z][a-z]{2} [A-Z][a-z]{2} [ 0-9][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2} ([0-9]{4}) ", re.MULTILINE)
_NAME = re.compile(rb" ([^ \n]*[A-Za-z0-9_+-])\.%b\.1\.df(\.part)? " % _ID)


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


def rows_of(block: bytes) -> tuple[int, Rows] | None:
    """Return the year of a block and its rows, None where nothing in it looks like an xferlog."""
    year = _YEAR.search(block, 0, _LOOKED_AT)
    if not year:
        return None
    found = Counter(_NAME.findall(block, 0, _LOOKED_AT)).most_common(_MOST_PREFIXES)
    pattern = _pattern(year[1], *_prefixes(found))
    return int(year[1]), Rows(*zip(*pattern.findall(block), strict=True))


def _prefixes(found: Sequence[tuple[tuple[bytes, bytes], int]]) -> tuple[tuple[bytes, ...], bool]:
    """Return what names begin with up to the instrument, and whether they are temporary: as most of them are."""
    temporary = {prefix: count for (prefix, part), count in found if part and _is_hidden(prefix)}
    final = {prefix: count for (prefix, part), count in found if not part and not _is_hidden(prefix)}
    is_temporary = sum(temporary.values()) > sum(final.values())
    return tuple(sorted(temporary if is_temporary else final)), is_temporary


def _is_hidden(prefix: bytes) -> bool:
    return prefix.rpartition(b"/")[2].startswith(b".")


@lru_cache(maxsize=64)
def _pattern(year: bytes, prefixes: tuple[bytes, ...], temporary: bool) -> re.Pattern[bytes]:
    prefix = b"|".join(map(re.escape, prefixes)) or b"(?!)"
    name = rb"(%b)\.(%b)\.1\.df" % (prefix, _ID) + rb"\.part" * temporary
    upload = rb"(%b) %b (%b) " % (_NUMBER, _FIELD, _NUMBER) + name + _UPLOAD_TAIL
    # The next line is most often the control file, of the same hour.
    follower = rb"(?:\1:[0-5][0-9]:(?:[0-5][0-9]|60) %b " % year + _OTHER + rb")?+"
    regular = rb"(.{13}):(.{5}) %b (?:" % year + upload + rb"|" + _OTHER + rb")" + follower
    return re.compile(regular + rb"|([^\n]*+\n|[^\n]++)")
