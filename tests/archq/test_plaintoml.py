"""A configuration that is read the short way says what tomllib says, or is left to it."""

from __future__ import annotations

import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as some

from archq.plaintoml import parse_plain

EXAMPLE = Path(__file__).parents[2] / "examples" / "archq.toml"

PLAIN = """\
# what most have
default = "archive"   # with words behind it
reserve="5GB"
autostart = false\t
keep = 0
\t[queue.archive]# a table
url = "sftp://tdcin@archive.example.edu/incoming#1"
instruments = [ "minicam", "megacam", ] # a list
bins=[1,2]
none = []

[queue.other]
url = 'plain no more'
"""


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_a_plain_document_is_read(end: str) -> None:
    text = PLAIN.partition("[queue.other]")[0].replace("\n", end)
    assert parse_plain(text) == tomllib.loads(text)


def test_the_example_is_plain() -> None:
    text = EXAMPLE.read_text()
    assert parse_plain(text) == tomllib.loads(text)


@pytest.mark.parametrize(
    "text",
    [
        PLAIN,
        'a = "back\\\\slash"',
        'a = """three\nlines"""',
        'a = """"""',
        "a = 1.5",
        "a = +1",
        "a = 0x1f",
        "a = 1_000",
        "a = 2026-11-20",
        "a.b = 1",
        '"a" = 1',
        "a = { b = 1 }",
        "a = [\n1,\n]",
        "a = [[1]]",
        "[[a]]\nb = 1",
        "[a.b]\n[a]\nc = 1",
    ],
)
def test_what_is_not_plain_is_left_to_others(text: str) -> None:
    tomllib.loads(text)
    assert parse_plain(text) is None


@pytest.mark.parametrize(
    "text",
    [
        "a",
        "a =",
        "= 1",
        "a = 1\na = 2",
        "[a]\n[a]",
        "a = 1\n[a]",
        "a = 1\n[a.b]",
        "[]",
        "[a",
        "[a] b",
        "[a.]",
        "a = 01",
        "a = tru",
        "a = 1 2",
        'a = "x" "y"',
        'a = "x',
        "a = [1",
        "a = [1 2]",
        "a = [,]",
        "a = [1,,2]",
        "a = \x0b1",
        "a = 1\r",
        'a = "\x7f"',
        "a = ²",
        "é = 1",
        "a = ]",
    ],
)
def test_what_is_no_toml_is_never_taken_for_it(text: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads(text)
    assert parse_plain(text) is None


PIECES = some.sampled_from(list("ab.[]= \t\n\r\"'\\,#1é\x00"))
WORDS = some.sampled_from(
    ["0", "12", "true", '"x"', '"#"', "[a]\n", "[a.b]\n", "[b]\n", "a = 1", "b=[1]", "\n", "\r\n"]
)


@given(some.lists(PIECES | WORDS | WORDS, max_size=12).map("".join))
def test_whatever_is_read_is_what_tomllib_reads(text: str) -> None:
    found = parse_plain(text)
    assert found is None or found == tomllib.loads(text)
