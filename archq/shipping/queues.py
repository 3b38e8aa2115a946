"""Ship the queues of a configuration: once, as cron wants it; for ever, as a service does; or on demand, until idle."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

from archq.config import find, load
from archq.errors import ArchqError, ExitStatus
from archq.shipping.service import notify
from archq.shipping.shipper import Shipper
from archq.spool import Spool
from archq.spool.housekeeping import keep_house
from archq.spool.wakeup import Wakeup
from archq.submission import chosen_queue, configured_queues

if TYPE_CHECKING:
    from collections.abc import Callable

    from archq.config import Config, QueueSettings

    Complain = Callable[[str], None]

HOUSEKEEPING_EVERY = 600.0  # seconds
ON_DEMAND_IDLE = 60.0  # seconds without work after which a shipper that was started on demand ends
_OWNER_LEAVES_WITHIN = 3.0  # seconds that a shipper on demand waits for one that is about to end


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
    spool = Spool(config.spool)
    if queue is None:
        from archq.shipping.supervisor import Supervisor

        configured_queues(config)
        watched = _WatchedConfig(config, lambda _line: None)  # each queue's own process complains of it
        ship = partial(_follow_when_free, spool, watched, complain)
        Supervisor(ship, configured=lambda: watched.current().queues.keys(), complain=complain).run()
        return ExitStatus.DONE
    try:
        _follow(spool, config, chosen_queue(config, queue).name, complain, announce=True)
    except BlockingIOError:
        complain(f"another shipper has the queue {queue}")
    return ExitStatus.DONE


def _follow_when_free(spool: Spool, watched: _WatchedConfig, complain: Complain, queue: str) -> None:
    """Follow ``queue``, as soon as another shipper that has it lets go of it."""
    while True:
        try:
            _follow(spool, watched.current(), queue, complain)
        except BlockingIOError:
            complain(f"another shipper has the queue {queue}; it is taken over when that one ends")
            spool.await_queue(queue)
        else:
            return


def _chosen(config: Config, queue: str | None) -> list[QueueSettings]:
    return [chosen_queue(config, queue)] if queue else list(configured_queues(config).values())


def _ship_queue_once(spool: Spool, settings: QueueSettings, complain: Complain) -> ExitStatus:
    with contextlib.ExitStack() as owned:
        try:
            lock = owned.enter_context(spool.own_queue(settings.name))
        except BlockingIOError:
            return ExitStatus.DONE
        shipper = Shipper(spool, settings, complain=complain, lock=lock)
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
) -> None:
    """Be the shipper of ``queue``; raise BlockingIOError at once if there is one."""
    with spool.own_queue(queue) as lock, contextlib.closing(Wakeup(spool, queue)) as wakeup:
        shipper = Shipper(spool, config.queues[queue], complain=complain, lock=lock)

        def stop(*_signal: object) -> None:
            shipper.stop()
            wakeup.ring()  # a signal alone does not end a wait

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, stop)
        beat = _Beat(spool, config, queue, complain, announce=announce)
        shipper.follow(wakeup, beat=beat, until_idle=until_idle)
    if announce:
        notify("STOPPING=1")


class _Beat:
    """What a following shipper does every few seconds beside shipping."""

    def __init__(self, spool: Spool, config: Config, queue: str, complain: Complain, *, announce: bool) -> None:
        self._spool = spool
        self._settings = config.queues[queue]
        self._watched = _WatchedConfig(config, complain)
        self._complain = complain
        self._announce = announce
        self._kept_house = -HOUSEKEEPING_EVERY
        if announce:
            notify("READY=1")

    def __call__(self) -> QueueSettings:
        """Return the settings to go on with; those of a queue that is no longer configured stay as they were."""
        if self._announce:
            notify("WATCHDOG=1")
        config = self._watched.current()
        if time.monotonic() - self._kept_house >= HOUSEKEEPING_EVERY:
            self._kept_house = time.monotonic()
            keep_house(self._spool, config, time.time(), self._complain)
        self._settings = config.queues.get(self._settings.name, self._settings)
        return self._settings


class _WatchedConfig:
    """The configuration, read again when its file has changed; one that cannot be used is told, and not used."""

    def __init__(self, config: Config, complain: Complain) -> None:
        self._config = config
        self._complain = complain
        self._stamp = _stamp()

    def current(self) -> Config:
        """Return the newest configuration that can be used."""
        if (stamp := _stamp()) != self._stamp:
            self._stamp = stamp
            try:
                self._config = load("archq")
            except ArchqError as error:
                self._complain(f"the changed configuration is not used: {error}")
        return self._config


def _stamp() -> tuple[int, int] | None:
    """Return what changes when the configuration file does."""
    path = find()
    with contextlib.suppress(OSError):
        status = os.stat(path or "")
        return status.st_mtime_ns, status.st_ino
    return None
