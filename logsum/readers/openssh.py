"""OpenSSH's transfers, which ``internal-sftp -l INFO`` and ``sftp-server -l INFO`` tell syslog.

A session's process logs who it is for, each file that it opens and closes with the bytes written, and renames; the
process id joins them.  Names are escaped by vis(3).  Traditional stamps lack the year, which follows from the file's
own time and the order of lines; those of rsyslog (RFC 3339), journalctl (``short-iso``) and RFC 5424 tell all.
"""

from __future__ import annotations

from datetime import datetime

from archq.instants import SECOND
from archq.light import dataclass, pattern
from archq.names import DATA, parse_logged_name
from logsum.events import Upload
from logsum.readers.stamps import MONTHS
from logsum.readers.text import text_of, without_vis

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Iterator

    from archq.names import WireName
    from logsum.readers.source import Source

TRADITIONAL = rb"(?P<month>[A-Z][a-z]{2}) (?P<day>[ 0-9][0-9]) (?P<time>[0-9]{2}:[0-9]{2}:[0-9]{2})"
_ISO = rb"(?P<iso>[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:[.,][0-9]{1,9})?(?:Z|[+-][0-9]{2}:?[0-9]{2}))"
_LINE = pattern(
    rb"(?s)(?:<[0-9]{1,3}>(?:1 )?)?(?:" + TRADITIONAL + rb"|" + _ISO + rb") "
    rb"(?:(?P<program>(?:[^ \[\]:]+ )?[^ \[\]:]+)(?:\[(?P<pid>[0-9]+)\])?: "
    rb"|[^ ]+ (?P<program5424>[^ ]+) (?P<pid5424>[0-9]+|-) [^ ]+ (?:-|(?:\[.*?\])+) ?(?:\xef\xbb\xbf)?)"
    rb"(?P<message>.*?)\r?\n"
)
_DATE = pattern(rb"(?:<[0-9]{1,3}>)?" + TRADITIONAL + rb" ")
_PROGRAMS = (b"internal-sftp", b"sftp-server")

_SESSION = pattern(rb"session (?P<what>opened|closed) for local user (?P<user>.*) from \[(?P<client>[^\]]*)\]")
_OPEN = pattern(rb'(?s)open "(?P<name>.*)" flags (?P<flags>[A-Z,]*) mode [0-7]+')
_CLOSE = pattern(rb'(?s)(?P<forced>forced )?close "(?P<name>.*)" bytes read [0-9]+ written (?P<written>[0-9]{1,18})')
_RENAME = pattern(rb'(?s)(?:posix-)?rename old "(?P<old>.*)" new "(?P<new>.*)"')
_WRITING = b"WRITE"
_REFUSED = b"sent status "  # other than success
_SHORTEST = {True: 1.0, False: 0.001}  # seconds, by whether stamps are whole seconds


class _Session:
    """What is known of a process: whom it serves, what it has open, and what it wrote under other names."""

    def __init__(self, user: str = "", client: str = "") -> None:
        self.user, self.client = user, client
        self.opened: dict[bytes, int] = {}  # for writing, and when
        self.asked = b""  # what the line before asked to open: a status that follows says that it was refused
        self.elsewhere: dict[bytes, _Written] = {}


@dataclass(frozen=True, slots=True)
class _Written:
    """A file that was written, under whatever name."""

    ended: int
    seconds: float | None
    size: int
    complete: bool


def dates(lines: Iterable[bytes]) -> Iterator[tuple[int, int]]:
    """Yield the months and days of traditional stamps."""
    for line in lines:
        if match := _DATE.match(line):
            yield MONTHS.get(match["month"], 1), int(match["day"])


class Reader:
    """Remembers the sessions: an upload's lines may stand in two rotated files."""

    def __init__(self) -> None:
        self._sessions: dict[bytes, _Session] = {}

    def recognizes(self, line: bytes) -> bool:
        """Tell whether ``line`` is one of syslog's, whoever wrote it."""
        return bool(_LINE.fullmatch(line))

    def read(self, lines: Iterable[bytes], source: Source) -> Iterator[Upload]:
        """Yield the uploads of data files."""
        return source.uploads(lines, self._upload)

    def _upload(self, line: bytes, source: Source) -> Upload | None:
        match = _LINE.fullmatch(line)
        if not match:
            raise ValueError("not a line of syslog's")
        now = _instant(match, source)
        if not (match["program"] or match["program5424"]).endswith(_PROGRAMS):
            return None
        pid, message = match["pid"] or match["pid5424"] or b"", match["message"]
        if found := _SESSION.fullmatch(message):
            self._sessions.pop(pid, None)
            if found["what"] == b"opened":
                self._sessions[pid] = _Session(user=text_of(found["user"]), client=text_of(found["client"]))
            return None
        session = self._sessions.setdefault(pid, _Session())  # its first line may be in no file that we have
        return _step(session, message, now, whole_seconds=not _has_fraction(match))


def _step(session: _Session, message: bytes, now: int, *, whole_seconds: bool) -> Upload | None:
    asked, session.asked = session.asked, b""
    if found := _OPEN.fullmatch(message):
        _open(session, found, now)
    elif message.startswith(_REFUSED):
        session.opened.pop(asked, None)
    elif found := _CLOSE.fullmatch(message):
        return _closed(session, found, now, whole_seconds=whole_seconds)
    elif found := _RENAME.fullmatch(message):
        return _renamed(session, found)
    return None


def _open(session: _Session, found: re.Match[bytes], now: int) -> None:
    session.opened.pop(found["name"], None)
    if _WRITING in found["flags"].split(b","):
        session.opened[found["name"]] = now
        session.asked = found["name"]


def _closed(session: _Session, found: re.Match[bytes], now: int, *, whole_seconds: bool) -> Upload | None:
    began, size = session.opened.pop(found["name"], None), int(found["written"])
    if began is None and not size:  # a download
        return None
    seconds = None if began is None else max((now - began) / SECOND, _SHORTEST[whole_seconds])
    written = _Written(ended=now, seconds=seconds, size=size, complete=not found["forced"])
    wire = parse_logged_name(text_of(without_vis(found["name"])))
    if not wire:
        session.elsewhere[found["name"]] = written
        return None
    return _as_upload(session, wire, written)


def _renamed(session: _Session, found: re.Match[bytes]) -> Upload | None:
    """Return the upload of a file that got its name only after it was written, under one that is none of ours."""
    written = session.elsewhere.pop(found["old"], None)
    wire = parse_logged_name(text_of(without_vis(found["new"])))
    return _as_upload(session, wire, written) if wire and written else None


def _as_upload(session: _Session, wire: WireName, written: _Written) -> Upload | None:
    if wire.kind != DATA:
        return None
    return Upload(
        wire=wire,
        ended=written.ended,
        seconds=written.seconds,
        size=written.size,
        complete=written.complete,
        user=session.user,
        client=session.client,
    )


def _has_fraction(match: re.Match[bytes]) -> bool:
    return bool(match["iso"]) and (b"." in match["iso"] or b"," in match["iso"])


def _instant(match: re.Match[bytes], source: Source) -> int:
    if match["iso"]:
        stamp = datetime.fromisoformat(match["iso"].decode().replace(",", "."))
        return int(stamp.replace(microsecond=0).timestamp()) * SECOND + stamp.microsecond * 1000
    month, day = MONTHS.get(match["month"], 0), int(match["day"])
    if not month:
        raise ValueError("no such month")
    return source.clock.instant(source.calendar.year_of(month, day), month, day, match["time"]) * SECOND
