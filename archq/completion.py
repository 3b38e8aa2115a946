"""What a shell may suggest in the middle of a line, told from what the help says should stand there.

Errors are nothing to suggest: a shell would print them into the line that is being typed.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from archq.config import Config, default_spool, load
from archq.errors import ArchqError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import click
    from click.shell_completion import CompletionItem

    Suggestions = list[str] | list[CompletionItem]

# The programs that a shell can ask, and the variable by which it does.
PROGRAMS = {
    "archq": "_ARCHQ_COMPLETE",
    "sweeper": "_SWEEPER_COMPLETE",
    "lpsweeper": "_SWEEPER_COMPLETE",
    "logsum": "_LOGSUM_COMPLETE",
    "lplogsum": "_LOGSUM_COMPLETE",
}
SHELLS = ("bash", "zsh", "fish")

_INSTRUMENT_KEYWORDS = ("inst", "instrument")
_KEYWORDS = (*_INSTRUMENT_KEYWORDS, "maxftp", "dir")


def script(shell: str) -> str:
    """Return what ``shell`` has to read so that it asks our programs."""
    import click
    from click.shell_completion import get_completion_class

    kind = get_completion_class(shell)
    assert kind, shell
    return "\n".join(kind(click.Command(name), {}, name, variable).source() for name, variable in PROGRAMS.items())


def teach(command: click.Command) -> None:
    """Let ``command``, and all that are below it, suggest what their help's words stand for."""
    from click import Group

    for parameter in command.params:
        if suggest := BY_METAVAR.get(parameter.metavar or ""):
            # Done here and for one run, so that no program has to load this to start.
            parameter.shell_complete = partial(_items, suggest)  # type: ignore[method-assign]
    for below in command.commands.values() if isinstance(command, Group) else ():
        teach(below)


def _items(
    suggest: Callable[[click.Context, str], Suggestions], ctx: click.Context, incomplete: str
) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    found = suggest(ctx, incomplete)
    return [CompletionItem(item) if isinstance(item, str) else item for item in found]


def beginning(incomplete: str, words: Iterable[str]) -> list[str]:
    """Return the ``words`` that begin so, in order, each once."""
    return sorted({word for word in words if word.startswith(incomplete)})


def readable_configuration(*parts: str) -> Config:
    """Return these parts of the configuration, or an empty one where it has to be mended."""
    try:
        return load(*parts)
    except ArchqError:
        return Config(spool=default_spool())


def _instruments(_context: click.Context, incomplete: str) -> list[str]:
    """Suggest the instruments that the configuration describes, and those that its queues take."""
    config = readable_configuration("archq", "instrument")
    described = [name for one in config.instruments.values() for name in (one.name, *one.aliases)]
    taken = [name for queue in config.queues.values() for name in queue.instruments]
    return beginning(incomplete, [*described, *taken])


def _instruments_or_all(context: click.Context, incomplete: str) -> list[str]:
    return beginning(incomplete, [*_instruments(context, incomplete), "all"])


def _queues(_context: click.Context, incomplete: str) -> list[str]:
    return beginning(incomplete, readable_configuration("archq").queues)


def _wishes(context: click.Context, incomplete: str) -> list[str]:
    """Suggest keywords, and after ``inst=`` instruments."""
    done, comma, last = incomplete.rpartition(",")
    keyword, equals, value = last.partition("=")
    if not equals:
        return [f"{done}{comma}{word}=" for word in beginning(keyword, _KEYWORDS)]
    names = _instruments(context, value) if keyword in _INSTRUMENT_KEYWORDS else []
    return [f"{done}{comma}{keyword}={name}" for name in names]


def _sources(context: click.Context, incomplete: str) -> Suggestions:
    """Leave files to the shell, but suggest instruments after ``-o inst=``, which bash takes for several words."""
    wishes, given = context.params.get("options") or (), context.params.get("files") or ()
    if wishes and wishes[-1].rpartition(",")[2] in _INSTRUMENT_KEYWORDS and given in ((), ("=",)):
        return _instruments(context, incomplete)
    return _left_to_shell("file", context, incomplete)


def _left_to_shell(kind: str, _context: click.Context, incomplete: str) -> list[CompletionItem]:
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type=kind)]


_DIRECTORY, _FILE = partial(_left_to_shell, "dir"), partial(_left_to_shell, "file")
BY_METAVAR: dict[str, Callable[[click.Context, str], Suggestions]] = {
    "DIR": _DIRECTORY,
    "FILE": _FILE,
    "FILE…": _sources,
    "INCOMING": _DIRECTORY,
    "INST": _instruments,
    "INST|all": _instruments_or_all,
    "KEY=VALUE,…": _wishes,
    "LOGDIR": _DIRECTORY,
    "LOGFILE": _FILE,
    "NAMES": _instruments,
    "QUEUE": _queues,
}
