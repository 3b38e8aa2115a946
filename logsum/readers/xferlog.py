"""xferlog(5), as wu-ftpd, vsftpd, proftpd and pure-ftpd write it: one line at the end of each transfer.

Fields are divided by one blank, and only by that: names may hold bytes that other rules would take for white space.
"""

from __future__ import annotations

from archq.instants import SECOND
from archq.light import pattern
from archq.names import DATA, parse_logged_name
from logsum.events import Upload
from logsum.readers.stamps import MONTHS
from logsum.readers.text import text_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from logsum.readers.source import Source

# The name may hold blanks, and so may the user (an anonymous one's password): what stands before the name is counted
# from the left, what stands after the user from the right.
LINE = pattern(
    rb"(?s)[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2})  ?(?P<day>[0-9]{1,2}) (?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})"
    rb" (?P<year>[0-9]{4}) (?P<seconds>[0-9]{1,18}) (?P<client>[^ ]+) (?P<size>[0-9]{1,18}) (?P<name>.*)"
    rb" [ab] [CUT_]+ (?P<direction>[iod]) [agr] (?P<user>.*?) [^ ]+ [01] [^ ]+?(?: (?P<status>[ci]))?\r?(?P<end>\n?)"
)
_INCOMING = b"i"
_INCOMPLETE = b"i"


class Reader:
    """Reads one line after the other."""

    def recognizes(self, line: bytes) -> bool:
        """Tell whether ``line`` is of this form."""
        return bool(LINE.fullmatch(line))

    def read(self, lines: Iterable[bytes], source: Source) -> Iterator[Upload]:
        """Yield the uploads of data files."""
        return source.uploads(lines, _upload)


def _upload(line: bytes, source: Source) -> Upload | None:
    match = LINE.fullmatch(line)
    if not match:
        raise ValueError("not a line of an xferlog")
    if not match["end"] and not match["status"]:  # only old servers leave the status out, and none the newline
        raise ValueError("a line that was cut short")
    ended = source.clock.instant(int(match["year"]), MONTHS.get(match["month"], 0), int(match["day"]), match["time"])
    wire = parse_logged_name(text_of(match["name"]))
    if match["direction"] != _INCOMING or not wire or wire.kind != DATA:
        return None
    return Upload(
        wire=wire,
        ended=ended * SECOND,
        seconds=max(float(match["seconds"]), 1.0),  # 0 means less than one
        size=int(match["size"]),
        complete=match["status"] != _INCOMPLETE,
        user=text_of(match["user"]),
        client=text_of(match["client"]),
    )
