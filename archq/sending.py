"""What `archq ship` does, and the short way to its words: click, which knows them too, takes 20 ms to load."""

from __future__ import annotations

import os

from archq.errors import UsageError
from archq.lpfamily.scanner import Flags, last_values, operands, scan
from archq.submitting import warn

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

FLAGS = Flags(plain=("--once", "--follow", "--on-demand"), valued={"d": ""})


def parsed(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Return what :func:`ship` is asked for, None where click has to say what is wrong, or to help."""
    words = scan(arguments, FLAGS)
    values = last_values(words)
    if operands(words) or any(word.problem for word in words) or not values.keys() <= {*FLAGS.plain, *FLAGS.valued}:
        return None
    return {
        "queue": values.get("d"),
        "once": "--once" in values,
        "follow": "--follow" in values,
        "on_demand": "--on-demand" in values,
    }


def ship(queue: str | None, *, once: bool, follow: bool, on_demand: bool) -> int:
    """Send what is queued, ``once``, until told to stop, or until nothing is queued any more."""
    from archq.config import load
    from archq.transports.later import put_off

    with put_off("tempfile"):  # with archives of all kinds, for something of multiprocessing that nobody uses here
        from archq.shipping.queues import ship_forever, ship_on_demand, ship_once

    if once and follow:
        raise UsageError("say --once or --follow, not both")
    if on_demand and queue:
        os.chdir("/")  # whoever started it may want to unmount where it was
        return ship_on_demand(load("archq"), queue, complain=warn)
    run = ship_forever if follow else ship_once
    return run(load("archq"), queue, complain=warn)
