"""One connection in a process of its own, so that whatever hangs in it can be ended.

Neither ftplib's nor paramiko's time limits end a transfer that still moves, a TLS handshake that hangs or an address
look-up without an answer.  The kernel ends a process whatever it waits for.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import mmap
import multiprocessing
import os
import signal
import struct
import time
import weakref
from typing import TYPE_CHECKING, Self

from archq.errors import ArchqError, ConfigurationError, ExitStatus, from_os_error
from archq.light import dataclass, replace
from archq.shipping.delivery import Pace, deliver_together
from archq.spool import QUEUED, Spool
from archq.transports.accounts import connect, load_protocol
from archq.transports.base import PermanentTransferError, Scope, TransferError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from multiprocessing.connection import Connection

    from archq.config import QueueSettings
    from archq.control import ControlFile
    from archq.options import Remote
    from archq.shipping.throttle import Throttle
    from archq.spool import RequestId, SpooledFile
    from archq.spool.filestate import FileState
    from archq.transports.base import Transport

    Job = tuple[RequestId, int, FileState]  # a file, by request and part, and how far its delivery is

_PROCESSES = multiprocessing.get_context("fork")  # a fresh interpreter would cost 100 ms a connection
MAY_BE_GONE = 1.0  # seconds after which an idle session is asked whether it still stands
_DIES_WITHIN = 1.0  # seconds that a worker has to end after its pipe did
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
# Of all workers: a process that inherits another one's would keep that one waiting when we close ours.
_OUR_ENDS: weakref.WeakSet[Connection] = weakref.WeakSet()
_METER = struct.Struct("=qd?")  # bytes moved, when last (time.monotonic), whether the account can resume


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a delivery did not succeed, as plain words that can cross from one process to another."""

    message: str
    scope: Scope
    permanent: bool
    connected: bool = True  # whether there was a session already


