"""archq-lpmove: lpmove for requests and queues of archq, and for the system's jobs as before."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from archq.config import load
from archq.lpfamily.command import FamilyError, refuse_mistakes, run_drop_in, told_about_itself
from archq.lpfamily.jobs import existing_job, own_job
from archq.lpfamily.scanner import Flags, last_values, operands, scan
from archq.lpfamily.system import hand_over, system_program
from archq.spool import QUEUED, RequestId, Spool

if TYPE_CHECKING:
    from archq.config import Config

FLAGS = Flags(plain="E", valued={"h": "hostname", "U": "username"})

USAGE = """\
usage: archq-lpmove request|queue queue
Jobs and destinations that are none of archq are handed to the system's own lpmove.
"""


def main() -> None:
    """Run the command and exit."""
    sys.exit(run_drop_in(lpmove))


def lpmove(arguments: list[str]) -> None:
    """Do what ``lpmove`` does with ``arguments``."""
    words = scan(arguments, FLAGS)
    if told_about_itself(words, USAGE):
        return
    config, names = load("archq"), operands(words)
    if "h" not in last_values(words) and _concerns_us(config, names):
        refuse_mistakes(words)
        _move(config, *names)
    elif program := system_program("lpmove", config):
        hand_over(program, "lpmove", arguments)
    else:
        refuse_mistakes(words)
        if len(names) != 2:
            raise FamilyError("say what goes where: archq-lpmove REQUEST QUEUE, or archq-lpmove QUEUE QUEUE")
        raise FamilyError("The printer or class does not exist.")


def _concerns_us(config: Config, names: list[str]) -> bool:
    return len(names) == 2 and any(name in config.queues or own_job(config, name, "lpmove") for name in names)


def _move(config: Config, what: str, target: str) -> None:
    from archq import changes

    if target not in config.queues:
        raise FamilyError(f"{what} holds data, and {target!r} is no queue of archq ({', '.join(config.queues)})")
    spool = Spool(config.spool)
    for request in _meant(config, spool, what):
        changes.move(config, spool, request, target)


def _meant(config: Config, spool: Spool, what: str) -> list[RequestId]:
    if what in config.queues:
        return spool.requests(QUEUED, what)
    if request := own_job(config, what, "lpmove"):
        return [existing_job(spool, request)]
    queues = ", ".join(config.queues)
    raise FamilyError(f"{what!r} is no request or queue of archq ({queues}), so it cannot go to one")
