"""Sweeping as files arrive: --watch.

What lies in the directory is the truth, and every sweep looks at all of it.  inotify(7) only says when to look at once;
a look at the directory's timestamp each second, and a sweep every ten, do without it, as on file servers one must.
"""

from __future__ import annotations

import contextlib
import os
import queue
import select
import signal
import threading
import time
from typing import TYPE_CHECKING, Self

from archq.errors import ExitStatus
from sweeper import claim as claims
from sweeper import hooks
from sweeper.sweep import sweep
from sweeper.telling import tell_all

if TYPE_CHECKING:
    import ctypes
    from collections.abc import Sequence

    from sweeper.job import Job
    from sweeper.report import Report

LOOK = 1.0  # seconds between two looks at the directories' timestamps
SWEEP = 10.0  # seconds after which a sweep is due whatever the timestamps say

# inotify(7): written; renamed; or linked, and then its first name removed, which is how OpenSSH renames unless it is
# asked for the POSIX way.  While a file has both names it is not taken yet.
_ARRIVALS = 0x8 | 0x80 | 0x100 | 0x200  # IN_CLOSE_WRITE, IN_MOVED_TO, IN_CREATE, IN_DELETE
_EVENTS = 1 << 16  # bytes of them read at once


def watch(jobs: Sequence[Job], *, workers: int | None = None, everything: bool = False) -> ExitStatus:
    """Sweep whenever something has arrived, until SIGTERM; what a sweep has begun is finished first."""
    with Alarm(sorted({job.incoming for job in jobs})) as alarm, HookRunner() as runner:

        def one(job: Job) -> Report:
            # Processes are forked, which a thread at work in another place may not survive.
            report = sweep(
                job, workers=1 if runner.is_busy() else workers, log_by_line=True, hooks_later=runner.run_later
            )
            for failure in runner.failures():
                report.happened(failure, ExitStatus.SOME_FAILED)
            return report

        while not alarm.is_over:
            alarm.note()
            status = tell_all(jobs, one, everything=everything)
            # What could not be filed was put back, which would wake us at once and for ever.
            alarm.wait(heeding=status in {ExitStatus.DONE, ExitStatus.SOME_FAILED, ExitStatus.TEMPORARY})
    return ExitStatus.DONE


class Alarm:
    """What ends the wait between two sweeps: an arrival, time, or SIGTERM."""

    def __init__(self, paths: Sequence[str]) -> None:
        """Prepare to wait for arrivals in the directories ``paths``."""
        self.is_over = False
        self._paths = paths
        self._seen: list[int] = []
        self._events = _Events()
        self._reading, self._writing = os.pipe()

    def __enter__(self) -> Self:
        self._before = signal.signal(signal.SIGTERM, self._end)
        return self

    def __exit__(self, *_: object) -> None:
        signal.signal(signal.SIGTERM, self._before)
        self._events.close()
        os.close(self._reading)
        os.close(self._writing)

    def note(self) -> None:
        """Begin to listen: whatever comes from now on ends the next wait, if the sweep before it has missed it."""
        self._events.listen(self._paths)
        self._seen = self._timestamps()

    def wait(self, *, heeding: bool = True) -> None:
        """Return when a sweep is due, or after the whole time when arrivals are not to be heeded."""
        until = time.monotonic() + SWEEP
        listening = [self._reading, *([self._events.descriptor] if heeding and self._events.descriptor else [])]
        while not self.is_over and time.monotonic() < until:
            if select.select(listening, [], [], LOOK)[0] or (heeding and self._timestamps() != self._seen):
                break
        self._events.drain()

    def _timestamps(self) -> list[int]:
        """Return when each directory changed; 0: it is not there."""
        found = []
        for path in self._paths:
            try:
                found.append(os.stat(path).st_mtime_ns)
            except OSError:
                found.append(0)
        return found

    def _end(self, *_: object) -> None:
        self.is_over = True
        os.write(self._writing, b"\0")


class _Events:
    """inotify(7), where the system has it."""

    def __init__(self) -> None:
        self.descriptor: int | None = None
        self._library: ctypes.CDLL | None = None
        try:
            import ctypes

            self._library = ctypes.CDLL(None, use_errno=True)
            descriptor = self._library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        except (ImportError, OSError, AttributeError):
            return
        self.descriptor = descriptor if descriptor >= 0 else None

    def listen(self, paths: Sequence[str]) -> None:
        """Listen to ``paths``; to say it again is fine, and takes in a directory that has been made anew."""
        if self._library and self.descriptor is not None:
            for path in paths:
                self._library.inotify_add_watch(self.descriptor, os.fsencode(path), _ARRIVALS)

    def drain(self) -> None:
        """Forget what has been heard."""
        if self.descriptor is not None:
            with contextlib.suppress(BlockingIOError):
                while os.read(self.descriptor, _EVENTS):
                    pass

    def close(self) -> None:
        if self.descriptor is not None:
            os.close(self.descriptor)


class HookRunner:
    """Runs owed commands beside the sweeps, one after the other, so that none holds up an arrival."""

    def __init__(self) -> None:
        self._claims: queue.Queue[str | None] = queue.Queue()
        self._failures: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="on_filed")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Leave what has not begun to the next sweeper, but let the command that runs end."""
        with contextlib.suppress(queue.Empty):
            while path := self._claims.get_nowait():
                claims.release(path)
        self._claims.put(None)
        self._thread.join()

    def run_later(self, paths: list[str]) -> None:
        """Run what is owed in these claims when those before them are done."""
        for path in paths:
            self._claims.put(path)

    def is_busy(self) -> bool:
        """Say whether commands are being run, or wait for it."""
        return self._claims.unfinished_tasks > 0

    def failures(self) -> list[str]:
        """Return what has failed since the last time."""
        found = []
        with contextlib.suppress(queue.Empty):
            while True:
                found.append(self._failures.get_nowait())
        return found

    def _run(self) -> None:
        while path := self._claims.get():
            for failure in hooks.run_owed(path):
                self._failures.put(failure)
            claims.release(path)
            self._claims.task_done()
