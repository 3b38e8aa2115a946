"""The owner of a queue: gives its files to workers, ends what takes too long, and remembers what went wrong.

It is one process with one thread.  Everything it knows that matters is in the spool, so that it may be killed at any
instant and the next one goes on.
"""

from __future__ import annotations

import contextlib
import random
import time
from collections import deque
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from archq import console
from archq.errors import DISK_FULL, ArchqError, ExitStatus, from_os_error
from archq.instants import SECOND
from archq.light import dataclass, replace
from archq.quantities import format_size
from archq.shipping.queuehealth import QueueHealth
from archq.shipping.schedule import (
    BLOCKED_WAIT,
    FILE_LONGEST_WAIT,
    LARGE,
    SMALL,
    TOGETHER,
    Agenda,
    Candidate,
    file_wait,
    number_together,
)
from archq.shipping.throttle import Throttle
from archq.shipping.worker import Delivered, Failure, Worker
from archq.spool import QUEUED, SENT
from archq.spool.filestate import FileState, Phase
from archq.spool.housekeeping import make_room
from archq.spool.queuestate import QueuePhase, QueueState
from archq.transports.base import Scope

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from archq.config import QueueSettings
    from archq.spool import RequestId, Spool, SpooledFile, Ticket
    from archq.spool.wakeup import Call, Wakeup

EXPIRIES_BEFORE_HOLD = 2
PROBES_OF_A_RUN = 2  # files at which a run from cron finds that the queue fails, before it ends
RETIRE_AFTER = 15.0  # seconds: a session that is kept longer is often closed by the server, in silence
STOP_WITHIN = 10.0  # seconds that deliveries get to end when the shipper is told to stop
PART_WITHIN = 0.2  # seconds that idle sessions get for their goodbyes when the shipper ends; nothing depends on them
IDLE_GRACE = 2.0  # seconds in which a worker can tell itself what does not answer, and better than we can
BEAT_EVERY = 5.0  # seconds
CLOCK_STEP = 60.0  # seconds that the clock may drift from one look to the next
TOLD_AGAIN = 3600.0  # seconds after which a trouble of the spool is told again
ROOM_KNOWN_FOR = 60.0  # seconds after which one more connection is tried
HORIZON = 10_000  # files that are due, from which on the rest of the queue is left on the disk for now
GLANCES = 1000  # requests of that rest, of which it is looked between two deliveries whether they are urgent
USUAL_PRIORITY = 50
CONNECTING = 0.25  # seconds between two new connections at most: one may cost as much as hundreds of small files
_EVER = 1 << 63  # nanoseconds since 1970: after every next try
ROOM_FOR_RECORDS = 1 << 20  # bytes
RESCAN_EVERY = 60.0  # seconds: a wake-up may be lost, the spool itself never is


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """Files on their way; ``began`` is of :func:`time.monotonic`, ``maxftp`` in seconds, 0 for no limit."""

    candidates: Sequence[Candidate]
    began: float
    maxftp: float
    connects: bool  # whether a connection had to be made for them

    @property
    def size(self) -> int:
        """How many bytes they have."""
        return sum(candidate.size for candidate in self.candidates)

    @property
    def requests(self) -> set[RequestId]:
        """Whose files they are."""
        return {candidate.request for candidate in self.candidates}


