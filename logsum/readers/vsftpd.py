"""vsftpd's own log: logins, transfers and refusals, each with the client and the name in quotes.

It tells no times but when a line was written, so a transfer's duration is what its rate makes of its size.
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

_LINE = pattern(
    rb"(?s)[A-Z][a-z]{2} (?P<month>[A-Z][a-z]{2})  ?(?P<day>[0-9]{1,2}) (?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})"
    rb" (?P<year>[0-9]{4}) \[pid [0-9]+\] (?:\[(?P<user>.*?)\] )?(?P<event>.*?)\r?\n?"
)
# A file without bytes is logged without their count.
_UPLOAD = pattern(
    rb'(?s)(?P<result>OK|FAIL) UPLOAD: Client "(?P<client>[^"]*)", "(?P<name>.*)"'
    rb"(?:, (?P<size>[0-9]{1,18}) bytes)?, (?P<rate>[0-9]{1,18}\.[0-9]+)Kbyte/sec"
)
_OK = b"OK"
_KBYTE = 1024
_SHORTEST = 0.001  # seconds


class Reader:
    """Reads one line after the other."""

    def recognizes(self, line: bytes) -> bool:
        """Tell whether ``line`` is of this form."""
        return bool(_LINE.fullmatch(line))

    def read(self, lines: Iterable[bytes], source: Source) -> Iterator[Upload]:
        """Yield the uploads of data files."""
        return source.uploads(lines, _upload)


def _upload(line: bytes, source: Source) -> Upload | None:
    match = _LINE.fullmatch(line)
    if not match:
        raise ValueError("not a line of vsftpd's")
    ended = source.clock.instant(int(match["year"]), MONTHS.get(match["month"], 0), int(match["day"]), match["time"])
    upload = _UPLOAD.fullmatch(match["event"])
    if not upload:
        if match["event"].startswith((b"OK UPLOAD:", b"FAIL UPLOAD:")):
            raise ValueError("an upload's line that was cut short, or is of a form unknown")
        return None
    wire = parse_logged_name(text_of(upload["name"]))
    if not wire or wire.kind != DATA:
        return None
    size, rate = int(upload["size"] or 0), float(upload["rate"])
    return Upload(
        wire=wire,
        ended=ended * SECOND,
        seconds=max(size / _KBYTE / rate, _SHORTEST) if rate else 1.0,
        size=size,
        complete=upload["result"] == _OK,
        user=text_of(match["user"] or b""),
        client=text_of(upload["client"]),
    )
