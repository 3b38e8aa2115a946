"""archq-cancel: cancel for requests of archq, and for the system's jobs as before."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from archq.config import load
from archq.errors import ArchqError
from archq.lpfamily.command import FamilyError, refuse_mistakes, run_drop_in, told_about_itself
from archq.lpfamily.jobs import existing_job, own_job
from archq.lpfamily.scanner import Flags, last_values, operands, scan, written
from archq.lpfamily.system import hand_over, system_program, was_handed_on
from archq.spool import QUEUED, RequestId, Spool

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from archq.config import Config
    from archq.lpfamily.scanner import Word

FLAGS = Flags(plain="aEx", valued={"h": "hostname", "u": "username", "U": "username"})

USAGE = """\
usage: archq-cancel [-ax] [-u user] [--] [request | queue] ...
Jobs and destinations that are none of archq are handed to the system's own cancel.
"""


def main() -> None:
    """Run the command and exit."""
    sys.exit(run_drop_in(cancel))


def cancel(arguments: list[str]) -> None:
    """Do what ``cancel`` does with ``arguments``: ours first, then the rest by the system's program."""
    words = scan(arguments, FLAGS)
    if told_about_itself(words, USAGE):
        return
    config, values, names = load("archq"), last_values(words), operands(words)
    own = [] if "h" in values else [name for name in names if _is_own(config, name)]
    everything = not names and values.keys() & {"a", "u"} and "h" not in values and not was_handed_on()
    if own or (everything and config.queues):
        refuse_mistakes(words)
        _cancel_own(config, values, own)
    if not own:
        _hand_on(config, words, arguments)
    elif len(own) < len(names):
        rest = [word for word in words if word.flag or word.value not in own]
        _hand_on(config, rest, written(rest, FLAGS))


def _is_own(config: Config, name: str) -> bool:
    return name in config.queues or own_job(config, name, "cancel") is not None


def _cancel_own(config: Config, values: Mapping[str, str], names: Sequence[str]) -> None:
    """Cancel what is named, or else, as -a and -u without names ask for, in every queue."""
    from archq import changes

    spool = Spool(config.spool)
    for request in _meant(config, spool, names or list(config.queues), values):
        try:
            changes.cancel(spool, request, purge="x" in values)
        except ArchqError as error:
            raise FamilyError(f"cancel-job failed: {error}") from error


def _meant(config: Config, spool: Spool, names: Sequence[str], values: Mapping[str, str]) -> Iterator[RequestId]:
    """Yield the requests to cancel: of a queue the oldest, with -a or -u all, or all of that user's."""
    for name in names:
        if name not in config.queues:
            job = own_job(config, name, "cancel")
            assert job
            yield existing_job(spool, job, "cancel-job failed: {}")
            continue
        queued = spool.requests(QUEUED, name)
        if "u" in values:
            queued = [one for one in queued if spool.ticket(QUEUED, one).user == values["u"]]
        yield from queued if values.keys() & {"a", "u"} else queued[:1]


def _hand_on(config: Config, words: Sequence[Word], arguments: Sequence[str]) -> None:
    """Give the system ``arguments``, which are ``words``; without a program of the system's, say what is unknown."""
    if program := system_program("cancel", config):
        hand_over(program, "cancel", arguments)
    refuse_mistakes(words)
    for name in operands(words):
        if request := RequestId.parse(name):
            raise FamilyError(f"cancel-job failed: Job #{request.number} does not exist.")
        raise FamilyError(f'Error - unknown destination "{name}".')
