from __future__ import annotations

import pytest

from archq.lpfamily.scanner import Flags, Word, last_values, operands, scan, written

FLAGS = Flags(plain="csw", valued={"d": "destination", "o": "option=value"}, listed="pu")


def scanned(line: str) -> list[tuple[str, str | None]]:
    return [(word.flag, word.value) for word in scan(line.split(" ") if line else [], FLAGS)]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("", []),
        ("f", [("", "f")]),
        ("-d q f", [("d", "q"), ("", "f")]),
        ("-dq f", [("d", "q"), ("", "f")]),
        ("-csdq f", [("c", None), ("s", None), ("d", "q"), ("", "f")]),
        ("-csd q f", [("c", None), ("s", None), ("d", "q"), ("", "f")]),
        ("f -s g", [("", "f"), ("s", None), ("", "g")]),
        ("-s -- -d f", [("s", None), ("", "-d"), ("", "f")]),
        ("-", [("", "-")]),
        ("-- -", [("", "-")]),
        ("-d - f", [("d", "-"), ("", "f")]),
        ("-d -s", [("d", "-s")]),
        ("-o a=b -o c", [("o", "a=b"), ("o", "c")]),
        ("-p", [("p", None)]),
        ("-p a,b", [("p", "a,b")]),
        ("-pa,b", [("p", "a,b")]),
        ("-p -s", [("p", None), ("s", None)]),
        ("-p - f", [("p", None), ("", "-"), ("", "f")]),
        ("-cp a", [("c", None), ("p", "a")]),
        ("--help", [("--help", None)]),
    ],
)
def test_words_are_taken_as_the_lp_family_takes_them(line: str, words: list[tuple[str, str | None]]) -> None:
    assert scanned(line) == words


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ("-Z", 'unknown option "Z"'),
        ("-sZ", 'unknown option "Z"'),
        ("--what", 'unknown option "--what"'),
        ("-d", 'expected destination after "-d" option'),
        ("-so", 'expected option=value after "-o" option'),
    ],
)
def test_what_is_wrong_is_noted_where_it_stands(line: str, problem: str) -> None:
    assert [word.problem for word in scan(["f", *line.split(" "), "-s"][:-1], FLAGS) if word.problem] == [problem]


def test_a_later_value_replaces_an_earlier_one() -> None:
    assert last_values(scan(["-d", "a", "f", "-d", "b", "-s"], FLAGS)) == {"d": "b", "s": ""}


def test_operands_keep_their_order() -> None:
    assert operands(scan(["b", "-s", "a", "--", "-c"], FLAGS)) == ["b", "a", "-c"]


def test_words_can_be_written_again() -> None:
    words = scan(["-csd", "q", "-p", "--help", "x", "-oa=b", "--", "y"], FLAGS)
    assert written(words, FLAGS) == ["-c", "-s", "-d", "q", "-p", "--help", "-o", "a=b", "x", "y"]
    assert written([Word("p", "a,b")], FLAGS) == ["-p", "a,b"]


@pytest.mark.parametrize("line", ["-p-x", "-d-x f", "-d -x f", "f -p", "f -s -p", "f -p -s", "f -p g", "-pa -p f g"])
def test_what_was_written_again_says_the_same(line: str) -> None:
    words = scan(line.split(" "), FLAGS)
    again = scan(written(words, FLAGS), FLAGS)
    assert (last_values(again), operands(again)) == (last_values(words), operands(words))
