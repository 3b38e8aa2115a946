"""What the spool forgets, and when: copies that were kept long enough, or for which there is no room, and old logs.

Queued files are never shed.
"""

from __future__ import annotations

import os

from archq.errors import TemporaryError
from archq.quantities import format_size
from archq.spool import CANCELLED, SENT, RequestId, Spool

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archq.config import Config


def keep_house(spool: Spool, config: Config, now: float, warn: Callable[[str], None]) -> None:
    """Remove copies older than ``keep``, logs older than ``history``, and dead drafts; keep ``reserve`` bytes free.

    ``now`` is in seconds since 1970; ``warn`` is called with a line when copies go before their time.
    """
    spool.clear_dead_drafts(now)
    for state, request, age in _kept(spool, now):
        if age > config.keep:
            _remove(spool, state, request)
    _remove_old_logs(spool, now - config.history)
    make_room(spool, config.reserve, now, warn)


def make_room(spool: Spool, wanted: int, now: float, warn: Callable[[str], None]) -> None:
    """Remove the oldest sent copies until ``wanted`` bytes are free, or none is left."""
    if free_space(spool) >= wanted:
        return
    for state, request, _age in sorted(_kept(spool, now), key=lambda kept: -kept[2]):
        if state == SENT:
            _remove(spool, state, request)
            warn(f"the spool's disk is nearly full: the sent copies of {request} are removed before their time")
        if free_space(spool) >= wanted:
            return


def require_room(spool: Spool, needed: int, reserve: int, warn: Callable[[str], None], now: float) -> None:
    """Make sure that ``needed`` bytes fit into the spool beside ``reserve``; raise TemporaryError if they do not."""
    make_room(spool, needed + reserve, now, warn)
    free = free_space(spool)
    if free < needed + reserve:
        kept_free = f", {format_size(reserve)} of which stay free (reserve)" if reserve else ""
        raise TemporaryError(
            f"the spool {spool.root} has no room for {format_size(needed)}: {format_size(free)} are free{kept_free}: "
            "make room on its disk, or see with archq status why nothing leaves it; nothing was queued"
        )


def free_space(spool: Spool) -> int:
    """Return the bytes that this account can still write to the spool's disk."""
    status = os.statvfs(spool.root)
    return status.f_bavail * status.f_frsize


def _kept(spool: Spool, now: float) -> Iterator[tuple[str, RequestId, float]]:
    """Yield the requests whose copies are kept, with the seconds since they were sent or cancelled."""
    for state in (SENT, CANCELLED):
        for request in spool.requests(state):
            try:
                # Whatever moves a request to its state sets this time.
                yield state, request, now - os.stat(spool.place(state, str(request))).st_mtime
            except FileNotFoundError:
                continue


def _remove(spool: Spool, state: str, request: RequestId) -> None:
    try:
        spool.remove(request, state)
    except FileNotFoundError:
        return  # somebody else was faster, or wants it sent again


def _remove_old_logs(spool: Spool, before: float) -> None:
    for entry in os.scandir(spool.place("log")):
        if entry.stat(follow_symlinks=False).st_mtime < before:
            os.unlink(entry.path)
