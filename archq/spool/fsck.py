"""Check a spool: is every file that was acknowledged still here, whole, and in a state that leads on.

Nothing is changed.  The promises checked are those of durability: data and control file agree, no record is damaged, no
number was given twice, nobody else may read what is private.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archq import durable
from archq.checksum import sum_file
from archq.errors import ArchqError
from archq.spool import SENT, STATES, RequestId
from archq.spool.filestate import Phase

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archq.spool import Spool, SpooledFile


_AGAIN = "cancel the request, and submit the file again if it still exists"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that is not as it should be: where (a path below the spool) and what."""

    where: str
    what: str


def check_spool(spool: Spool, seen: Callable[[int], None] = lambda _bytes: None) -> Iterator[Finding]:
    """Yield what is wrong; ``seen`` is called with the bytes that were read, as they are."""
    ids: dict[str, str] = {}
    numbers: dict[int, str] = {}
    for state in STATES:
        yield from _strangers(spool, state)
        for request in spool.requests(state):
            place = os.path.join(state, str(request))
            if (other := numbers.setdefault(request.number, place)) != place:
                yield Finding(where=place, what=f"has the same number as {other}")
            yield from _request(spool, state, request, ids, seen)
    yield from _sequence(spool, max(numbers, default=0))


def spooled_bytes(spool: Spool) -> int:
    """Return the bytes that a check reads."""
    total = 0
    for state in STATES:
        for request in spool.requests(state):
            for entry in os.scandir(spool.place(state, str(request))):
                total += entry.stat(follow_symlinks=False).st_size if entry.name.endswith(".df") else 0
    return total


def _strangers(spool: Spool, state: str) -> Iterator[Finding]:
    for name in sorted(os.listdir(spool.place(state))):
        if RequestId.parse(name) is None:
            yield Finding(
                where=os.path.join(state, name), what="is no request: somebody else put it here, and may take it away"
            )


def _request(
    spool: Spool, state: str, request: RequestId, ids: dict[str, str], seen: Callable[[int], None]
) -> Iterator[Finding]:
    place = os.path.join(state, str(request))
    try:
        spool.ticket(state, request)
        files = spool.files(state, request)
    except FileNotFoundError as error:
        if os.path.isdir(spool.place(place)):  # else it has moved on while we looked
            yield Finding(where=place, what=f"a record is missing: {os.path.basename(str(error.filename))}")
        return
    except (ArchqError, OSError) as error:
        yield Finding(where=place, what=f"a record is damaged: {error}")
        return
    for file in files:
        yield from _file(spool, state, file, ids, seen)


def _file(
    spool: Spool, state: str, file: SpooledFile, ids: dict[str, str], seen: Callable[[int], None]
) -> Iterator[Finding]:
    where = os.path.join(state, str(file.request), f"{file.part}.df")
    if (other := ids.setdefault(file.control.id, where)) != where:
        yield Finding(where=where, what=f"has the same id as {other}")
    if state == SENT and file.state.phase is not Phase.SENT:
        yield Finding(where=where, what="lies with the sent ones and was not sent: archq retry sends it")
    try:
        yield from _data(spool, where, file, seen)
    except FileNotFoundError:
        if os.path.exists(f"{file.path}.cf"):
            yield Finding(where=where, what=f"the data file is missing: {_AGAIN}")
    except OSError as error:
        yield Finding(where=where, what=f"cannot be read: {error.strerror}")


def _data(spool: Spool, where: str, file: SpooledFile, seen: Callable[[int], None]) -> Iterator[Finding]:
    descriptor = durable.open_unfollowed(file.data_path)
    try:
        status = os.fstat(descriptor)
        size, checksum = sum_file(descriptor, file.control.checksum.algorithm, seen)
    finally:
        os.close(descriptor)
    if (size, checksum) != (file.control.size, file.control.checksum):
        yield Finding(where=where, what=f"has other content than was submitted: {size} bytes, {checksum}: {_AGAIN}")
    if file.is_linked:
        return  # its mode is its source's
    if status.st_mode & stat.S_IRWXO:
        yield Finding(
            where=where, what=f"may be used by everybody: its mode is {stat.S_IMODE(status.st_mode):04o}: chmod o-rwx"
        )
    if not spool.is_shared and status.st_mode & stat.S_IRWXG:
        yield Finding(
            where=where, what=f"may be used by its group: its mode is {stat.S_IMODE(status.st_mode):04o}: chmod g-rwx"
        )


def _sequence(spool: Spool, highest: int) -> Iterator[Finding]:
    last = spool.last_number()
    if last < highest:
        yield Finding(
            where="sequence", what=f"says {last}, but request {highest} exists: empty it, or a number is given twice"
        )
