"""An FTP server's log, whichever server wrote it: told apart by content, with its rotated and gzipped elders."""

from __future__ import annotations

import glob
import re
from typing import TYPE_CHECKING

from logsum.readers import xferlog
from logsum.readers.files import opened
from logsum.readers.stamps import ServerClock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from logsum.events import Upload
    from logsum.problems import Problems

_ROTATED = re.compile(r"(?:\.(?P<number>\d{1,4})|-(?P<date>\d{8}))?(?:\.gz)?", re.ASCII)


def read_log(path: str, zone: tzinfo, problems: Problems) -> Iterator[Upload]:
    """Yield the uploads in the log ``path`` and its rotated elders, oldest file first; raise OSError if it cannot."""
    clock = ServerClock(zone)
    for part in rotated(path):
        with opened(part) as lines:
            yield from xferlog.read_lines(lines, clock, part, problems)


def rotated(path: str) -> list[str]:
    """Return ``path`` and its elders (``.1``, ``.2.gz``, ``-20261120.gz``) as logrotate names them, oldest first."""
    elders = []
    for name in glob.glob(glob.escape(path) + "[.-]*"):
        if match := _ROTATED.fullmatch(name[len(path) :]):
            elders.append((match["date"] or "", -int(match["number"] or 0), name))
    return [name for _date, _number, name in sorted(elders)] + [path]
