"""archq-lp: lp for queues of archq, the fast way in for data systems (neither click nor paramiko)."""

from __future__ import annotations

import errno
import gc
import os
import stat
import sys

from archq.console import leave
from archq.lpfamily.command import FamilyError, refuse_mistakes, run_drop_in, told_about_itself, warn
from archq.lpfamily.scanner import Flags, last_values, operands, scan
from archq.lpfamily.system import hand_over, system_program
from archq.lpfamily.words import copies_of, priority_of, when_of
from archq.names import STANDARD_INPUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from archq.config import Config
    from archq.lpfamily.scanner import Word

FLAGS = Flags(
    plain="cEmsw",
    valued={
        "d": "destination",
        "f": "form",
        "h": "hostname",
        "H": "hold name",
        "i": "job ID",
        "n": "copies",
        "o": "option=value",
        "p": "priority",  # as -q
        "P": "page list",
        "q": "priority",
        "S": "character set",
        "t": "title",
        "T": "content type",
        "U": "username",
        "y": "mode list",
    },
)
IGNORED = {"f": "form", "P": "page list", "S": "character set", "T": "content type", "y": "mode"}

USAGE = """\
usage: archq-lp [-cmsw] [-d queue] [-o key=value[,key=value...]] [-q priority] [-H when] [-t title] [--] [file ...]
       archq-lp -i request [-d queue] [-o key=value] [-q priority] [-H when]
Destinations that are no queue of archq are handed to the system's own lp.
"""


def main() -> None:
    """Run the command and exit."""
    gc.disable()  # among what is loaded for a moment's work there is nothing to collect, and looking takes 1 ms
    leave(run_drop_in(lp))


def lp(arguments: list[str]) -> None:
    """Do what ``lp`` does with ``arguments``."""
    from archq.config import load

    words = scan(arguments, FLAGS)
    if told_about_itself(words, USAGE):
        return
    config, values = load("archq"), last_values(words)
    if "i" in values and "h" not in values:
        _modify(config, words, arguments)
    elif queue := chosen_destination(config, values):
        refuse_mistakes(words)
        _submit(config, queue, words)
    else:
        _hand_on(config, words, arguments)


def chosen_destination(
    config: Config, values: Mapping[str, str], environment: Mapping[str, str] = os.environ
) -> str | None:
    """Return the queue that the options ``values`` mean, None if it is for the system's lp.

    A print server (-h) or a destination that is no queue of ours is the system's, also when LPDEST or PRINTER names it
    and the system has an lp at all.
    """
    if "h" in values:
        return None
    if "d" in values:
        return values["d"] if values["d"] in config.queues else None
    return default_destination(config, environment)


def default_destination(config: Config, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the queue that is meant where none is named, None if it is for the system to say."""
    from archq.config import QUEUE_VARIABLES

    for variable in QUEUE_VARIABLES:
        named = environment.get(variable)
        if named in config.queues:
            return named
        # CUPS takes PRINTER=lp for none, as every BSD system once had it.
        if named and named != "lp" and system_program("lp", config, environment):
            return None
    return config.default


def _modify(config: Config, words: Sequence[Word], arguments: Sequence[str]) -> None:
    from archq.lpfamily.jobs import own_job
    from archq.lpfamily.modification import modify

    job = last_values(words)["i"]
    if request := own_job(config, job, "lp"):
        refuse_mistakes(words)
        modify(config, request, words)
    elif program := system_program("lp", config):
        hand_over(program, "lp", arguments)
    else:
        refuse_mistakes(words)
        raise FamilyError(f"{job!r} is no request of the queues {', '.join(config.queues)}")


def _hand_on(config: Config, words: Sequence[Word], arguments: Sequence[str]) -> None:
    if program := system_program("lp", config):
        hand_over(program, "lp", arguments)
    refuse_mistakes(words)
    queues = f"archq has the queues {', '.join(config.queues)}" if config.queues else "archq has no queues"
    if named := last_values(words).get("d"):
        raise FamilyError(
            f"Error - The printer or class does not exist.  {named!r} is no queue ({queues}), "
            "and this machine has no other lp."
        )
    raise FamilyError(f"Error - No default destination.  Say -d QUEUE ({queues}); this machine has no other lp.")


def _submit(config: Config, queue: str, words: Sequence[Word]) -> None:
    from archq.submission import EmptyInputError, announce, submit

    values = last_values(words)
    priority = priority_of(words)
    files = _checked_files(operands(words))
    _warn_of_ignored(values)
    try:
        request = submit(
            files,
            queue=queue,
            options=[word.value or "" for word in words if word.flag == "o"],
            title=values.get("t"),
            priority=50 if priority is None else priority,
            when=when_of(values.get("H", "immediate")),
            mail="m" in values,
            config=config,
            warn=warn,
        )
    except EmptyInputError as error:
        raise FamilyError("No file in print request.") from error
    if "s" not in values:
        announce(request)


def _warn_of_ignored(values: Mapping[str, str]) -> None:
    """Say which options have no meaning for data; one copy is no more than the only one."""
    copies = copies_of(values.get("n", "1"))
    for letter, name in {**IGNORED, **({"n": "copies"} if copies > 1 else {})}.items():
        if letter in values:
            warn(f"{name} option ignored.")


def _checked_files(names: Sequence[str]) -> Sequence[str]:
    """Return the files to submit, standard input if none is named; raise FamilyError for one that cannot be read."""
    if not names or list(names) == [STANDARD_INPUT]:
        return [_checked_standard_input()]
    for name in names:
        if name == STANDARD_INPUT:
            raise FamilyError("Error - cannot print from stdin if files or a job ID are provided.")
        if reason := _unreadable(name):
            raise FamilyError(f'Error - unable to access "{name}" - {reason}')
    return names


def _unreadable(name: str) -> str:
    """Return why ``name`` cannot be read, "" if it can, in the words that lp has from the system."""
    try:
        os.stat(name)
    except OSError as error:
        return error.strerror or str(error)
    return "" if os.access(name, os.R_OK) else os.strerror(errno.EACCES)


def _checked_standard_input() -> str:
    """Return "-".  A closed one, or /dev/null, is a file that the caller forgot, as it is to lp."""
    if sys.stdin is None or _is_null(os.fstat(sys.stdin.fileno())):
        raise FamilyError("No file in print request.")
    return STANDARD_INPUT


def _is_null(status: os.stat_result) -> bool:
    return stat.S_ISCHR(status.st_mode) and status.st_rdev == os.stat(os.devnull).st_rdev
