"""The command `logsum`: usual calls, of plain reports, by the short way, since click takes 30 ms to load."""

from __future__ import annotations

import sys

from archq.console import leave, run, run_click
from archq.lpfamily.scanner import LONG_OPTIONS, Flags, operands, scan
from logsum.period import parse_day
from logsum.reporting import PROGRAM, answer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from typing import Any

    from archq.lpfamily.scanner import Word

BRIEF = "+v"
PLAIN = {"n": "noon", "v": "verbose", "--details": "details", "--last-night": "last_night"}
VALUED = {
    "i": "instrument",
    "l": "logs",
    "f": "ftp_log",
    "B": "base",
    "b": "clock",
    "D": "days",
    "h": "hours",
    "z": "zone",
    "--ftp-log-zone": "ftp_log_zone",
    "--night": "night",
    "--month": "month",
    "--since": "since",
    "--until": "until",
}
NAMES = PLAIN | VALUED
FLAGS = Flags(plain=PLAIN, valued=dict.fromkeys(VALUED, ""))
_VALUES: Mapping[str, Callable[[str], Any]] = {
    "base": lambda text: parse_day(text) if text else None,
    "clock": float,
    "days": int,
    "hours": float,
}
_UNSAID = {
    **dict.fromkeys(NAMES.values()),
    **dict.fromkeys(("bins", "by", "plot", "html", "max_age", "spool")),
    **dict.fromkeys(("noon", "last_night", "details", "reconcile"), False),
    "unit": "MB",
    "format": "text",
}


def parsed(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Return what :func:`answer` is asked for, None where click has to look at it."""
    words = scan(arguments, FLAGS)
    is_plain = "--" not in arguments and not any(word.problem or word.flag in LONG_OPTIONS for word in words)
    if not is_plain or {*operands(words)} - {BRIEF}:
        return None
    said = [_said(word) for word in words]  # of what is said twice, the last is looked at only, by click too
    try:
        values = {name: _VALUES[name](value) if name in _VALUES else value for name, value in dict(said).items()}
    except ValueError:
        return None
    return {**_UNSAID, **values, "order": [name for name, _value in said]} if "instrument" in values else None


def _said(word: Word) -> tuple[str, Any]:
    if not word.flag:  # an operand, as a + begins no option to the scanner
        return "verbose", False
    return NAMES[word.flag], True if word.value is None else word.value


def main() -> int:
    """Run logsum with this process's arguments and return its exit status."""
    words = parsed(sys.argv[1:])
    if words is not None:
        leave(run(PROGRAM, lambda: answer(words)))
    from logsum.commands import command

    return run_click(PROGRAM, command)
