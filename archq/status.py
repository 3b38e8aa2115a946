"""What the queues hold: requests with their files, and why each waits."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archq.errors import UsageError
from archq.filestate import Phase
from archq.instants import SECOND
from archq.quantities import format_duration, format_size
from archq.queuestate import QueuePhase
from archq.shipper import is_to_be_sent
from archq.spool import QUEUED, STATES, RequestId, Spool
from archq.submission import chosen_queue

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archq.config import Config
    from archq.queuestate import QueueState
    from archq.spool import SpooledFile, Ticket


@dataclass(frozen=True, slots=True, kw_only=True)
class FileStatus:
    """One file of a request.  Sizes are in bytes, instants nanoseconds since 1970."""

    name: str
    id: str
    size: int
    state: str
    tries: int
    reason: str
    next_try: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestStatus:
    """One request and why it is where it is.  Sizes are in bytes, instants nanoseconds since 1970."""

    request: str
    queue: str
    user: str
    title: str
    priority: int
    queued: int
    size: int
    state: str
    reason: str
    files: tuple[FileStatus, ...]


def request_statuses(spool: Spool, state: str, requests: Sequence[RequestId]) -> Iterator[RequestStatus]:
    """Yield the status of each of ``requests``, all in ``state``; those that moved on meanwhile are left out."""
    queues = {request.queue: spool.queue_state(request.queue) for request in requests}
    for request in requests:
        try:
            ticket, files = spool.ticket(state, request), spool.files(state, request)
        except FileNotFoundError:
            continue
        yield _request_status(state, ticket, files, queues[request.queue])


def shipper_runs(spool: Spool, queue: str) -> bool:
    """Tell whether a shipper owns ``queue`` at this moment."""
    try:
        with spool.own_queue(queue):
            return False
    except BlockingIOError:
        return True


def _request_status(state: str, ticket: Ticket, files: list[SpooledFile], queue: QueueState) -> RequestStatus:
    statuses = tuple(_file_status(state, ticket, file, queue) for file in files)
    waiting = next((one for one in statuses if one.state != "sent"), statuses[0])
    return RequestStatus(
        request=str(files[0].request),
        queue=files[0].request.queue,
        user=ticket.user,
        title=ticket.title,
        priority=ticket.priority,
        queued=ticket.queued,
        size=sum(one.size for one in statuses),
        state=waiting.state,
        reason=waiting.reason,
        files=statuses,
    )


def _file_status(state: str, ticket: Ticket, file: SpooledFile, queue: QueueState) -> FileStatus:
    word, reason, next_try = _explained(state, ticket, file, queue)
    return FileStatus(
        name=file.control.name,
        id=file.control.id,
        size=file.control.size,
        state=word,
        tries=file.state.tries,
        reason=reason,
        next_try=next_try,
    )


def _explained(state: str, ticket: Ticket, file: SpooledFile, queue: QueueState) -> tuple[str, str, int]:
    """Return the state in a word, the reason and when the file is tried next (nanoseconds since 1970, 0: unknown)."""
    if state != QUEUED or file.state.phase is Phase.SENT:
        return (state if state != QUEUED else "sent"), "", 0
    if not is_to_be_sent(file.state, ticket):
        return "held", ticket.hold or file.state.reason, 0
    if queue.phase is not QueuePhase.WORKING:
        return str(queue.phase), queue.reason, queue.next_try
    failed = file.state.failed >= ticket.altered and file.state.failures > 0
    if failed:
        return "waiting", file.state.reason, file.state.next_try
    if ticket.not_before:
        return "waiting", "submitted for later", ticket.not_before
    return QUEUED, "", 0


def report(config: Config, queue: str | None, requests: Sequence[str], *, everything: bool) -> Iterator[str]:
    """Yield what `archq status` prints: how each queue is, then its requests."""
    spool = Spool(config.spool)
    chosen = [chosen_queue(config, queue).name] if queue else list(config.queues)
    if not requests:
        for name in chosen:
            yield from queue_lines(spool, name)
    yield from lines(listed(spool, queue, requests, everything=everything))


def listed(spool: Spool, queue: str | None, requests: Sequence[str], *, everything: bool) -> Iterator[RequestStatus]:
    """Yield the requests that are named, of any state, or else those of ``queue`` or all that are queued.

    With ``everything`` sent and cancelled ones too.  Raise NoInputError for a request that is not there.
    """
    if requests:
        found = [(spool.state_of(request), request) for request in map(checked_request, requests)]
        for state, request in found:
            yield from request_statuses(spool, state, [request])
        return
    for state in STATES if everything else (QUEUED,):
        yield from request_statuses(spool, state, spool.requests(state, queue))


def checked_request(text: str) -> RequestId:
    """Return the request id in ``text``; raise UsageError if it is none."""
    request = RequestId.parse(text)
    if request is None:
        raise UsageError(f"not a request id such as archive-17: {text!r}")
    return request


def lines(statuses: Iterator[RequestStatus], now: int | None = None) -> Iterator[str]:
    """Yield what `archq status` prints: as `lpstat -o` does, with the reason below."""
    now = time.time_ns() if now is None else now
    for one in statuses:
        age = format_duration((now - one.queued) / SECOND)
        files = f"{len(one.files)} file{'s' if len(one.files) != 1 else ''}"
        size = format_size(one.size)
        yield f"{one.request:<20} {one.user:<10} {size:>9}  {files:<9} {age:>7}  {one.state}  {one.title}"
        if one.reason:
            yield f"    {one.reason}{_next(one, now)}"


def queue_lines(spool: Spool, queue: str) -> Iterator[str]:
    """Yield how a queue's shipper and destination are."""
    state = spool.queue_state(queue)
    runs = "a shipper runs" if shipper_runs(spool, queue) else "no shipper runs"
    yield f"queue {queue}: {runs}" + (f"; {state.phase}: {state.reason}" if state.reason else "")


def _next(one: RequestStatus, now: int) -> str:
    soonest = min((file.next_try for file in one.files if file.next_try), default=0)
    if not soonest:
        return ""
    return f"; next try in {format_duration(max(0, soonest - now) / SECOND)}" if soonest > now else "; next try now"
