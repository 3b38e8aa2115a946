"""What lpstat shows of archq's queues, in lpstat's own columns and words."""

from __future__ import annotations

import contextlib
import os
import time
from typing import TYPE_CHECKING

from archq.errors import ArchqError
from archq.instants import SECOND
from archq.lpfamily.jobs import existing_job, own_job
from archq.lpfamily.lp import default_destination
from archq.lpfamily.system import system_program
from archq.spool import CANCELLED, QUEUED, SENT, STATES, RequestId, Spool
from archq.spool.filestate import Phase
from archq.status import queue_status, request_statuses
from archq.submission import account_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from archq.config import Config
    from archq.status import QueueStatus, RequestStatus

STATES_OF: Mapping[str, tuple[str, ...]] = {
    "not-completed": (QUEUED,),
    "completed": (SENT, CANCELLED),
    "all": STATES,
}


class Report:
    """The answers of lpstat; each request is shown once, however often it was asked for."""

    def __init__(self, config: Config, *, which: str, long: bool) -> None:
        self.config = config
        self.spool = Spool(config.spool)
        self.states = STATES_OF[which]
        self.long = long
        self.shown: set[str] = set()

    def lines(self, flag: str, names: list[str]) -> Iterator[str]:
        """Yield what the option ``flag`` shows of what ``names`` names, of all that is ours where it names nothing."""
        answers = {
            "a": self._acceptance,
            "d": self._default,
            "e": self._own,
            "o": self._jobs,
            "p": self._printers,
            "r": self._scheduler,
            "R": self._ranks,
            "u": self._jobs_of,
            "v": self._devices,
        }
        return answers[flag](names) if flag in answers else iter(())

    def _own(self, names: list[str]) -> Iterator[str]:
        return (name for name in names or self.config.queues if name in self.config.queues)

    def _acceptance(self, names: list[str]) -> Iterator[str]:
        return (f"{name} accepting requests since {self._configured()}" for name in self._own(names))

    def _devices(self, names: list[str]) -> Iterator[str]:
        return (f"device for {name}: {self._status(name).url}" for name in self._own(names))

    def _printers(self, names: list[str]) -> Iterator[str]:
        return (line for name in self._own(names) for line in self._printer(name))

    def _jobs(self, names: list[str]) -> Iterator[str]:
        for queue in self._own(names):
            yield from self._requests(self._found(queue))
        for name in names:
            if name not in self.config.queues and (job := own_job(self.config, name, "lpstat")):
                state, request = self.spool.find(existing_job(self.spool, job))
                yield from self._requests(request_statuses(self.spool, state, [request]))

    def _jobs_of(self, users: list[str]) -> Iterator[str]:
        wanted = users or [account_name()]
        found = (one for queue in self.config.queues for one in self._found(queue))
        return self._requests(one for one in found if one.user in wanted)

    def _found(self, queue: str) -> Iterator[RequestStatus]:
        for state in self.states:
            yield from request_statuses(self.spool, state, self.spool.requests(state, queue))

    def _requests(self, found: Iterable[RequestStatus]) -> Iterator[str]:
        for one in found:
            if one.request in self.shown:
                continue
            self.shown.add(one.request)
            yield f"{one.request:<23} {one.user:<13} {one.size:>8}   {_date(one.queued)}"
            if self.long:
                yield from _details(one)

    def _ranks(self, _names: list[str]) -> Iterator[str]:
        for queue in self.config.queues:
            waiting = request_statuses(self.spool, QUEUED, self.spool.requests(QUEUED, queue))
            in_order = sorted(waiting, key=lambda one: (-one.priority, one.queued))
            for rank, one in enumerate(in_order):
                yield f"{rank:3} {one.request:<21} {one.user:<13} {one.size:>8} {_date(one.queued)}"

    def _printer(self, queue: str) -> Iterator[str]:
        status = self._status(queue)
        if status.state == "held":
            since = _date(os.stat(self.spool.queue_place(queue, "hold")).st_mtime_ns)
            yield f"printer {queue} disabled since {since} -"
        else:
            sending = self._being_sent(queue) if status.shipper else None
            does = f"now printing {sending}." if sending else "is idle."
            yield f"printer {queue} {does}  enabled since {self._enabled(queue)}"
        if status.reason:
            yield f"\t{status.reason}"
        if self.long:
            yield f"\tDescription: archq's queue {queue}"
            yield f"\tAlerts: {status.state if status.reason else 'none'}"
            yield f"\tConnection: {status.url}"

    def _being_sent(self, queue: str) -> RequestId | None:
        """Return the oldest request of which a file is on its way."""
        return next(filter(self._is_being_sent, self.spool.requests(QUEUED, queue)), None)

    def _is_being_sent(self, request: RequestId) -> bool:
        with contextlib.suppress(ArchqError, FileNotFoundError):  # damaged, or it has moved on
            return any(
                file.state.phase in (Phase.BEGUN, Phase.UPLOADED) and file.state.started > file.state.failed
                for file in self.spool.files(QUEUED, request)
            )
        return False

    def _status(self, queue: str) -> QueueStatus:
        return queue_status(self.config, self.spool, queue)

    def _enabled(self, queue: str) -> str:
        since = self.spool.queue_state(queue).since
        return _date(since) if since else self._configured()

    def _configured(self) -> str:
        """Return since when the queues are what they are: since the configuration was written."""
        return _date(os.stat(self.config.path or self.spool.root).st_mtime_ns)

    def _default(self, _names: list[str]) -> Iterator[str]:
        if queue := default_destination(self.config):
            yield f"system default destination: {queue}"
        elif not system_program("lpstat", self.config):
            yield "no system default destination"

    def _scheduler(self, _names: list[str]) -> Iterator[str]:
        """Answer for the system only where it cannot answer itself."""
        if system_program("lpstat", self.config):
            return
        starts = self.config.autostart and not self.spool.is_shared
        runs = starts or any(self._status(queue).shipper for queue in self.config.queues)
        yield f"scheduler is {'' if runs else 'not '}running"


def _details(one: RequestStatus) -> Iterator[str]:
    if one.reason:
        yield f"\tStatus: {one.reason}"
    yield f"\tAlerts: {one.state if one.state != QUEUED else 'none'}"
    yield f"\tqueued for {one.queue}"


def _date(instant: int) -> str:
    return time.strftime("%c", time.localtime(instant // SECOND))
