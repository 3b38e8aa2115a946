"""Job ids on the command lines of the lp family: which are requests of ours."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archq.errors import NoInputError
from archq.lpfamily.command import FamilyError
from archq.lpfamily.system import system_program
from archq.spool import RequestId

if TYPE_CHECKING:
    from archq.config import Config
    from archq.spool import Spool

_ANY_QUEUE = ""  # a request's number says enough within a spool


def own_job(config: Config, text: str, program: str) -> RequestId | None:
    """Return the request that ``text`` means, None if it is no request of ours.

    A number alone is a job of the system's, unless the system has no such ``program`` (lp, cancel, …).
    """
    if request := RequestId.parse(text):
        return request if request.queue in config.queues else None
    is_number = bool(config.queues) and text.isascii() and text.isdigit()
    return RequestId(int(text[:18]), _ANY_QUEUE) if is_number and not system_program(program, config) else None


def existing_job(spool: Spool, request: RequestId, form: str = "{}") -> RequestId:
    """Return the id that ``request`` has now, be it queued or kept; raise FamilyError if there is no such request."""
    try:
        return spool.find(request)[1]
    except NoInputError as error:
        raise FamilyError(form.format(f"Job #{request.number} does not exist.")) from error
