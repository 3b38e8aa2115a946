"""One process for each queue, so that none can stop another; one that dies is started again."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from archq.shipping.service import notify
from archq.shipping.worker import die_with

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from multiprocessing.process import BaseProcess

LOOK_EVERY = 5.0  # seconds
FIRST_RESTART = 1.0  # seconds after a queue's process has ended; twice as long each time it ends soon again
LONGEST_RESTART = 60.0
_ENDED_SOON = 120.0  # seconds

_PROCESSES = multiprocessing.get_context("fork")


@dataclass(slots=True)
class _Child:
    """A queue's process, and when it is to be started (again).  Times are of :func:`time.monotonic`."""

    process: BaseProcess | None = None
    started: float = 0.0
    due: float = 0.0
    pause: float = FIRST_RESTART
    told: int | None = None  # the exit status that was complained of last


class Supervisor:
    """Keeps a process running for every queue that is configured just now."""

    def __init__(
        self,
        ship: Callable[[str], None],
        *,
        configured: Callable[[], Collection[str]],
        complain: Callable[[str], None],
    ) -> None:
        """``ship`` is called with a queue's name in its process; ``configured`` is asked which there are just now."""
        self._ship = ship
        self._configured = configured
        self._complain = complain
        self._children: dict[str, _Child] = {}
        self._stopping = False

    def run(self) -> None:
        """Go on until SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        self._adapt()
        notify("READY=1")
        while not self._stopping:
            wait([child.process.sentinel for child in self._children.values() if child.process], LOOK_EVERY)
            self._adapt()
            notify("WATCHDOG=1")
        notify("STOPPING=1")
        for child in self._children.values():
            if child.process:
                child.process.join()

    def _adapt(self) -> None:
        """Start what should run and does not, end what should not."""
        configured = self._configured()
        for queue in configured:
            self._look_after(queue, self._children.setdefault(queue, _Child()))
        for queue in self._children.keys() - set(configured):
            if process := self._children.pop(queue).process:
                process.terminate()
                process.join()

    def _look_after(self, queue: str, child: _Child) -> None:
        if child.process and not child.process.is_alive():
            self._ended(queue, child, child.process.exitcode)
        if child.process is None and time.monotonic() >= child.due and not self._stopping:
            child.process = _PROCESSES.Process(target=self._run_queue, args=(queue, os.getpid()))
            child.process.start()
            child.started = time.monotonic()

    def _ended(self, queue: str, child: _Child, status: int | None) -> None:
        now = time.monotonic()
        soon = now - child.started < _ENDED_SOON
        child.pause = min(child.pause * 2, LONGEST_RESTART) if soon else FIRST_RESTART
        child.process, child.due = None, now + child.pause
        if status and status != child.told:
            self._complain(f"the shipper of {queue} ended with exit status {status}; it is started again")
        child.told = status

    def _run_queue(self, queue: str, parent: int) -> None:
        # Our end must be theirs: a service manager would start us again beside them.
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)  # until it has its own way to end
        die_with(parent, signal.SIGTERM)
        self._ship(queue)

    def _stop(self) -> None:
        self._stopping = True
        for child in self._children.values():
            if child.process:
                child.process.terminate()
