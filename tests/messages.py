"""Every text that the three programs can say, found in their source: what an operator may have to read at night.

``python -m tests.messages`` writes the list anew.
"""

from __future__ import annotations

import ast
import re
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
LIST = ROOT / "tests" / "golden" / "messages.txt"
PACKAGES = ("archq", "sweeper", "logsum")

_HEAD = """\
# What archq, sweeper and logsum can say, by module; {} stands for what is put in when it is said.
# After reading what is new here as somebody who is called at 3 a.m.: .venv/bin/python -m tests.messages
"""
_WORDS = re.compile(r"[^\W\d_]{2,}")
_OF_BUGS = {"AttributeError", "RuntimeError", "TypeError", "ValueError"}
_LONGEST = 5  # lines: what is longer is a document and has tests of its own
# Of what is not said to anybody: queries, and words in the code's own languages.
_NOT_SAID = re.compile(r"\s*(def|CREATE|INSERT|SELECT|UPDATE|DELETE|PRAGMA|BEGIN)\b|<\w|\(self\b|\[0-9|^\(\?|\\[wdsS]")


def listed() -> str:
    """Return the list as it should be."""
    return _HEAD + "".join(f"\n{module}\n{said}" for module, said in _said_by_modules())


def _said_by_modules() -> Iterator[tuple[str, str]]:
    for path in sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py")):
        texts = sorted(set(said_in(ast.parse(path.read_bytes()))))
        if texts:
            yield str(path.relative_to(ROOT)), "".join(f"    {text}\n" for text in texts)


def said_in(tree: ast.Module) -> Iterator[str]:
    """Yield each text of a module that is a sentence, or a part of one, for people."""
    left_out = {id(node) for unsaid in _unsaid(tree) for node in ast.walk(unsaid)}
    for node in ast.walk(tree):
        if id(node) in left_out:
            continue
        if isinstance(node, ast.JoinedStr):
            left_out |= {id(part) for part in ast.walk(node)} - {
                id(inner) for part in node.values if isinstance(part, ast.FormattedValue) for inner in ast.walk(part)
            }
        if isinstance(node, ast.JoinedStr | ast.Constant) and (text := _text(node)) and _is_said(text):
            yield text.strip().replace("\n", r"\n")


def _text(node: ast.expr) -> str:
    if isinstance(node, ast.JoinedStr):
        return "".join(_text(part) for part in node.values)
    if isinstance(node, ast.FormattedValue):
        return "{}"
    return node.value if isinstance(node, ast.Constant) and isinstance(node.value, str) else ""


def _is_said(text: str) -> bool:
    return (
        " " in text.strip()
        and text.count("\n") < _LONGEST
        and len(_WORDS.findall(text)) >= 2
        and not _NOT_SAID.search(text)
    )


def _unsaid(tree: ast.Module) -> Iterator[ast.AST]:
    """Yield what no message says: docstrings, annotations, the help of options, and errors that only a bug raises."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            first = node.body[0] if node.body else None
            if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant):
                yield first
        if isinstance(node, ast.AnnAssign | ast.arg) and node.annotation:
            yield node.annotation
        if isinstance(node, ast.keyword) and node.arg == "help":
            yield node.value
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in _OF_BUGS:
            yield node


if __name__ == "__main__":
    LIST.write_text(listed())
