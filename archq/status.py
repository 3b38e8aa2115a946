"""What the queues hold: requests with their files, and why each waits."""

from __future__ import annotations

import os
import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, NamedTuple

from archq import durable
from archq.console import Colour
from archq.errors import ArchqError, MalformedError, RefusedError, UsageError
from archq.instants import format_instant
from archq.listing import broken, queue_lines, queue_table, request_lines
from archq.shipping.shipper import is_to_be_sent
from archq.spool import QUEUED, SENT, STATES, RequestId, Spool
from archq.spool.filestate import Phase
from archq.spool.queuestate import QueuePhase
from archq.submission import chosen_queue, configured_queues
from archq.transferlog import parse_outcome
from archq.transports.accounts import destination_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from archq.config import Config
    from archq.listing import Line
    from archq.spool import SpooledFile, Ticket


WAIT_STEP = 0.1  # seconds between two looks of `archq submit -w`
_LOOKS_SELDOM = 9  # times as long as a look takes it waits for the next: one at a thousand files takes a while


class Why(NamedTuple):
    """A state in a word, the reason, and when there is a next try (nanoseconds since 1970, 0: unknown)."""

    state: str
    reason: str = ""
    next_try: int = 0


class _QueueNow(NamedTuple):
    """Why nothing of a queue is sent, if nothing is, and whether a shipper runs: without one no next try is near."""

    trouble: Why | None
    shipper: bool


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


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueStatus:
    """One queue.  ``next_try`` is in nanoseconds since 1970, 0 if there is nothing to wait for."""

    name: str
    url: str
    state: str
    reason: str
    next_try: int
    shipper: bool
    requests: int


def request_statuses(spool: Spool, state: str, requests: Sequence[RequestId]) -> Iterator[RequestStatus]:
    """Yield the status of each of ``requests``, all in ``state``; those that moved on meanwhile are left out."""
    queues = {queue: _queue_now(spool, queue) for queue in {request.queue for request in requests}}
    for request in requests:
        try:
            ticket, files = spool.ticket(state, request), spool.files(state, request)
        except FileNotFoundError:
            continue
        except ArchqError as error:
            yield _damaged(spool, state, request, error)
            continue
        yield _request_status(state, ticket, files, queues[request.queue])


def _damaged(spool: Spool, state: str, request: RequestId, error: ArchqError) -> RequestStatus:
    """Return what can be said of a request the records of which cannot be read."""
    try:
        since = os.stat(spool.place(state, str(request))).st_mtime_ns
    except FileNotFoundError:
        since = time.time_ns()
    return RequestStatus(
        request=str(request),
        queue=request.queue,
        user="",
        title="",
        priority=0,
        queued=since,
        size=0,
        state="damaged",
        reason=f"its records in the spool are damaged ({error}): archq fsck tells more",
        files=(),
    )


def _queue_now(spool: Spool, queue: str) -> _QueueNow:
    runs = shipper_runs(spool, queue)
    if (held := spool.queue_hold(queue)) is not None:
        return _QueueNow(Why("held", f"the queue is held: {held}"), runs)
    state = spool.queue_state(queue)
    if state.phase is QueuePhase.WORKING:
        return _QueueNow(None, runs)
    return _QueueNow(Why(str(state.phase), state.reason, state.next_try if runs else 0), runs)


def shipper_runs(spool: Spool, queue: str) -> bool:
    """Tell whether a shipper owns ``queue`` at this moment."""
    return durable.is_locked(spool.queue_place(queue, "lock"))


def _request_status(state: str, ticket: Ticket, files: list[SpooledFile], queue: _QueueNow) -> RequestStatus:
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


def _file_status(state: str, ticket: Ticket, file: SpooledFile, queue: _QueueNow) -> FileStatus:
    why = _explained(state, ticket, file, queue)
    return FileStatus(
        name=file.control.name,
        id=file.control.id,
        size=file.control.size,
        state=why.state,
        tries=file.state.tries,
        reason=why.reason,
        next_try=why.next_try,
    )


def _explained(state: str, ticket: Ticket, file: SpooledFile, queue: _QueueNow) -> Why:
    if state != QUEUED or file.state.phase is Phase.SENT:
        return Why(state if state != QUEUED else SENT)
    if not is_to_be_sent(file.state, ticket):
        return Why("held", ticket.hold or file.state.reason)
    if ticket.not_before > time.time_ns():
        return Why("waiting", "submitted for later", ticket.not_before)
    if queue.trouble:
        return queue.trouble
    if file.state.failures > 0 and file.state.failed >= ticket.altered:
        return Why("waiting", file.state.reason, file.state.next_try if queue.shipper else 0)
    return Why(QUEUED)


def report(
    config: Config,
    spool: Spool,
    queue: str | None,
    requests: Sequence[str],
    *,
    everything: bool,
    width: int | None = None,
) -> Iterator[Line]:
    """Yield what `archq status` prints on a terminal of ``width`` columns: how each queue is, then its requests."""
    now = time.time_ns()
    if not requests:
        for name in _shown_queues(config, queue):
            yield from queue_lines(queue_status(config, spool, name), now, width)
        for name, count in _orphans(config, spool, queue):
            yield from broken(_orphaned(config, name, count), width, Colour.RED)
    yield from request_lines(listed(spool, queue, requests, everything=everything), now, width)


