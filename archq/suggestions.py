"""Which requests a shell may suggest."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from archq.completion import beginning, readable_configuration

if TYPE_CHECKING:
    import click


def requests(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Suggest the requests that wait, that were sent, and that were cancelled."""
    from archq.spool import STATES

    return _found(incomplete, STATES)


def queued_requests(_context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[str]:
    """Suggest the requests that wait."""
    from archq.spool import QUEUED

    return _found(incomplete, (QUEUED,))


def movable(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Suggest requests that wait, and queues."""
    queues = readable_configuration("archq").queues
    return [*queued_requests(context, parameter, incomplete), *beginning(incomplete, queues)]


def _found(incomplete: str, states: tuple[str, ...]) -> list[str]:
    """Look at names in the spool only: nothing of it is made because somebody pressed a key."""
    from archq.spool import RequestId

    spool = readable_configuration("archq").spool
    found = {request for state in states for name in _names(spool, state) if (request := RequestId.parse(name))}
    return [str(request) for request in sorted(found) if str(request).startswith(incomplete)]


def _names(spool: str, state: str) -> list[str]:
    try:
        return os.listdir(os.path.join(spool, state))
    except OSError:
        return []
