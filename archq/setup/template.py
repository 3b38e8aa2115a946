"""A new archq.toml: the lines and comments of the example, with a site's own values in them."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    Section = Mapping[str, object]

TOP = ""  # the section of the keys before any

_PACKAGE = Path(__file__).parents[1]
_HEADER = re.compile(r"\[(?P<kind>\w+)(?:\.\w+)?\]")
_KEY = re.compile(r'#?(?P<key>[a-z_]+) = (?P<value>"[^"]*"|\[[^\]]*\]|[^\s#]+)(?: +(?P<comment># .*))?')
_COMMENTS_AT = 39


def examples() -> Path:
    """Return the directory of the examples: installed with the package, or beside it in a source tree."""
    installed = _PACKAGE / "examples"
    return installed if installed.is_dir() else _PACKAGE.parent / "examples"


def filled(example: str, sections: Mapping[str, Section]) -> str:
    """Return the configuration that has these sections, such as ``queue.archive``, in this order.

    A key of ``example`` that has no value in its section becomes a comment.
    """
    head, blocks = _taken_apart(example)
    parts = [head, *(_filled(blocks[name.partition(".")[0]], name, values) for name, values in sections.items())]
    return "\n".join("".join(f"{line}\n" for line in part) for part in parts)


def _taken_apart(example: str) -> tuple[list[str], dict[str, list[str]]]:
    """Return the lines before any key, and the lines of each kind of section without its header."""
    head, *paragraphs = example.rstrip("\n").split("\n\n")
    blocks = {}
    for paragraph in paragraphs:
        lines = paragraph.split("\n")
        if header := _HEADER.fullmatch(lines[0]):
            blocks[header["kind"]] = lines[1:]
        elif _KEY.fullmatch(lines[0]):
            blocks[TOP] = lines
    return head.split("\n"), blocks


def _filled(block: list[str], name: str, values: Section) -> list[str]:
    left = dict(values)
    lines = [f"[{'.'.join(map(_toml_key, name.split('.')))}]"] if name else []
    lines += [line for text in block for line in _line(text, left)]
    if left:
        raise ValueError(f"the example has no {', '.join(left)} in [{name}]")
    return lines


def _line(text: str, left: dict[str, object]) -> Iterator[str]:
    line = _KEY.fullmatch(text)
    if line is None:
        raise ValueError(f"the example has a line that is neither key nor comment: {text!r}")
    key = line["key"]
    setting = f"{key} = {_toml(left.pop(key))}" if key in left else f"#{key} = {line['value']}"
    yield f"{setting:<{_COMMENTS_AT - 1}} {line['comment'] or ''}".rstrip()


def _toml_key(word: str) -> str:
    return word if re.fullmatch(r"[A-Za-z0-9_-]+", word, re.ASCII) else _toml(word)


def _toml(value: object) -> str:
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_toml, value))}]"
    return json.dumps(value, ensure_ascii=False)  # TOML's texts and truth values are written as JSON's