def report_json(config: Config, spool: Spool, queue: str | None, requests: Sequence[str], *, everything: bool) -> str:
    """Return the same for programs, as one JSON document: instants are nanoseconds since 1970, sizes bytes."""
    import json

    found = listed(spool, queue, requests, everything=everything)
    document = {
        "queues": [asdict(queue_status(config, spool, name)) for name in _shown_queues(config, queue)],
        "requests": [asdict(one) for one in found],
    }
    return json.dumps(document, indent=2)


def queue_report(config: Config, spool: Spool, width: int | None = None) -> Iterator[Line]:
    """Yield what `archq queues` prints on a terminal of ``width`` columns."""
    shown = (queue_status(config, spool, name) for name in configured_queues(config))
    yield from queue_table(shown, config.default, width)


def queue_report_json(config: Config, spool: Spool) -> str:
    """Return the same for programs, as one JSON document."""
    import json

    found = [asdict(queue_status(config, spool, name)) for name in configured_queues(config)]
    return json.dumps(found, indent=2)


def queue_status(config: Config, spool: Spool, queue: str) -> QueueStatus:
    """Return how ``queue`` is: held by a person, waiting for its destination, or working."""
    state, held, runs = spool.queue_state(queue), spool.queue_hold(queue), shipper_runs(spool, queue)
    return QueueStatus(
        name=queue,
        url=str(destination_of(config.queues[queue])),
        state="held" if held is not None else str(state.phase),
        reason=state.reason if held is None else held,
        next_try=state.next_try if held is None and runs else 0,
        shipper=runs,
        requests=len(spool.requests(QUEUED, queue)),
    )


def _shown_queues(config: Config, queue: str | None) -> list[str]:
    return [chosen_queue(config, queue).name] if queue else list(configured_queues(config))


def _orphans(config: Config, spool: Spool, queue: str | None) -> list[tuple[str, int]]:
    """Return queues that requests wait in and the configuration has no more, and how many."""
    waiting = Counter(request.queue for request in spool.requests(QUEUED, queue))
    return [(name, count) for name, count in waiting.items() if name not in config.queues]


def _orphaned(config: Config, queue: str, count: int) -> str:
    return (
        f"queue {queue}: not in {config.path}, so nobody sends its {count} {'request' if count == 1 else 'requests'}: "
        f"archq move {queue} QUEUE, or archq cancel -a -d {queue}"
    )


def wait_until_sent(spool: Spool, request: RequestId, gone: Callable[[int], None] = lambda _bytes: None) -> None:
    """Return when ``request`` was sent; raise RefusedError when it is held or cancelled instead.

    ``gone`` is called at each look with the bytes of the files that were sent since the last one.
    """
    before = 0
    while True:
        began = time.monotonic()
        state, request = spool.find(request)
        if state != QUEUED:
            break
        one = next(request_statuses(spool, state, [request]), None)
        if one and one.state == "held":
            raise RefusedError(f"{request} is held: {one.reason}")
        sent = sum(file.size for file in one.files if file.state == SENT) if one else before
        gone(sent - before)
        before = sent
        time.sleep(max(WAIT_STEP, _LOOKS_SELDOM * (time.monotonic() - began)))
    if state != SENT:
        raise RefusedError(f"{request} was {state}")


def story(spool: Spool, requests: Sequence[str]) -> Iterator[str]:
    """Yield what the spool's log tells about ``requests``, or about all and the queues, oldest first.

    Raise NoInputError for a request of which neither log nor spool knows anything.
    """
    asked = [checked_request(text) for text in requests]
    wanted = {request.number for request in asked}  # by number, as a request that was moved changes its name
    told = set()
    for name in sorted(os.listdir(spool.place("log"))):
        with open(spool.place("log", name), "rb") as file:
            for number, line in map(_told, file):
                if not wanted or number in wanted:
                    told.add(number)
                    yield line
    for request in asked:
        if request.number not in told:
            spool.find(request)


def _told(line: bytes) -> tuple[int | None, str]:
    """Return the number of the request that a line of the log is about, None for none, and the line for people."""
    try:
        outcome = parse_outcome(line)
    except MalformedError:
        return None, f"- - an unreadable line: {line!r}"
    facts = dict(outcome.facts)
    request = RequestId.parse(facts.get("request", ""))
    subject = facts.pop("request", "") or facts.pop("queue", "-")
    name, reason = facts.pop("name", ""), facts.pop("reason", "")
    rest = " ".join(f"{key}={value}" for key, value in facts.items() if value)
    words = [format_instant(outcome.time, 3), subject, outcome.outcome, name, rest, reason and f"({reason})"]
    return request.number if request else None, " ".join(word for word in words if word)


def listed(spool: Spool, queue: str | None, requests: Sequence[str], *, everything: bool) -> Iterator[RequestStatus]:
    """Yield the requests that are named, of any state, or else those of ``queue`` or all that are queued.

    With ``everything`` sent and cancelled ones too.  Raise NoInputError for a request that is not there.
    """
    if requests:
        found = [spool.find(request) for request in map(checked_request, requests)]
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
