"""Ship the queues of a configuration: become the owner of each, run its shipper, say how it went."""

from __future__ import annotations

import signal
import time
from typing import TYPE_CHECKING

from archq.errors import ConfigurationError, ExitStatus
from archq.shipper import Shipper
from archq.spool import Spool
from archq.submission import chosen_queue

if TYPE_CHECKING:
    from collections.abc import Callable

    from archq.config import Config, QueueSettings


def ship_once(config: Config, queue: str | None, *, complain: Callable[[str], None]) -> ExitStatus:
    """Try every queued file of ``queue``, or of all queues, once; return the status that says most.

    A queue that another shipper owns is left to it, and that is success.
    """
    if queue is None and not config.queues:
        raise ConfigurationError(
            f"no queue is configured in {config.path or 'any file'}: add [queue.NAME] with its url"
        )
    spool = Spool(config.spool)
    spool.clear_dead_drafts(time.time())
    chosen = [chosen_queue(config, queue)] if queue else list(config.queues.values())
    return max(_ship_queue(spool, settings, complain) for settings in chosen)


def _ship_queue(spool: Spool, settings: QueueSettings, complain: Callable[[str], None]) -> ExitStatus:
    try:
        with spool.own_queue(settings.name):
            shipper = Shipper(spool, settings, complain=complain)
            signal.signal(signal.SIGTERM, lambda *_: shipper.stop())
            return shipper.ship_once()
    except BlockingIOError:
        return ExitStatus.DONE
