"""xferlog(5), as wu-ftpd, vsftpd, proftpd and pure-ftpd write it: one line at the end of each transfer.

Fields are divided by one blank, and only by that: names may hold bytes that other rules would take for white space.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from archq.instants import SECOND
from archq.names import DATA, parse_logged_name
from logsum.events import Upload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from logsum.problems import Problems
    from logsum.readers.stamps import ServerClock

# The name may hold blanks, so what stands before it is counted from the left and what stands after it from the right.
_LINE = re.compile(
    rb"[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2})  ?(?P<day>\d{1,2}) (?P<time>\d\d:\d\d:\d\d) (?P<year>\d{4})"
    rb" (?P<seconds>\d+) (?P<client>\S+) (?P<size>\d+) (?P<name>.*) [ab] \S+ (?P<direction>[a-z]) [a-z]"
    rb" .*? \S+ [01] \S+(?: (?P<status>[ci]))?\r?\n?",
    re.DOTALL,
)
_INCOMING = b"i"
_INCOMPLETE = b"i"


def matches(line: bytes) -> bool:
    """Tell whether ``line`` is of this form."""
    return bool(_LINE.fullmatch(line))


def read_lines(lines: Iterable[bytes], clock: ServerClock, path: str, problems: Problems) -> Iterator[Upload]:
    """Yield the uploads of data files; other servers' users, downloads and deletions are none of ours."""
    for line in lines:
        match = _LINE.fullmatch(line)
        try:
            upload = match and _upload(match, clock)
        except ValueError:
            match = None
        if not match:
            problems.unreadable(path, line)
        elif upload:
            yield upload


def _upload(match: re.Match[bytes], clock: ServerClock) -> Upload | None:
    ended = clock.instant(match["year"], match["month"], match["day"], match["time"])
    wire = parse_logged_name(match["name"].decode("utf-8", "surrogateescape"))
    if match["direction"] != _INCOMING or not wire or wire.kind != DATA:
        return None
    return Upload(
        wire=wire,
        ended=ended * SECOND,
        seconds=max(float(match["seconds"]), 1.0),  # 0 means less than one
        size=int(match["size"]),
        complete=match["status"] != _INCOMPLETE,
    )