@dataclass(frozen=True, slots=True, kw_only=True)
class Delivered:
    """What became of a file, for the spool's log: its wire name without the ending, its own name and part, and how."""

    wire: str
    name: str
    part: str
    tries: int
    seconds: float

    @classmethod
    def of(cls, file: SpooledFile, state: FileState) -> Self:
        """Return what is to be told of ``file``, which is in ``state`` now."""
        control = file.control
        return cls(
            wire=f"{control.instrument}.{control.id}.{state.attempt}",
            name=control.name,
            part=control.part or "",
            tries=state.tries,
            seconds=state.seconds,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress:
    """How far a delivery came: bytes moved, seconds since the last of them, whether what is there can be resumed."""

    moved: int
    idle: float
    resumable: bool


class Worker:
    """The shipper's hold on one connection.  It delivers what it is given and keeps its session in between."""

    def __init__(self, spool: Spool, settings: QueueSettings, throttle: Throttle, lock: int | None = None) -> None:
        """Start the process; it connects when it gets its first file.

        ``lock`` is the open lock of the queue, which the process holds as well for as long as it may deliver.
        """
        load_protocol(settings)  # here, once, and not in every process
        self.settings = settings
        self._meter = mmap.mmap(-1, _METER.size)
        self.pipe, theirs = _PROCESSES.Pipe()
        _OUR_ENDS.add(self.pipe)
        child = _Child(spool, settings, throttle, lock, theirs, self._meter)
        self._process = _PROCESSES.Process(target=child.serve, args=(os.getpid(),), daemon=True)
        gc.freeze()  # in the new process: a collection would write to all that is shared, so that it got a copy of it
        self._process.start()
        gc.unfreeze()  # in ours: what is in a ring would stay for ever
        theirs.close()

    def start(self, jobs: Sequence[Job]) -> None:
        """Begin the delivery of some files, side by side; its end makes :attr:`pipe` readable."""
        self._meter[:] = _METER.pack(0, time.monotonic(), False)
        self._started = len(jobs)
        self.pipe.send(jobs)

    def progress(self) -> Progress:
        """Return how far the current delivery came."""
        moved, last, resumable = _METER.unpack(self._meter[:])
        return Progress(moved=moved, idle=time.monotonic() - last, resumable=resumable)

    def results(self) -> list[Delivered | Failure]:
        """Return what became of each file of the delivery that ended."""
        try:
            results: list[Delivered | Failure] = self.pipe.recv()
        except (EOFError, OSError):
            self._process.join(_DIES_WITHIN)
            self._process.kill()  # one that lives and cannot be heard now will not be heard later
            self._process.join()
            message = f"its worker died (exit status {self._process.exitcode})"
            return [Failure(message=message, scope=Scope.FILE, permanent=False)] * self._started
        return results

    def is_alive(self) -> bool:
        """Tell whether the process can take another file."""
        return self._process.is_alive()

    def retire(self) -> None:
        """End the session in good order; the process ends by itself."""
        self.pipe.close()

    def part(self, within: float) -> None:
        """Give a retired process so many seconds to end by itself, then end it."""
        self._process.join(within)
        self.kill()

    def kill(self) -> None:
        """End the process at once, whatever it waits for."""
        self._process.kill()
        self._process.join()
        self.pipe.close()


class _Child:
    """What runs in the worker's process."""

    def __init__(
        self,
        spool: Spool,
        settings: QueueSettings,
        throttle: Throttle,
        lock: int | None,
        pipe: Connection,
        meter: mmap.mmap,
    ) -> None:
        self._spool = spool
        self._lock = lock
        self._throttle = throttle
        self._settings = settings
        self._pipe = pipe
        self._meter = meter
        self._session: Transport | None = None
        self._used = 0.0  # time.monotonic when the session was used last

    def serve(self, parent: int) -> None:
        """Deliver what the shipper names, until it closes the pipe or dies."""
        for pipe in _OUR_ENDS:
            pipe.close()
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the shipper's to handle
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        die_with(parent)
        while (jobs := self._next_jobs()) is not None:
            results = self._results(jobs)
            self._used = time.monotonic()
            self._pipe.send(results)
            if any(isinstance(result, Failure) for result in results):
                break  # a session that failed may be out of step
        if self._lock is not None:
            with contextlib.suppress(OSError):  # it is free then, whatever is said
                os.close(self._lock)  # before the goodbye, which takes its time: the next shipper need not wait for it
        self._close()

    def _next_jobs(self) -> Sequence[Job] | None:
        try:
            jobs: Sequence[Job] = self._pipe.recv()
        except (EOFError, OSError):
            return None
        return jobs

    def _results(self, jobs: Sequence[Job]) -> list[Delivered | Failure]:
        try:
            return self._deliver(jobs)
        except Exception as error:
            return [self._failure(error)] * len(jobs)

    def _failure(self, error: Exception) -> Failure:
        """Return why a delivery did not succeed; what is no error of ours or the system's ends the process."""
        if isinstance(error, TransferError):
            permanent, connected = isinstance(error, PermanentTransferError), self._session is not None
            return Failure(
                message=self._naming_limit(error), scope=error.scope, permanent=permanent, connected=connected
            )
        if isinstance(error, ArchqError):
            permanent = error.status != ExitStatus.TEMPORARY
            return Failure(message=f"the spool's copy cannot be used: {error}", scope=Scope.FILE, permanent=permanent)
        if isinstance(error, OSError):
            # Of this machine's own: a full disk, too many open files.  All files would meet it.
            why = from_os_error(error, f"use the spool {self._spool.root}")
            return Failure(message=str(why), scope=Scope.QUEUE, permanent=False)
        raise error

    def _naming_limit(self, error: TransferError) -> str:
        limit = f" (idle={self._settings.idle:g} s)" if isinstance(error.__cause__, TimeoutError) else ""
        return f"{error}{limit}"

    def _deliver(self, jobs: Sequence[Job]) -> list[Delivered | Failure]:
        # Several go to the queue's own destination, whatever their requests want since they were given to us.
        remote = self._spool.ticket(QUEUED, jobs[0][0]).remote if len(jobs) == 1 else None
        if not remote:
            return self._send(jobs, self._own_session())
        try:
            with contextlib.closing(connect(self._settings, remote)) as session:
                results = self._send(jobs, session)
        except TransferError as error:
            return [self._of_request(self._failure(error), remote)] * len(jobs)
        return [self._of_request(result, remote) if isinstance(result, Failure) else result for result in results]

    def _own_session(self) -> Transport:
        """Return a session at the queue's destination; one that the server gave up meanwhile is no file's fault."""
        if self._session and time.monotonic() - self._used > MAY_BE_GONE and not self._session.is_alive():
            self._close()
        self._session = self._session or connect(self._settings)
        return self._session

    def _of_request(self, failure: Failure, remote: Remote) -> Failure:
        """Return ``failure`` as the request's own: what it wants is no reason for the others to wait."""
        scope = Scope.REQUEST if failure.scope is Scope.QUEUE else failure.scope
        return replace(failure, scope=scope, message=remote.veiled(failure.message))

    def _send(self, jobs: Sequence[Job], session: Transport) -> list[Delivered | Failure]:
        may_rename = self._may_rename(session)
        pace = _MeteredPace(self._meter, self._throttle, resumable=may_rename)
        found = [self._found(job) for job in jobs]
        outcomes = deliver_together(
            [file for file in found if not isinstance(file, Failure)],
            session.pipeline(),
            may_rename=may_rename,
            record=self._spool.record_together,
            pace=pace,
            signed=self._signed,
        )
        ends = iter(outcomes)
        return [file if isinstance(file, Failure) else self._result(file, next(ends)) for file in found]

    def _found(self, job: Job) -> SpooledFile | Failure:
        """Return the file that is meant; it may have been cancelled, or damaged, and that is no other one's fault."""
        try:
            return self._spool.file(QUEUED, *job)
        except (ArchqError, OSError) as error:
            return self._failure(error)

    def _result(self, file: SpooledFile, outcome: FileState | Exception) -> Delivered | Failure:
        return self._failure(outcome) if isinstance(outcome, Exception) else Delivered.of(file, outcome)

    def _signed(self, control: ControlFile) -> ControlFile:
        """Sign with the queue's key if it has one; the key is read each time, so that a new one counts at once."""
        if not self._settings.sign_key:
            return control
        from archq.signature import read_key, sign

        name, _, path = self._settings.sign_key.partition(":")
        try:
            return sign(control, read_key(name, path))
        except ConfigurationError as error:
            message = f"[queue.{self._settings.name}] sign_key: {error}"
            raise PermanentTransferError(message, Scope.QUEUE) from error

    def _may_rename(self, session: Transport) -> bool:
        """Take an account for upload-only until something proves more."""
        known = self._settings.account
        if known == "auto":
            known = self._spool.known_account(self._settings.name, self._settings.url)
        return known == "full" if known else bool(session.may_rename())

    def _close(self) -> None:
        if self._session:
            self._session.close()
        self._session = None


class _MeteredPace(Pace):
    """Keeps to the queue's rate limit, and shows the shipper how far the delivery came."""

    def __init__(self, meter: mmap.mmap, throttle: Throttle, *, resumable: bool) -> None:
        self._meter = meter
        self._throttle = throttle
        self._resumable = resumable
        self._moved = 0
        self.passed(0)

    def block(self, size: int) -> int:
        return self._throttle.block(size)

    def passed(self, count: int) -> None:
        self._throttle.wait(count)
        self._moved += count
        self.heard()

    def heard(self) -> None:
        self._meter[:] = _METER.pack(self._moved, time.monotonic(), self._resumable)

    def starts_again(self) -> None:
        self._resumable = False
        self.heard()


def die_with(parent: int, number: signal.Signals = signal.SIGKILL) -> None:
    """Have the kernel end this process when ``parent`` dies: a shipper's lock must not outlive it in a worker."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, number)
    if os.getppid() != parent:
        os._exit(1)  # it died before the call
