"""What people do to requests and queues after submission: cancel, hold, release, retry, alter, move.

Every change is one durable step in the spool; then the queue's shipper is woken to look at the request again.
"""

from __future__ import annotations

import time
from dataclasses import replace
from typing import TYPE_CHECKING

from archq.control import format_control
from archq.errors import NoInputError, RefusedError, UsageError
from archq.options import check_options, parse_words
from archq.spool import CANCELLED, QUEUED, SENT, RequestId
from archq.spool.filestate import Phase
from archq.spool.wakeup import wake
from archq.submission import account_name, checked_taker, chosen_queue, ensure_shipped, not_before

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archq.config import Config
    from archq.options import Options
    from archq.spool import Spool, SpooledFile


def cancel(spool: Spool, request: RequestId, *, purge: bool = False) -> None:
    """Take ``request`` out of its queue; its copies are kept for a while, unless ``purge``.

    A sent request cannot be cancelled, but its copies can be purged.  Raise NoInputError or RefusedError.
    """
    state, request = spool.find(request)
    if state == SENT and not purge:
        raise RefusedError(f"{request} was sent already; archq cancel --purge {request} removes its copies here")
    if state == QUEUED:
        _change(spool, request, "cancelled", altered=time.time_ns())
        _leave(spool, request, CANCELLED)
        state = CANCELLED
    if purge:
        spool.remove(request, state)
        _tell(spool, request, "purged")


def hold(spool: Spool, request: RequestId, reason: str | None = None) -> None:
    """Keep ``request`` queued but unsent until it is released."""
    _change(spool, _queued(spool, request), "held", reason=reason or "", hold=reason or f"held by {account_name()}")


def release(spool: Spool, request: RequestId) -> None:
    """Let ``request`` be sent, whatever held it; past errors no longer make it wait."""
    _change(spool, _queued(spool, request), "released", hold=None, not_before=0, altered=time.time_ns())


def queued_in(config: Config, spool: Spool, queue: str) -> list[RequestId]:
    """Return the queued requests of ``queue``, oldest first; raise UsageError if there is no such queue.

    A queue that the configuration has no more counts as long as requests wait in it.
    """
    return spool.requests(QUEUED, queue) or spool.requests(QUEUED, chosen_queue(config, queue).name)


def hold_queue(config: Config, spool: Spool, queue: str, reason: str | None = None) -> None:
    """Let nothing of ``queue`` start until it is released; it still takes requests."""
    spool.hold_queue(chosen_queue(config, queue).name, reason or f"held by {account_name()}")
    wake(spool, queue)


def release_queue(config: Config, spool: Spool, queue: str) -> None:
    """Let ``queue`` send again."""
    spool.hold_queue(chosen_queue(config, queue).name, None)
    wake(spool, queue)


def retry(config: Config, spool: Spool, request: RequestId) -> None:
    """Try ``request`` now; one that was sent or cancelled is queued again and sent under the same ids.

    The archive recognises what it has by the id, so nothing is filed twice.
    """
    state, request = spool.find(request)
    if state != QUEUED:
        for file in spool.files(state, request):
            if file.state.phase is not Phase.WAITING:
                spool.record(file, replace(file.state, phase=Phase.WAITING, attempt=file.state.attempt + 1, sent=0))
        spool.move(request, state, QUEUED)  # the one step that makes it owed again
    _change(spool, request, "retried", hold=None, not_before=0, altered=time.time_ns())
    ensure_shipped(config, spool, request)


def alter(
    config: Config,
    spool: Spool,
    request: RequestId,
    *,
    options: Sequence[str] = (),
    priority: int | None = None,
    when: str | None = None,
) -> None:
    """Change what the user of ``request`` asked for, for those of its files that were not sent.

    ``options`` are ``-o`` texts, ``priority`` is from 1 to 100, ``when`` as for ``-H``.
    """
    if not options and priority is None and when is None:
        raise UsageError("say what to change: options with -o, the priority with -q or the time with -H")
    request = _queued(spool, request)
    ticket, words = spool.ticket(QUEUED, request), parse_words(options)
    checked = check_options(words)
    if checked.instrument:
        checked_taker(chosen_queue(config, request.queue), checked.instrument)
    held, later = (ticket.hold, ticket.not_before) if when is None else not_before(when, time.time_ns())
    _rewrite_controls(spool, request, checked)
    _change(
        spool,
        request,
        "altered",
        priority=ticket.priority if priority is None else priority,
        hold=held,
        not_before=later,
        maxftp=ticket.maxftp if checked.maxftp is None else checked.maxftp,
        remhost=checked.remote.host or ticket.remhost,
        rempath=checked.remote.path or ticket.rempath,
        remuser=checked.remote.user or ticket.remuser,
        rempw=checked.remote.password or ticket.rempw,
        altered=time.time_ns(),
    )


def move(config: Config, spool: Spool, request: RequestId, queue: str) -> RequestId:
    """Move ``request`` to another ``queue`` and return its id there: the number stays."""
    target, request = chosen_queue(config, queue), _queued(spool, request)
    renamed = RequestId(request.number, target.name)
    if renamed == request:
        raise UsageError(f"{request} is in the queue {target.name} already")
    for file in spool.files(QUEUED, request):
        checked_taker(target, file.control.instrument)
        if file.state.phase in (Phase.BEGUN, Phase.UPLOADED):
            _begin_anew(spool, file)
    _leave(spool, request, QUEUED, renamed)
    _change(spool, renamed, "moved", reason=f"from {request}", altered=time.time_ns())
    ensure_shipped(config, spool, renamed)
    return renamed


def _queued(spool: Spool, request: RequestId) -> RequestId:
    state, request = spool.find(request)
    if state != QUEUED:
        raise RefusedError(f"{request} is {state}, not queued; archq retry {request} queues it again")
    return request


def _change(spool: Spool, request: RequestId, event: str, *, reason: str = "", **changes: object) -> None:
    """Write a request's changed ticket, say so in the log, and wake the shipper."""
    ticket = spool.ticket(QUEUED, request)
    spool.alter(QUEUED, request, replace(ticket, **changes))  # type: ignore[arg-type]  # the fields are Ticket's
    _tell(spool, request, event, reason)
    wake(spool, request.queue, request)


def _leave(spool: Spool, request: RequestId, target: str, renamed: RequestId | None = None) -> None:
    try:
        spool.move(request, QUEUED, target, renamed=renamed)
    except FileNotFoundError as error:
        raise NoInputError(f"{request} has just been sent") from error
    wake(spool, request.queue, request)


def _tell(spool: Spool, request: RequestId, event: str, reason: str = "") -> None:
    facts = {"request": str(request), "by": account_name()}
    spool.tell(event, facts | ({"reason": reason} if reason else {}))


def _rewrite_controls(spool: Spool, request: RequestId, options: Options) -> None:
    """Change what travels.  What an earlier try left under the old names is made worthless by a new try."""
    if not options.travelling and not options.instrument:
        return
    for file in spool.files(QUEUED, request):
        if file.state.phase is Phase.SENT:
            continue
        control = replace(
            file.control,
            instrument=options.instrument or file.control.instrument,
            options={**file.control.options, **options.travelling},
        )
        spool.rewrite(f"{file.path}.cf", format_control(control))
        _begin_anew(spool, file)


def _begin_anew(spool: Spool, file: SpooledFile) -> None:
    spool.record(file, replace(file.state, phase=Phase.WAITING, attempt=file.state.attempt + 1))
