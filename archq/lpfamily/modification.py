"""lp -i: change a request that was submitted before."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archq import changes
from archq.lpfamily.command import FamilyError, warn
from archq.lpfamily.jobs import existing_job
from archq.lpfamily.scanner import last_values, operands
from archq.lpfamily.words import priority_of, when_of
from archq.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archq.config import Config
    from archq.lpfamily.scanner import Word
    from archq.spool import RequestId


def modify(config: Config, request: RequestId, words: Sequence[Word]) -> None:
    """Change what ``words`` say of ``request``; with -d it goes to another queue."""
    if files := operands(words):
        raise FamilyError(f'Error - too many files - "{files[0]}".')
    values, spool = last_values(words), Spool(config.spool)
    request = existing_job(spool, request)
    options = [word.value or "" for word in words if word.flag == "o"]
    priority, when = priority_of(words), values.get("H")
    if "t" in values:
        warn("title option ignored.")
    if values.get("d", request.queue) != request.queue:
        request = changes.move(config, spool, request, values["d"])
    if when in ("resume", "restart"):
        _wake_up(config, spool, request, when)
        when = None
    if options or priority is not None or when is not None:
        changes.alter(config, spool, request, options=options, priority=priority, when=when and when_of(when))


def _wake_up(config: Config, spool: Spool, request: RequestId, when: str) -> None:
    if when == "restart":
        changes.retry(config, spool, request)
    else:
        changes.release(spool, request)