class Shipper:
    """Ships one queue; whoever makes one holds the queue's lock (:meth:`Spool.own_queue`)."""

    def __init__(
        self, spool: Spool, settings: QueueSettings, *, complain: Callable[[str], None], lock: int | None = None
    ) -> None:
        """``complain`` is called with a line for the operator when something begins to go wrong.

        ``lock`` is the queue's, open: workers hold it too, so that it is free only when none of them delivers.
        """
        self._spool = spool
        self._settings = settings
        self._complain = complain
        self._lock = lock
        self._throttle = Throttle(settings.rate_limit)
        self._agenda = Agenda()
        self._beyond: deque[RequestId] = deque()  # what is queued and was not looked at yet
        self._unseen: deque[RequestId] = deque()  # those of them of which nobody knows whether they are urgent
        self._seen_to = 0  # the number of the last one that was looked at for that
        self._known: dict[RequestId, set[int]] = {}  # the parts of each request that are not sent yet
        self._idle: list[tuple[float, Worker]] = []
        self._running: dict[Worker, Running] = {}
        self._health = QueueHealth(
            settings.name, spool.queue_state(settings.name), record=self._record_queue, complain=complain
        )
        self._once = False
        self._set_aside: list[Candidate] = []  # in a run from cron: files at which the queue failed
        self._probes_left = PROBES_OF_A_RUN
        self._held: str | None = None
        self._failed = 0
        self._dealt_with = 0  # bytes of files that were sent, or whose try is over
        self._stopping: float | None = None
        self._damaged: set[RequestId] = set()  # what was complained of
        self._told_of_spool: dict[str, float] = {}  # when that was complained of
        self._room = settings.connections  # how many connections the destination takes
        self._room_until = 0.0  # time.monotonic from which on that may have changed
        self._clock = _clock()
        self._together = 1  # how many small files one connection gets at a time
        self._connected = -CONNECTING  # time.monotonic when the last worker was started
        self._connecting = CONNECTING  # seconds between two new connections: twice what one was seen to need

    def ship_once(self) -> ExitStatus:
        """Try every queued file once; return done, some failed, or why the destination does not work."""
        self._once = True
        self._health.assume_working()
        self._scan()
        try:
            total = 0 if self._beyond else self._agenda.size
            with console.progress(f"sending {self._settings.name}", total) as seen:
                gone = 0
                while self._running or self._goes_on():
                    self._start_due()
                    self._attend(self._limit())
                    gone, before = self._gone(), gone
                    seen(gone - before)
        finally:
            self._end_workers()
        return self._status()

    def _gone(self) -> int:
        """Return the bytes that are dealt with, or on the wire."""
        on_the_wire = (min(worker.progress().moved, running.size) for worker, running in self._running.items())
        return self._dealt_with + sum(on_the_wire)

    def _goes_on(self) -> bool:
        hopeful = self._health.works or self._probes_left > 0
        return bool(self._agenda or self._beyond) and hopeful and self._held is None and not self._stopping

    def follow(self, wakeup: Wakeup, *, beat: Callable[[], QueueSettings], until_idle: float | None = None) -> None:
        """Ship until :meth:`stop` is called: what is queued, and what comes.

        ``beat`` is called every few seconds and returns the settings to go on with.  With ``until_idle`` (seconds) this
        returns when nothing was queued for so long.
        """
        scanned, busy = -RESCAN_EVERY, time.monotonic()
        try:
            while self._running or not self._stopping:
                now = time.monotonic()
                self._notice_clock()
                if now - scanned >= RESCAN_EVERY:
                    self._scan()
                    scanned = now
                self._settle_in(beat())
                self._start_due()
                busy = now if self._running or self._known or self._beyond else busy
                if until_idle is not None and now - busy > until_idle:
                    return
                if self._attend(min(self._limit(), BEAT_EVERY), wakeup.fileno()):
                    self._look_again(wakeup.read())
                    if wakeup.has_missed:
                        self._forget_all()
                        scanned = -RESCAN_EVERY
        finally:
            self._end_workers()

    def _notice_clock(self) -> None:
        """Let nothing wait any longer when the clock was set: waits are written down as instants."""
        before, self._clock = self._clock, _clock()
        if abs(self._clock - before) > CLOCK_STEP:
            self._agenda.make_all_due()
            self._health.give_another_chance()

    def _settle_in(self, settings: QueueSettings) -> None:
        """Go on with changed settings: old sessions and old errors no longer count."""
        if settings == self._settings:
            return
        self._settings = settings
        self._throttle.close()
        self._throttle = Throttle(settings.rate_limit)
        for _since, worker in self._idle:
            worker.retire()
        self._idle = []
        self._give_another_chance()

    def stop(self) -> None:
        """Start nothing more; what is on its way gets a few seconds to end."""
        self._stopping = self._stopping or time.monotonic()

    # What there is to do.

    def _scan(self) -> None:
        self._held = self._spool.queue_hold(self._settings.name)
        queued = self._spool.requests(QUEUED, self._settings.name)
        for gone in self._known.keys() - set(queued):
            self._forget(gone)
        self._beyond = deque(request for request in queued if request not in self._known)
        self._look_further()
        self._unseen = deque(request for request in self._beyond if request.number > self._seen_to)

    def _look_further(self) -> None:
        """Take up the oldest of what was not looked at yet, but not all of a long queue: it may not fit into memory."""
        while self._beyond and self._agenda.due(self._now()) < HORIZON:
            request = self._beyond.popleft()
            if request not in self._known:
                self._take_up(request)

    def _look_for_urgent(self) -> None:
        """Take up what is more urgent than most, however far back in a long queue; not all where all of it is."""
        for _ in range(min(GLANCES, len(self._unseen))):
            if self._agenda.due(self._now()) >= 2 * HORIZON:
                return
            request = self._unseen.popleft()
            self._seen_to = request.number
            if request not in self._known and self._is_urgent(request):
                with contextlib.suppress(ValueError):
                    self._beyond.remove(request)
                self._take_up(request)

    def _is_urgent(self, request: RequestId) -> bool:
        with contextlib.suppress(FileNotFoundError, ArchqError):  # gone, or damaged: it is told when its turn comes
            return self._spool.ticket(QUEUED, request).priority > USUAL_PRIORITY
        return False

    def _look_again(self, called: list[Call]) -> None:
        """Take up what somebody has submitted or changed."""
        self._held = self._spool.queue_hold(self._settings.name)
        if not all(call.is_new for call in called) or not called:
            self._give_another_chance()  # somebody has mended something and wants to see it work
        for call in called:
            if not call.is_new:
                self._break_off(call.request)
                self._forget(call.request)
                self._take_up(call.request)
            elif call.request not in self._known:
                with self._excusing(call.request):
                    self._take_up_new(call.request)

    def _take_up_new(self, request: RequestId) -> None:
        """Take up what was just submitted, if there is not enough to do or it is more urgent than most."""
        if self._agenda.due(self._now()) < HORIZON or self._is_urgent(request):
            self._take_up(request)
        else:
            self._beyond.append(request)

    def _give_another_chance(self) -> None:
        self._health.give_another_chance()
        self._agenda.make_all_due()

    def _break_off(self, request: RequestId) -> None:
        """End what is on its way of a request that was changed or cancelled: it began with what is no longer so."""
        for worker in [worker for worker, running in self._running.items() if request in running.requests]:
            running = self._running.pop(worker)
            worker.kill()
            self._put_back(candidate for candidate in running.candidates if candidate.request != request)

    def _take_up(self, request: RequestId) -> None:
        try:
            ticket = self._spool.ticket(QUEUED, request)
            known, candidates = set(), []
            for file in self._spool.each_file(QUEUED, request):
                if file.state.phase is not Phase.SENT:
                    known.add(file.part)
                    if is_to_be_sent(file.state, ticket):
                        candidates.append(_candidate(file, ticket))
        except FileNotFoundError:
            return  # moved on, or cancelled
        except ArchqError as error:
            self._complain_of_damage(request, error)
            return
        in_flight = {
            candidate.part
            for running in self._running.values()
            for candidate in running.candidates
            if candidate.request == request
        }
        self._known[request] = known
        for candidate in candidates:
            if candidate.part not in in_flight:
                self._add(candidate)
        self._finish_if_sent(request)

    def _add(self, candidate: Candidate) -> None:
        """Put a file on the agenda; a run from cron leaves what is for later to a later run."""
        if not self._once or candidate.not_before <= time.time_ns():
            self._agenda.add(candidate)

    def _complain_of_damage(self, request: RequestId, error: ArchqError) -> None:
        if request not in self._damaged:
            self._complain(f"{request}: its records in the spool are damaged ({error}): archq fsck tells more")
        self._damaged.add(request)
        self._failed += 1
        self._forget(request)

    def _forget(self, request: RequestId) -> None:
        self._known.pop(request, None)
        self._agenda.discard(request)

    def _forget_all(self) -> None:
        """Let the next scan look at everything: something was changed, and nobody knows what."""
        self._seen_to = 0
        for request in [*self._known]:
            self._forget(request)

    # Deliveries begin.

    def _start_due(self) -> None:
        if self._agenda.due(self._now()) < HORIZON // 2:
            self._look_further()
        self._look_for_urgent()
        while self._may_start() and (candidate := self._agenda.take(self._now(), small_only=self._small_only())):
            self._start([candidate, *self._company(candidate)])

    def _company(self, candidate: Candidate) -> Iterator[Candidate]:
        """Yield the files that go together with one that was chosen: others do, if all are small."""
        if candidate.alone or candidate.size > SMALL or not self._health.works:
            return
        room = TOGETHER - candidate.size
        for _ in range(self._together - 1):
            other = self._agenda.take_along(self._now(), room=room)
            if other is None:
                return
            room -= other.size
            yield other

    def _now(self) -> int:
        """Return the time to judge by what is due; a run from cron tries what failed before, and does not wait."""
        return _EVER if self._once else time.time_ns()

    def _may_start(self) -> bool:
        if self._stopping or self._held is not None or len(self._running) >= self._connections():
            return False
        if not self._idle and self._connects_in() > 0:
            return False
        # One prober: the rest of the queue waits until it has found the destination working.
        return self._health.works or (not self._running and self._may_probe())

    def _connects_in(self) -> float:
        """Return the seconds until one more connection may be begun, beside those that there are."""
        return self._connected + self._connecting - time.monotonic() if self._running else 0.0

    def _may_probe(self) -> bool:
        if self._once:
            return self._probes_left > 0
        return self._health.state.next_try <= time.time_ns()

    def _connections(self) -> int:
        """Return how many connections to use: no more than the destination took a moment ago."""
        if time.monotonic() >= self._room_until:
            return self._settings.connections
        return min(self._room, self._settings.connections)

    def _make_do_with_fewer(self) -> None:
        """Use no more connections for a while than those that are there; if they fail too, it is an outage."""
        self._room, self._room_until = len(self._running) + len(self._idle), time.monotonic() + ROOM_KNOWN_FOR

    def _small_only(self) -> bool:
        """Keep one of several connections for small files."""
        large = sum(running.size >= LARGE for running in self._running.values())
        return self._settings.connections > 1 and large >= self._settings.connections - 1

    def _start(self, candidates: Sequence[Candidate]) -> None:
        tickets: dict[RequestId, Ticket] = {}
        for request in {candidate.request: None for candidate in candidates}:
            with self._excusing(request):
                tickets[request] = self._spool.ticket(QUEUED, request)
        candidates = [candidate for candidate in candidates if candidate.request in tickets]
        if len(candidates) > 1:
            candidates = list(self._for_one_place(candidates, tickets))
        if not candidates:
            return
        limits = (tickets[candidate.request].maxftp for candidate in candidates)
        each = (self._settings.maxftp if limit is None else limit for limit in limits)
        maxftp = min((limit for limit in each if limit), default=0.0)
        connects, worker = not self._idle, self._given(candidates)
        self._running[worker] = Running(candidates=candidates, began=time.monotonic(), maxftp=maxftp, connects=connects)

    def _for_one_place(
        self, candidates: Iterable[Candidate], tickets: Mapping[RequestId, Ticket]
    ) -> Iterator[Candidate]:
        """Yield what goes to the queue's own destination; what was sent elsewhere meanwhile is left for later."""
        for candidate in candidates:
            if tickets[candidate.request].remote:
                self._agenda.add(replace(candidate, alone=True))
            else:
                yield candidate

    def _given(self, candidates: Sequence[Candidate]) -> Worker:
        """Return a worker that has begun with ``candidates``; an idle one may have been killed meanwhile."""
        jobs = [(candidate.request, candidate.part, candidate.state) for candidate in candidates]
        while self._idle:
            worker = self._idle.pop()[1]
            with contextlib.suppress(OSError):
                worker.start(jobs)
                return worker
        worker = Worker(self._spool, self._settings, self._throttle, self._lock)
        self._connected = time.monotonic()
        try:
            worker.start(jobs)
        except OSError:
            worker.kill()  # nobody else knows of it, and the shipper could not end before it does
            raise
        return worker

    # Deliveries end.

    def _limit(self) -> float:
        """Return the seconds until something has to be looked at even if nothing happens."""
        if self._running:
            waiting = self._connects_in() if self._agenda and len(self._running) < self._connections() else 0.0
            return 0.2 if self._stopping else waiting if waiting > 0 else 1.0
        due = self._agenda.next_due(time.time_ns())
        if not self._health.works and due is not None:
            due = max(due, self._health.state.next_try)
        waits = [RETIRE_AFTER if self._idle else RESCAN_EVERY, RESCAN_EVERY]
        if due is not None:
            waits.append((due - time.time_ns()) / SECOND)
        return max(0.0, min(waits))

    def _attend(self, timeout: float, wakeup: int | None = None) -> bool:
        """Wait until a delivery ends, a time limit passes or ``wakeup`` becomes readable; tell whether that did."""
        pipes: dict[object, Worker] = {worker.pipe: worker for worker in self._running}
        ready = wait([*(worker.pipe for worker in self._running), *([] if wakeup is None else [wakeup])], timeout)
        for pipe in ready:
            if pipe in pipes:
                self._end(pipes[pipe])
        for worker in list(self._running):
            if reason := self._overdue(worker, self._running[worker]):
                self._cut(worker, reason)
        self._retire_idle()
        return wakeup in ready

    def _end(self, worker: Worker) -> None:
        running, results = self._running.pop(worker), worker.results()
        if any(isinstance(result, Failure) for result in results):
            worker.retire()
            self._together = 1
        elif worker.settings != self._settings:
            worker.retire()  # they were changed meanwhile
        else:
            taken = time.monotonic() - running.began
            self._idle.append((time.monotonic(), worker))
            if len(results) == self._together:
                self._together = number_together(self._together, taken)
            if running.connects:
                self._connecting = min(CONNECTING, 2 * taken)
        self._settle_together(running.candidates, results)

    def _settle_together(self, candidates: Sequence[Candidate], results: Sequence[Delivered | Failure]) -> None:
        """Take note of what became of files that went together.

        A failure counts that is the queue's, or the only one.  What befell others may be one's fault, and it is not
        known whose: each of them is tried again, alone.
        """
        pairs = list(zip(candidates, results, strict=True))
        with self._complaining_of_spool():
            self._spool.tell("sent", *(_facts_of(one.request, it) for one, it in pairs if isinstance(it, Delivered)))
        counts, others = number_that_counts(results), []
        for number, (candidate, result) in enumerate(pairs):
            if isinstance(result, Delivered):
                self._sent(candidate)
            elif number == counts:
                self._settle(candidate, result)
            else:
                others.append(candidate)
        self._put_back(others)
        for request in dict.fromkeys(candidate.request for candidate in candidates):
            with self._excusing(request):
                self._finish_if_sent(request)

    def _put_back(self, candidates: Iterable[Candidate]) -> None:
        """Let files be tried again, each alone, that did not get through together with others."""
        for candidate in candidates:
            with self._excusing(candidate.request):
                file = self._spool.file(QUEUED, candidate.request, candidate.part)
                if file.part in self._known.get(file.request, ()):
                    self._agenda.add(replace(candidate, state=file.state, alone=True))

    def _overdue(self, worker: Worker, running: Running) -> str | None:
        taken, progress = time.monotonic() - running.began, worker.progress()
        if running.maxftp and taken > running.maxftp:
            return f"maxftp={running.maxftp:g}: not delivered within {running.maxftp:g} s"
        if self._settings.idle and progress.idle > self._settings.idle + IDLE_GRACE:
            return f"idle={self._settings.idle:g} s: nothing moved for so long"
        if self._stopping and time.monotonic() - self._stopping > STOP_WITHIN:
            return "the shipper was stopped"
        return None

    def _cut(self, worker: Worker, reason: str) -> None:
        """End a delivery that takes too long.  What it had recorded in the spool tells how to go on."""
        running, progress = self._running.pop(worker), worker.progress()
        worker.kill()
        if len(running.candidates) > 1:
            self._together = 1
            self._put_back(running.candidates)
            return
        [candidate] = running.candidates
        moved = f"{reason}, {format_size(progress.moved)} of {format_size(candidate.size)} were sent"
        failure = Failure(message=moved, scope=Scope.FILE, permanent=False)
        cannot_fit = progress.moved > 0 and not progress.resumable and reason.startswith("maxftp")
        rate = progress.moved / running.maxftp if cannot_fit else 0.0
        self._settle(candidate, failure, rate=rate, maxftp=running.maxftp)

    @contextlib.contextmanager
    def _excusing(self, request: RequestId) -> Iterator[None]:
        """Go on without a request that was cancelled while it was on its way, or the records of which are damaged."""
        try:
            yield
        except FileNotFoundError:
            self._forget(request)
        except ArchqError as error:
            self._complain_of_damage(request, error)

    def _settle(self, candidate: Candidate, failure: Failure, rate: float = 0.0, maxftp: float = 0.0) -> None:
        with self._excusing(candidate.request):
            self._take_note(candidate, failure, rate, maxftp)

    def _take_note(self, candidate: Candidate, failure: Failure, rate: float, maxftp: float) -> None:
        file = self._spool.file(QUEUED, candidate.request, candidate.part)
        candidate = replace(candidate, state=file.state)
        if failure.scope is Scope.QUEUE and not failure.connected and (self._running or self._idle):
            self._make_do_with_fewer()
            self._agenda.add(candidate)
        elif failure.scope is Scope.QUEUE and not self._health.is_at_fault(candidate.key, failure):
            self._health.failed(candidate.key, failure)
            self._room_until = 0.0
            self._put_behind_others(candidate, failure)
        else:
            self._file_failed(file, failure, rate, maxftp)

    def _put_behind_others(self, candidate: Candidate, failure: Failure) -> None:
        """Let the next probe take another file if there is one: the queue's failure may be the fault of this one."""
        if self._once:
            self._set_aside.append(candidate)
            self._probes_left -= 1 if failure.connected else PROBES_OF_A_RUN
        else:
            self._agenda.add(replace(candidate, next_try=self._health.state.next_try + SECOND))

    def _sent(self, candidate: Candidate) -> None:
        self._dealt_with += candidate.size
        if self._health.worked(candidate.key):
            self._agenda.make_all_due()
            self._probes_left = PROBES_OF_A_RUN
            while self._set_aside:
                self._agenda.add(self._set_aside.pop())
        self._known.get(candidate.request, set()).discard(candidate.part)

    def _finish_if_sent(self, request: RequestId) -> None:
        if self._known.get(request) == set():
            self._spool.move(request, QUEUED, SENT)
            self._forget(request)
            self._mail(request)

    def _mail(self, request: RequestId) -> None:
        try:
            ticket = self._spool.ticket(SENT, request)
            if ticket.mail:
                from archq.shipping.mail import mail_sent  # takes as long to load as all of shipping, and few want it

                mail_sent(request, ticket, self._spool.files(SENT, request))
        except (ArchqError, FileNotFoundError) as error:
            self._complain(str(error))

    # What went wrong, and when to try again.

    def _file_failed(self, file: SpooledFile, failure: Failure, rate: float, maxftp: float) -> None:
        self._failed += 1
        self._dealt_with += file.control.size
        ticket, chance = self._spool.ticket(QUEUED, file.request), random.random()  # noqa: S311
        state = after_failure(file, failure, time.time_ns(), chance, rate=rate, maxftp=maxftp, altered=ticket.altered)
        file = replace(file, state=state)
        with self._complaining_of_spool():
            self._spool.record(file, state)
        event = "held" if state.held else "failed"
        self._tell(event, file, {"reason": state.reason})
        self._complain(f"{file.request} ({file.control.name}): {event}: {state.reason}")
        if not state.held and not self._once:
            self._agenda.add(_candidate(file, ticket))

    def _record_queue(self, state: QueueState) -> None:
        queue = self._settings.name
        with self._complaining_of_spool():
            before = self._spool.queue_state(queue)
            self._spool.record_queue(queue, state)
            if (before.phase, before.reason) != (state.phase, state.reason):
                self._spool.tell(state.phase, {"queue": queue, "reason": state.reason})

    @contextlib.contextmanager
    def _complaining_of_spool(self) -> Iterator[None]:
        """Go on shipping where the spool cannot take another record: only shipping can empty it."""
        try:
            yield
        except FileNotFoundError:
            raise  # what was to be changed is gone: cancelled, most likely
        except OSError as error:
            self._complain_of_spool(str(from_os_error(error, f"write to the spool {self._spool.root}")))
            if error.errno in DISK_FULL:
                make_room(self._spool, ROOM_FOR_RECORDS, time.time(), self._complain)

    def _complain_of_spool(self, trouble: str) -> None:
        """Tell it now and then only: every delivery wants several records, and none of them says anything new."""
        now = time.monotonic()
        if now - self._told_of_spool.get(trouble, -TOLD_AGAIN) >= TOLD_AGAIN:
            self._told_of_spool[trouble] = now
            self._complain(trouble)

    def _tell(self, event: str, file: SpooledFile, facts: dict[str, str]) -> None:
        wire = f"{file.control.instrument}.{file.control.id}.{file.state.attempt}"
        with self._complaining_of_spool():
            self._spool.tell(event, _facts(file.request, file.control.part or "", file.control.name, wire) | facts)

    def _status(self) -> ExitStatus:
        by_phase = {QueuePhase.BLOCKED: ExitStatus.REFUSED, QueuePhase.WAITING: ExitStatus.TEMPORARY}
        return by_phase.get(self._health.state.phase, ExitStatus.SOME_FAILED if self._failed else ExitStatus.DONE)

    # Workers without work.

    def _retire_idle(self) -> None:
        now = time.monotonic()
        for since, worker in self._idle:
            if now - since > RETIRE_AFTER:
                worker.retire()
        self._idle = [(since, worker) for since, worker in self._idle if now - since <= RETIRE_AFTER]

    def _end_workers(self) -> None:
        for worker in self._running:
            worker.kill()
        idle = [worker for _since, worker in self._idle]
        for worker in idle:
            worker.retire()
        parting = time.monotonic() + PART_WITHIN
        for worker in idle:
            worker.part(max(0.0, parting - time.monotonic()))
        self._throttle.close()


