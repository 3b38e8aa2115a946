"""sftpgo's log: a JSON object a line, of which those that ``Upload`` has sent tell of transfers.

Times are the server's local ones, or UTC, without saying which: ``--ftp-log-zone`` has to.
"""

from __future__ import annotations

from datetime import datetime

from archq.instants import SECOND
from archq.names import DATA, parse_logged_name
from logsum.events import Upload

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import Any

    from logsum.readers.source import Source
    from logsum.readers.stamps import ServerClock

_SENDER = "Upload"
_SHORTEST = 0.001  # seconds, which is as exactly as they are told


class Reader:
    """Reads one line after the other."""

    def recognizes(self, line: bytes) -> bool:
        """Tell whether ``line`` is of this form."""
        try:
            return "sender" in _object(line)
        except ValueError:
            return False

    def read(self, lines: Iterable[bytes], source: Source) -> Iterator[Upload]:
        """Yield the uploads of data files."""
        return source.uploads(lines, _upload)


def _object(line: bytes) -> dict[str, Any]:
    import json

    try:
        found = json.loads(line.decode("utf-8", "replace"))
    except RecursionError as error:
        raise ValueError("nested without end") from error
    if not isinstance(found, dict):
        raise ValueError("not an object")  # noqa: TRY004  (what is wrong is a line, not a program)
    return found


def _upload(line: bytes, source: Source) -> Upload | None:
    found = _object(line)
    if found.get("sender") != _SENDER:
        return None
    ended = _instant(str(found["time"]), source.clock)
    wire = parse_logged_name(str(found["file_path"]).replace("\\", "/"))  # it runs on Windows, too
    if not wire or wire.kind != DATA:
        return None
    size = int(found["size_bytes"])
    if size < 0:
        raise ValueError("a size that nothing has")
    return Upload(
        wire=wire,
        ended=ended,
        seconds=max(int(found["elapsed_ms"]) / 1000, _SHORTEST),
        size=size,
        complete=not found.get("error"),
        user=str(found.get("username", "")),
        client=_address(str(found.get("remote_addr", ""))),
    )


def _instant(text: str, clock: ServerClock) -> int:
    stamp = datetime.fromisoformat(text)
    if stamp.tzinfo:
        return int(stamp.replace(microsecond=0).timestamp()) * SECOND + stamp.microsecond * 1000
    whole = clock.instant(stamp.year, stamp.month, stamp.day, f"{stamp:%H:%M:%S}".encode())
    return whole * SECOND + stamp.microsecond * 1000


def _address(text: str) -> str:
    """Return an address without its port, which may be missing."""
    host, colon, port = text.rpartition(":")
    if colon and port.isdigit() and (host.startswith("[") or ":" not in host):
        return host.strip("[]")
    return text.strip("[]")
