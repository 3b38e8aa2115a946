"""The manual pages know the options that the programs know."""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

import pytest

from archq.lpfamily.scanner import LONG_OPTIONS
from tests.archq.lpfamily.conftest import PROGRAMS

ROOT = Path(__file__).parents[3]


def documented(program: str) -> set[str]:
    """Give the letters (and long options) that the items of a page explain."""
    page = (ROOT / "man" / f"archq-{program}.1").read_text()
    words = [word for item in re.findall(r"(?m)^\.It Fl (.*)$", page) for word in item.split()]
    return {word for word in words if re.fullmatch(r"[A-Za-z]|-[a-z]+", word)}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_option_is_documented_and_no_other(program: str) -> None:
    flags = import_module(f"archq.lpfamily.{program}").FLAGS
    letters = {*flags.plain, *flags.valued, *flags.listed} - ({"p"} if program == "lp" else set())  # as -q, says -q
    assert documented(program) == letters | {option[1:] for option in LONG_OPTIONS}


@pytest.mark.parametrize("program", PROGRAMS)
def test_every_program_is_installed(program: str) -> None:
    scripts = (ROOT / "pyproject.toml").read_text().partition("[project.scripts]\n")[2].partition("\n[")[0]
    assert f'archq-{program} = "archq.lpfamily.{program}:main"\n' in scripts
    assert callable(import_module(f"archq.lpfamily.{program}").main)
