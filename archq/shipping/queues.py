"""Ship the queues of a configuration: once, as cron wants it; for ever, as a service does; or on demand, until idle."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from archq.config import find, load
from archq.errors import ArchqError, ExitStatus
from archq.shipping.service import notify
from archq.shipping.shipper import BEAT_EVERY, Shipper
from archq.spool import Spool
from archq.spool.housekeeping import keep_house
from archq.spool.wakeup import Wakeup
from archq.submission import chosen_queue, configured_queues

if TYPE_CHECKING:
    from collections.abc import Callable
    from multiprocessing.process import BaseProcess

    from archq.config import Config, QueueSettings

    Complain = Callable[[str], None]

HOUSEKEEPING_EVERY = 600.0  # seconds
ON_DEMAND_IDLE = 60.0  # seconds without work after which a shipper that was started on demand ends
RESTART_AFTER = 1.0  # seconds
_OWNER_LEAVES_WITHIN = 3.0  # seconds that a shipper on demand waits for one that is about to end

_PROCESSES = multiprocessing.get_context("fork")


def ship_once(config: Config, queue: str | None, *, complain: Complain) -> ExitStatus:
    """Try every queued file of ``queue``, or of all queues, once; return the status that says most.

    A queue that another shipper owns is left to it, and that is success.
    """
    spool, chosen = Spool(config.spool), _chosen(config, queue)
    status = max(_ship_queue_once(spool, settings, complain) for settings in chosen)
    keep_house(spool, config, time.time(), complain)
    return status


def ship_on_demand(config: Config, queue: str, *, complain: Complain) -> ExitStatus:
    """Ship ``queue`` until nothing was queued for a while."""
    spool = Spool(config.spool)
    deadline = time.monotonic() + _OWNER_LEAVES_WITHIN
    while time.monotonic() < deadline:
        try:
            _follow(spool, config, queue, complain, until_idle=ON_DEMAND_IDLE)
        except BlockingIOError:
            time.sleep(0.1)  # the owner may be about to end without having seen what we were started for
            continue
        if not spool.requests("queued", queue):
            break
    return ExitStatus.DONE


def ship_forever(config: Config, queue: str | None, *, complain: Complain) -> ExitStatus:
    """Ship ``queue``, or every queue in a process of its own, until SIGTERM or SIGINT."""
    chosen, spool = _chosen(config, queue), Spool(config.spool)
    if len(chosen) > 1:
        _Supervisor(spool, config, [settings.name for settings in chosen], complain).run()
        return ExitStatus.DONE
    try:
        _follow(spool, config, chosen[0].name, complain, announce=True)
    except BlockingIOError:
        complain(f"another shipper has the queue {chosen[0].name}")
    return ExitStatus.DONE


def start_on_demand(config: Config, queue: str) -> None:
    """Start a shipper for ``queue`` that shares nothing with the caller: no descriptor, terminal or directory."""
    subprocess.Popen(
        [sys.executable, "-m", "archq.cli", "ship", "-d", queue, "--on-demand"],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={**os.environ, "ARCHQ_CONFIG": os.path.abspath(config.path or "")},
        start_new_session=True,
    )


def _chosen(config: Config, queue: str | None) -> list[QueueSettings]:
    return [chosen_queue(config, queue)] if queue else list(configured_queues(config).values())


def _ship_queue_once(spool: Spool, settings: QueueSettings, complain: Complain) -> ExitStatus:
    with contextlib.ExitStack() as owned:
        try:
            owned.enter_context(spool.own_queue(settings.name))
        except BlockingIOError:
            return ExitStatus.DONE
        shipper = Shipper(spool, settings, complain=complain)
        signal.signal(signal.SIGTERM, lambda *_: shipper.stop())
        return shipper.ship_once()


def _follow(
    spool: Spool,
    config: Config,
    queue: str,
    complain: Complain,
    *,
    until_idle: float | None = None,
    announce: bool = False,
    on_beat: Callable[[], None] = lambda: None,
) -> None:
    """Be the shipper of ``queue``; raise BlockingIOError at once if there is one."""
    with spool.own_queue(queue), contextlib.closing(Wakeup(spool, queue)) as wakeup:
        shipper = Shipper(spool, config.queues[queue], complain=complain)

        def stop(*_signal: object) -> None:
            shipper.stop()
            wakeup.ring()  # a signal alone does not end a wait

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        beat = _Beat(spool, config, queue, complain, announce=announce, on_beat=on_beat)
        shipper.follow(wakeup, beat=beat, until_idle=until_idle)
    if announce:
        notify("STOPPING=1")


class _Beat:
    """What a following shipper does every few seconds beside shipping."""

    def __init__(
        self,
        spool: Spool,
        config: Config,
        queue: str,
        complain: Complain,
        *,
        announce: bool,
        on_beat: Callable[[], None],
    ) -> None:
        self._spool = spool
        self._config = config
        self._queue = queue
        self._complain = complain
        self._announce = announce
        self._on_beat = on_beat
        self._stamp = _stamp()
        self._kept_house = -HOUSEKEEPING_EVERY
        if announce:
            notify("READY=1")

    def __call__(self) -> QueueSettings:
        """Return the settings to go on with, read again if their file has changed."""
        self._on_beat()
        if self._announce:
            notify("WATCHDOG=1")
        if time.monotonic() - self._kept_house >= HOUSEKEEPING_EVERY:
            self._kept_house = time.monotonic()
            keep_house(self._spool, self._config, time.time(), self._complain)
        if (stamp := _stamp()) != self._stamp:
            self._stamp = stamp
            self._reread()
        return self._config.queues[self._queue]

    def _reread(self) -> None:
        try:
            config = load("archq")
        except ArchqError as error:
            self._complain(f"the changed configuration is not used: {error}")
            return
        if self._queue not in config.queues:
            self._complain(f"the changed configuration has no queue {self._queue}: shipping goes on as before")
            return
        self._config = config


def _stamp() -> tuple[int, int] | None:
    """Return what changes when the configuration file does."""
    path = find()
    with contextlib.suppress(OSError):
        status = os.stat(path or "")
        return status.st_mtime_ns, status.st_ino
    return None


class _Supervisor:
    """One process for each queue, so that none can stop another; one that dies is started again."""

    def __init__(self, spool: Spool, config: Config, queues: list[str], complain: Complain) -> None:
        self._spool = spool
        self._config = config
        self._complain = complain
        self._queues = queues
        self._processes: dict[str, BaseProcess] = {}
        self._stopping = False

    def run(self) -> None:
        """Keep every queue's process running until SIGTERM or SIGINT."""
        for queue in self._queues:
            self._start(queue)
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self._stop())
        notify("READY=1")
        while not self._stopping:
            wait([process.sentinel for process in self._processes.values()], BEAT_EVERY)
            healthy = [self._look_after(queue) for queue in self._queues]
            if all(healthy):
                notify("WATCHDOG=1")
        notify("STOPPING=1")
        for process in self._processes.values():
            process.join()

    def _start(self, queue: str) -> None:
        process = _PROCESSES.Process(target=self._run_queue, args=(queue,))
        process.start()
        self._processes[queue] = process

    def _run_queue(self, queue: str) -> None:
        try:
            _follow(self._spool, self._config, queue, self._complain)
        except BlockingIOError:
            self._complain(f"another shipper has the queue {queue}")
            time.sleep(BEAT_EVERY)

    def _look_after(self, queue: str) -> bool:
        process = self._processes[queue]
        if process.is_alive() or self._stopping:
            return True
        if process.exitcode:
            self._complain(f"the shipper of {queue} died (exit status {process.exitcode}) and is started again")
        time.sleep(RESTART_AFTER)
        self._start(queue)
        return False

    def _stop(self) -> None:
        self._stopping = True
        for process in self._processes.values():
            process.terminate()
