"""A plain report has two ways to its words, a short one and click's, which never disagree; and it waits for nothing."""

from __future__ import annotations

from typing import Any

import click
from hypothesis import given
from hypothesis import strategies as some

from logsum.cli import BRIEF, FLAGS, NAMES, parsed
from logsum.commands import command

WORDS = """
    -i minicam -iminicam -ichelle -i all -B 2003-10-01 -B2003-10-01 -B2003-4-1 -B2003-02-30 -Bx -B -b 0 -b0 -b18.5 -b-1
    -b nan -bx -D 31 -D31 -D-1 -D1.5 -D -h -48 -h 48 -h48 -hx -n -nz MST -nzMST -zMST -z -l logs -f xferlog -v +v -nv
    -vn -vi minicam -niminicam -vb0 +vn -noon --noon -x - -- --help --version --unit MiB --by night --zone=MST
"""
LINES = some.lists(some.sampled_from([*WORDS.split(), ""]), max_size=7)


def as_click_has_it(arguments: list[str]) -> dict[str, Any] | None:
    try:
        context = command.make_context("logsum", list(arguments))
    except (click.ClickException, click.exceptions.Exit):
        return None
    return {**context.params, "order": context.meta["order"]}


def as_text(words: dict[str, Any] | None) -> str:
    return repr(words and sorted(words.items()))  # as text, since nan is not equal to itself


@given(LINES)
def test_the_short_way_understands_what_click_does(words: list[str]) -> None:
    for arguments in (words, ["-i", "minicam", *words]):
        if (short := parsed(arguments)) is not None:
            assert as_text(short) == as_text(as_click_has_it(arguments))


@given(LINES)
def test_the_short_way_leaves_no_call_in_options_of_one_letter_to_click(words: list[str]) -> None:
    letters = ["-i", "minicam", *(word for word in words if not word.startswith("--") and word != "-noon")]
    assert as_text(parsed(letters)) == as_text(as_click_has_it(letters))


def test_the_short_way_takes_the_original_s_calls() -> None:
    old = parsed(["-ichelle", "-B2003-10-01", "-D31", "-h", "-48", "-nz", "MST", "-v", "+v"])
    assert old
    assert old["order"] == ["instrument", "base", "days", "hours", "noon", "zone", "verbose", "verbose"]
    assert (old["instrument"], str(old["base"]), old["hours"], old["zone"]) == ("chelle", "2003-10-01", -48.0, "MST")
    assert (old["noon"], old["verbose"]) == (True, False)


def test_the_short_way_knows_every_option_of_one_letter() -> None:
    options = {name: one.name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    letters = {name: known for name, known in options.items() if len(name) == 2}
    assert letters == {**{f"-{letter}": name for letter, name in NAMES.items()}, BRIEF: "verbose"}
    assert {*FLAGS.plain, *FLAGS.valued} == {*NAMES}
