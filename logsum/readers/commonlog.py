"""Logs in a web server's form: proftpd's ExtendedLog, in its default format or with ``%T``, and pure-ftpd's ``clf``.

What is needed of a LogFormat is ``%t`` somewhere before ``"%r" %s %b``, and perhaps ``%T`` behind: the client, the time
in brackets, the command in quotes, the reply's number and the bytes, then how long it took.  The default,
``%h %l %u %t "%r" %s %b``, and pure-ftpd do not tell that last one.  Stamps tell their distance from UTC.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

from archq.instants import SECOND
from archq.light import pattern
from archq.names import DATA, parse_logged_name
from logsum.events import Upload
from logsum.readers.stamps import MONTHS
from logsum.readers.text import text_of, without_percents

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator

    from logsum.readers.source import Source

_LINE = pattern(
    rb"(?s)(?:(?P<client>[^ \[]+) )?(?P<who>[^\[]*?)"
    rb"\[(?P<day>[0-9]{2})/(?P<month>[A-Z][a-z]{2})/(?P<year>[0-9]{4}):(?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})"
    rb" (?P<sign>[+-])(?P<hours>[0-9]{2})(?P<minutes>[0-9]{2})\](?P<more>.*?)"
    rb' "(?P<request>[^"].*?)?" (?P<code>[0-9]{3}|-) (?P<size>[0-9]{1,18}|-)'
    rb"(?: (?P<seconds>[0-9]{1,18}\.[0-9]+|-))?\r?\n"
)
_PERCENT_ENCODED = b"PUT"
_VERBS = frozenset({b"STOR", b"STOU", b"APPE", _PERCENT_ENCODED})
_SHORTEST = 0.001  # seconds, which is as exactly as they are told


class Reader:
    """Reads one line after the other."""

    def recognizes(self, line: bytes) -> bool:
        """Tell whether ``line`` is of this form."""
        return bool(_LINE.fullmatch(line))

    def read(self, lines: Iterable[bytes], source: Source) -> Iterator[Upload]:
        """Yield the uploads of data files."""
        return source.uploads(lines, _upload)


def _upload(line: bytes, _source: Source) -> Upload | None:
    match = _LINE.fullmatch(line)
    if not match:
        raise ValueError("not a line of this form")
    ended = _instant(match)
    verb, _, name = (match["request"] or b"").partition(b" ")
    if verb not in _VERBS:
        return None
    wire = parse_logged_name(text_of(without_percents(name) if verb == _PERCENT_ENCODED else name))
    if not wire or wire.kind != DATA:
        return None
    return Upload(
        wire=wire,
        ended=ended,
        seconds=max(float(match["seconds"]), _SHORTEST) if match["seconds"] not in (None, b"-") else None,
        size=0 if match["size"] == b"-" else int(match["size"]),
        complete=match["code"].startswith(b"2"),
        user=text_of(match["who"].rpartition(b" ")[0].rpartition(b" ")[2]),
        client=text_of(match["client"] or b""),
    )


def _instant(match: re.Match[bytes]) -> int:
    distance = timedelta(hours=int(match["hours"]), minutes=int(match["minutes"]))
    hour, minute, second = map(int, match["time"].split(b":"))
    clock = datetime(
        int(match["year"]),
        MONTHS.get(match["month"], 0),
        int(match["day"]),
        hour,
        minute,
        min(second, 59),
        tzinfo=timezone(-distance if match["sign"] == b"-" else distance),
    )
    return int(clock.astimezone(UTC).timestamp()) * SECOND