def _clock() -> float:
    """Return by how many seconds the clock is ahead of one that nobody can set."""
    return time.time_ns() / SECOND - time.monotonic()


def is_to_be_sent(state: FileState, ticket: Ticket) -> bool:
    """Tell whether a file waits for a connection: a person's change of the request lifts the shipper's own hold."""
    return ticket.hold is None and not (state.held and state.failed >= ticket.altered)


def number_that_counts(results: Iterable[Delivered | Failure]) -> int | None:
    """Return which failure is the queue's, or the only one, None if nobody knows whose fault it is (pure)."""
    failures = {number: result for number, result in enumerate(results) if isinstance(result, Failure)}
    alone = len(failures) == 1
    return next((number for number, failure in failures.items() if alone or failure.scope is not Scope.FILE), None)


def after_failure(
    file: SpooledFile,
    failure: Failure,
    now: int,
    chance: float,
    *,
    rate: float = 0.0,
    maxftp: float = 0.0,
    altered: int = 0,
) -> FileState:
    """Return the state of a file whose try failed (pure).

    ``now`` is in nanoseconds since 1970, ``chance`` from 0 to 1.  ``rate`` (bytes a second) is given when maxftp
    (seconds) ended a try that had moved and cannot be resumed; those before ``altered`` no longer count.
    """
    state = file.state
    failures = state.failures + 1
    permanent_request = failure.permanent and failure.scope is Scope.REQUEST
    pause = BLOCKED_WAIT if permanent_request else file_wait(failures, chance)
    state = replace(
        state, failures=failures, failed=now, next_try=now + round(pause * SECOND), reason=failure.message, held=False
    )
    if rate:
        before = state.expiries if file.state.failed >= altered else 0
        state = replace(state, expiries=before + 1)
    if state.expiries >= EXPIRIES_BEFORE_HOLD and rate:
        return replace(state, held=True, reason=_cannot_fit(file, rate, maxftp))
    return replace(state, held=failure.permanent and failure.scope is Scope.FILE)


