"""README and CONTRIBUTING name what is there: files, commands, options, make's targets, keys of the configuration."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import click
import pytest

import archq
from archq import config
from archq.cli import cli

ROOT = Path(__file__).parents[1]
TEXTS = {name: (ROOT / name).read_text() for name in ("README.md", "CONTRIBUTING.md")}


@pytest.mark.parametrize("name", TEXTS)
def test_every_file_it_names_is_there(name: str) -> None:
    named = re.findall(r"\]\(([^):]+)\)", TEXTS[name]) + re.findall(
        r"`((?:archq|sweeper|logsum|tests|examples|man|bench)/[^` ]*)`", TEXTS[name]
    )
    assert named
    assert [path for path in named if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", TEXTS)
def test_every_target_of_make_it_names_is_one(name: str) -> None:
    targets = set(re.findall(r"(?m)^([a-z]+):", (ROOT / "Makefile").read_text()))
    named = set(re.findall(r"(?m)(?:`|^    )make ([a-z]+)", TEXTS[name]))
    assert named
    assert named <= targets


def test_every_command_and_option_of_archq_it_names_is_one() -> None:
    calls = re.findall(r"(?m)(?:`|^    (?:\$ )?)archq ([a-z]+)((?: +[^`\n]*)?)", TEXTS["README.md"])
    assert {verb for verb, _words in calls} >= {"submit", "status", "ship", "doctor"}
    for verb, words in calls:
        options = {
            flag for option in cli.commands[verb].params if isinstance(option, click.Option) for flag in option.opts
        }
        assert set(re.findall(r"(?<= )(--?[a-z]+)", words)) <= options, verb


def test_every_configuration_it_shows_is_one(tmp_path: Path) -> None:
    shown = [
        block
        for block in re.findall(r"(?m)(?:^(?:    .*)?\n)+", TEXTS["README.md"])
        if re.search(r"(?m)^    \[", block)
    ]
    assert len(shown) == 2
    for number, block in enumerate(shown):
        text = re.sub(r"(?m)^    ", "", block)
        assert tomllib.loads(text)
        path = tmp_path / f"{number}.toml"
        path.write_text(text)
        config.load("archq", "instrument", "sweeper", "logsum", environment={"ARCHQ_CONFIG": str(path)})


def test_every_installed_command_it_names_is_one() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    named = set(re.findall(r"`((?:archq-|lpsweeper|lplogsum|sweeper|logsum)[a-z]*)`", TEXTS["README.md"]))
    assert named
    assert named <= {*scripts, "archq-probe"}


def test_python_has_what_it_shows() -> None:
    assert "archq.submit(" in TEXTS["README.md"]
    assert callable(archq.submit)
