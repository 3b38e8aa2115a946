"""What `archq init` asks on a terminal; each answer is checked at once, and asked for again if it cannot be meant."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING, Any

import click

from archq.config import INSTRUMENT_KEYS, QUEUE_KEYS, TOP_KEYS
from archq.console import width
from archq.errors import ArchqError, ConfigurationError
from archq.setup.directories import account, group
from archq.transports.destination import Destination
from archq.zones import find_zone

if TYPE_CHECKING:
    from collections.abc import Callable

    Check = Callable[[str], object]

_WITH_PASSWORDS = ("ftp", "ftps")


def about_instrument_computer(known: dict[str, Any], *, system: bool, path: str) -> dict[str, Any]:
    """Return ``known`` with the answers to what it leaves open; ``path`` is the configuration's."""
    _introduce(f"This sets up a computer whose files are sent to an archive, and writes {path}.")
    answers = dict(known)
    url = answers["url"] = _ask(
        "Where are files sent? (such as sftp://user@host/directory)", lambda text: Destination.parse(text, "url")
    )
    queue = _open(answers, "queue", "What is the queue's name?", _one_path_component, "archive")
    _about_instruments(answers)
    if Destination.parse(url, "url").scheme in _WITH_PASSWORDS:
        default = os.path.join(os.path.dirname(path), f"{queue}.pw")
        file = _open(answers, "password_file", "Which file holds the password?", QUEUE_KEYS["password_file"], default)
        if not os.path.exists(os.path.expanduser(file)):
            answers["password"] = _prompt("What is the password?", hide_input=True, confirmation_prompt=True)
    private = "" if system else " (empty: a private one)"
    default = "/var/spool/archq" if system else ""
    _open(answers, "spool", f"Where is the spool?{private}", _or_nothing(TOP_KEYS["spool"]), default)
    if system:
        _open(answers, "owner", "Which account ships? (empty: this one)", _or_nothing(_account), "")
        _open(answers, "group", "Which group may submit? (empty: that account only)", _or_nothing(_group), "")
    return answers


def about_archive_host(known: dict[str, Any], *, path: str) -> dict[str, Any]:
    """Return ``known`` with the answers to what it leaves open; ``path`` is the configuration's."""
    _introduce(f"This sets up a host that files what instruments send to it, and writes {path}.")
    answers = dict(known)
    answers["incoming"] = _ask("Where do files arrive?", TOP_KEYS["spool"], "/data/ftp/incoming")
    _open(answers, "directory", "Below which directory are the archives?", TOP_KEYS["spool"], "/data")
    _about_instruments(answers)
    _open(answers, "uploader", "Which account uploads? (empty: not known yet)", _or_nothing(_account), "")
    _open(answers, "owner", "Which account sweeps? (empty: this one, or a group's members)", _or_nothing(_account), "")
    _open(answers, "group", "Which group is incoming's? (empty: the uploader's)", _or_nothing(_group), "")
    return answers


def _introduce(what: str) -> None:
    further = "In brackets is what an empty answer stands for. Nothing is made before the last answer; Ctrl-C ends it."
    click.echo(textwrap.fill(f"{what} {further}", min(width() or 80, 100), break_on_hyphens=False) + "\n")


def _about_instruments(answers: dict[str, Any]) -> None:
    if not answers.get("instruments"):
        names = _ask("Which instruments? (names with blanks between, or nothing)", _names, "")
        answers["instruments"] = tuple(names.split())
    if answers["instruments"]:
        _open(answers, "zone", "In which time zone are nights counted?", find_zone, "UTC")
        _open(answers, "rollover", "When does a night's date begin?", INSTRUMENT_KEYS["rollover"], "12:00")


def _open(answers: dict[str, Any], key: str, question: str, check: Check, default: str) -> str:
    if answers.get(key) is None:
        answers[key] = _ask(question, check, default) or None
    return answers[key] or ""


def _ask(question: str, check: Check, default: str | None = None) -> str:
    def checked(text: str) -> str:
        try:
            check(text)
        except ArchqError as error:
            raise click.UsageError(str(error)) from error
        return text

    return _prompt(question, default=default, value_proc=checked, show_default=bool(default))


def _prompt(question: str, **settings: Any) -> str:
    try:
        answer: str = click.prompt(question, **settings)
    except click.Abort:
        click.echo()  # what is told next belongs on a line of its own
        raise
    return answer


def _names(text: str) -> None:
    for name in text.split():
        QUEUE_KEYS["instrument"](name)


def _one_path_component(text: str) -> None:
    if not text or "/" in text:
        raise ConfigurationError("a name such as archive")


def _account(text: str) -> None:
    account(text, "account")


def _group(text: str) -> None:
    group(text, "group")


def _or_nothing(check: Check) -> Check:
    return lambda text: check(text) if text else None