def _cannot_fit(file: SpooledFile, rate: float, maxftp: float) -> str:
    size = file.control.size
    return (
        f"{format_size(size)} at {format_size(rate)}/s needs about {size / rate:.0f} s, maxftp is {maxftp:g}: "
        f"archq alter {file.request} -o maxftp=0"
    )


def _facts(request: RequestId, part: str, name: str, wire: str) -> dict[str, str]:
    return {"request": str(request), "part": part, "name": name, "wire": wire}


def _facts_of(request: RequestId, sent: Delivered) -> dict[str, str]:
    facts = _facts(request, sent.part, sent.name, sent.wire)
    return facts | {"tries": str(sent.tries), "seconds": f"{sent.seconds:.3f}"}


def _candidate(file: SpooledFile, ticket: Ticket) -> Candidate:
    next_try = file.state.next_try if file.state.failed >= ticket.altered else 0
    # No wait is longer than this, whatever the clock said when it was written down.
    next_try = min(next_try, time.time_ns() + round(FILE_LONGEST_WAIT * SECOND))
    return Candidate(
        request=file.request,
        part=file.part,
        size=file.control.size,
        queued=ticket.queued,
        next_try=next_try,
        not_before=ticket.not_before,
        priority=ticket.priority,
        state=file.state,
        alone=bool(ticket.remote),
    )
