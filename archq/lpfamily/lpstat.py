"""archq-lpstat: lpstat for queues of archq, and for the system's printers as before."""

from __future__ import annotations

import contextlib
import locale
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

from archq.config import load
from archq.console import printable
from archq.lpfamily.command import FamilyError, refuse_mistakes, run_drop_in, told_about_itself
from archq.lpfamily.jobs import own_job
from archq.lpfamily.lp import default_destination
from archq.lpfamily.scanner import Flags, Word, last_values, scan, written
from archq.lpfamily.system import hand_over, system_program, was_handed_on

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from archq.config import Config

LISTS = "acfopPSv"  # of destinations
FLAGS = Flags(plain="DdeElHrRst", valued={"h": "hostname", "U": "username", "W": "which jobs"}, listed=f"{LISTS}u")
MODIFIERS = "DEhlUW"  # without any other option, our user's jobs are listed
WHICH_JOBS = ("completed", "not-completed", "all")
SUMMARIES = {"s": "dcv", "t": "rdcvapo"}  # and the options that they stand for, in this order

USAGE = """\
usage: archq-lpstat [-deDlrRst] [-W completed|not-completed|all] [-u [users]] [-acopv [destinations]] [destination ...]
Shows the queues of archq, then what the system's own lpstat shows.
"""


def main() -> None:
    """Run the command and exit."""
    sys.exit(run_drop_in(lpstat))


def lpstat(arguments: list[str]) -> None:
    """Do what ``lpstat`` does with ``arguments``: ours first, then the rest by the system's program."""
    words = scan(arguments, FLAGS)
    if told_about_itself(words, USAGE):
        return
    config, rest = load("archq"), words
    if config.queues and "h" not in last_values(words):
        _show_own(config, words)
        rest = foreign_words(config, words)
    if rest or not words:
        _hand_on(config, rest, arguments if rest == words else written(rest, FLAGS))


def foreign_words(config: Config, words: Sequence[Word]) -> list[Word]:
    """Return what is left of ``words`` for the system: without our names, empty if all that was asked for was ours."""
    own_default = default_destination(config) is not None
    rest = [left for word in words for left in _foreign(config, word, own_default)]
    return rest if any(map(_asks, rest)) or not any(map(_asks, words)) else []


def _asks(word: Word) -> bool:
    """Tell whether ``word`` asks for something, and not only says how it should be shown."""
    return not word.flag or word.flag not in MODIFIERS


def _foreign(config: Config, word: Word, own_default: bool) -> list[Word]:
    if word.flag in SUMMARIES and own_default:
        return [Word(flag) for flag in SUMMARIES[word.flag] if flag != "d"]
    if word.flag == "d":
        return [] if own_default else [word]
    own = _own_names(config, word)
    foreign = [name for name in names_of(word) if name not in own]
    return [replace(word, value=",".join(foreign))] * bool(foreign) if own else [word]


def names_of(word: Word) -> list[str]:
    """Return the names in an option's list: commas and blanks separate."""
    return (word.value or "").replace(",", " ").split()


def _own_names(config: Config, word: Word) -> list[str]:
    """Return the queues and requests of ours in an option's list of destinations."""
    if word.flag and word.flag not in LISTS:
        return []
    return [name for name in names_of(word) if name in config.queues or own_job(config, name, "lpstat")]


def _show_own(config: Config, words: Sequence[Word]) -> None:
    from archq.lpfamily.report import Report

    values = last_values(words)
    if values.get("W", "all") not in WHICH_JOBS:
        choices = '"completed", "not-completed", or "all"'
        raise FamilyError(f'Error - need {choices} after "-W" option.')
    refuse_mistakes(words)
    with contextlib.suppress(locale.Error):
        locale.setlocale(locale.LC_TIME, "")  # dates as the system's lpstat writes them
    report = Report(config, which=values.get("W", "not-completed"), long=bool(values.keys() & {"D", "l"}))
    asked = [word for word in words if _asks(word)] or [Word("u")]
    if was_handed_on():  # all else was shown before, only names of ours are never handed on
        asked = [word for word in asked if _own_names(config, word)]
    for word in asked:
        for flag in SUMMARIES.get(word.flag, word.flag or "o"):
            _print(report.lines(flag, names_of(word)))


def _print(lines: Iterator[str]) -> None:
    for line in lines:
        indent = len(line) - len(line.lstrip("\t"))
        print("\t" * indent + printable(line[indent:]))


def _hand_on(config: Config, words: Sequence[Word], arguments: Sequence[str]) -> None:
    if program := system_program("lpstat", config):
        hand_over(program, "lpstat", arguments)
    refuse_mistakes(words)
    if unknown := [name for word in words if word.flag in LISTS for name in names_of(word)]:
        raise FamilyError(f'Invalid destination name in list "{unknown[0]}".')
