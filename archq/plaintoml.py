"""TOML as most configurations are written, read without the 12 ms that the whole language takes to load (pure).

Plain is what stands on one line each: a table's name, or a key with a text, a whole number, ``true``, ``false`` or a
list of such; comments and empty lines.  Whatever is not surely that is left to tomllib, which also knows what is wrong.
"""

from __future__ import annotations

from archq.fields import LETTERS_AND_DIGITS, consists_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_IN_KEYS = f"{LETTERS_AND_DIGITS}_-"
_WORDS = {"true": True, "false": False}


class _NotPlainError(Exception):
    """It may be TOML, but it is for others to say."""


def parse_plain(text: str) -> dict[str, Any] | None:
    """Return the document ``text`` as tomllib would, None where it is not plain."""
    document: dict[str, Any] = {}
    table = document
    try:
        for line in text.replace("\r\n", "\n").split("\n"):
            line = line.strip(" \t")
            if not line.isprintable():
                return None
            if line.startswith("["):
                table = _new_table(document, line)
            elif line and not line.startswith("#"):
                _add(table, line)
    except _NotPlainError:
        return None
    return document


def _new_table(document: dict[str, Any], line: str) -> dict[str, Any]:
    """Return the new table of a line such as ``[queue.archive]``."""
    name, bracket, rest = line[1:].partition("]")
    if not bracket:
        raise _NotPlainError
    _refuse_all_but_comment(rest)
    *parents, last = map(_key, name.split("."))
    for parent in parents:
        document = document.setdefault(parent, {})
        if not isinstance(document, dict):
            raise _NotPlainError
    if last in document:
        raise _NotPlainError
    document[last] = {}
    table: dict[str, Any] = document[last]
    return table


def _add(table: dict[str, Any], line: str) -> None:
    name, _equals, text = line.partition("=")
    key = _key(name)
    if key in table:
        raise _NotPlainError
    table[key], rest = _value(text.lstrip(" \t"))
    _refuse_all_but_comment(rest)


def _key(text: str) -> str:
    key = text.strip(" \t")
    if not key or not consists_of(key, _IN_KEYS):
        raise _NotPlainError
    return key


def _value(text: str) -> tuple[object, str]:
    """Return the value at the beginning of ``text``, and what stands after it."""
    if text.startswith('"'):
        return _text(text)
    if text.startswith("["):
        return _list(text[1:])
    for end, character in enumerate(text):
        if character in " \t,]#":
            return _word(text[:end]), text[end:]
    return _word(text), ""


def _text(text: str) -> tuple[str, str]:
    value, quote, rest = text[1:].partition('"')
    if not quote or "\\" in value or rest.startswith('"'):  # an escape, or the first of three quotes
        raise _NotPlainError
    return value, rest


def _list(text: str) -> tuple[list[object], str]:
    values: list[object] = []
    text = text.lstrip(" \t")
    while not text.startswith("]"):
        if text.startswith("["):
            raise _NotPlainError
        value, text = _value(text)
        values.append(value)
        text = text.lstrip(" \t")
        if text.startswith(","):
            text = text[1:].lstrip(" \t")
        elif not text.startswith("]"):
            raise _NotPlainError
    return values, text[1:]


def _word(text: str) -> object:
    if text in _WORDS:
        return _WORDS[text]
    if text.isascii() and text.isdigit() and (text == "0" or text[0] != "0") and len(text) < 19:
        return int(text)
    raise _NotPlainError


def _refuse_all_but_comment(rest: str) -> None:
    rest = rest.lstrip(" \t")
    if rest and not rest.startswith("#"):
        raise _NotPlainError
