"""Whatever the programs can say, somebody has read as the one who is called at night."""

from __future__ import annotations

import ast
import difflib

from tests.messages import LIST, listed, said_in

SOURCE = '''
"""A module about many things."""

def divide(cake: "a very large cake") -> None:
    """Divide the cake."""
    if not cake:
        raise UsageError(f"no cake in {place!r}: bake one" + " first, please")
    reason = "it is too hot" if hot else f"its {side} side is burnt"
    warn(
        f"{cake} is left: "
        f"{f'wait {minutes} min' if hot else 'throw it away'}; {reason}"
    )
    rows.execute("SELECT cake FROM oven")
    option("--cake", help="Which cake to divide.", metavar="CAKE")
    raise ValueError(f"our own bug: no {cake}")
'''


def test_all_that_is_said_is_found_and_nothing_else() -> None:
    assert sorted(said_in(ast.parse(SOURCE))) == [
        "first, please",
        "it is too hot",
        "its {} side is burnt",
        "no cake in {}: bake one",
        "throw it away",
        "wait {} min",
        "{} is left: {}; {}",
    ]


def test_every_message_is_in_the_list_that_somebody_has_read() -> None:
    read, said = LIST.read_text(), listed()
    unread = [line for line in difflib.ndiff(read.splitlines(), said.splitlines()) if line[0] in "+-"]
    assert read == said, (
        "\n".join(unread) + "\nRead what is new as somebody who is called at 3 a.m.: does it say what, where, why and "
        "what to do?  Then write the list anew: .venv/bin/python -m tests.messages"
    )
