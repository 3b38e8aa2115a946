"""The wheel and the sdist: they build, hold what they should and nothing else, and what is installed works."""

from __future__ import annotations

import os
import re
import subprocess
import tarfile
import tomllib
import zipfile
from email.parser import HeaderParser
from typing import TYPE_CHECKING

import pytest
from packaging.metadata import Metadata

from archq.commands import cli
from archq.version import __version__
from tests.packages import ROOT, built, installed, run
from tests.tools import located

if TYPE_CHECKING:
    from pathlib import Path

PACKAGES = ("archq", "sweeper", "logsum")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]


def files_below(*directories: str) -> set[str]:
    found = (path for name in directories for path in (ROOT / name).rglob("*") if path.is_file())
    return {str(path.relative_to(ROOT)) for path in found if "__pycache__" not in path.parts}


@pytest.fixture(scope="module")
def wheel() -> zipfile.ZipFile:
    [path] = built().glob("*.whl")
    assert path.name == f"archq-{__version__}-py3-none-any.whl"
    return zipfile.ZipFile(path)


def test_the_wheel_has_our_packages_the_manual_and_the_examples_and_nothing_else(wheel: zipfile.ZipFile) -> None:
    man = re.compile(rf"archq-{__version__}\.data/data/share/(man)/man\d(/.*)")
    names = [re.sub(man, r"\1\2", name) for name in wheel.namelist()]
    names = [name.removeprefix("archq/") if name.startswith("archq/examples/") else name for name in names]
    own = {name for name in names if not name.startswith(f"archq-{__version__}.dist-info/")}
    assert own == files_below(*PACKAGES, "man", "examples")


def test_the_sdist_has_all_that_the_tests_need() -> None:
    [path] = built().glob("*.tar.gz")
    with tarfile.open(path) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert files_below(*PACKAGES, "tests", "man", "examples", "bench", ".ci") <= names
    assert {"README.md", "CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "Makefile", "pyproject.toml"} <= names
    assert not {name for name in names if name.startswith((".venv", ".cache", "dist", "demo"))}


def test_the_metadata_are_valid_and_the_description_is_the_readme(wheel: zipfile.ZipFile) -> None:
    text = wheel.read(f"archq-{__version__}.dist-info/METADATA").decode()
    metadata = Metadata.from_email(text, validate=True)
    assert (metadata.name, str(metadata.version)) == ("archq", __version__)
    assert metadata.description == (ROOT / "README.md").read_text()
    assert metadata.description_content_type == "text/markdown"
    assert "LICENSE" in HeaderParser().parsestr(text).get_all("License-File", [])


def test_the_core_needs_little() -> None:
    names = {re.match(r"[\w-]+", requirement)[0] for requirement in PROJECT["dependencies"]}
    assert names == {"click", "paramiko", "python-dateutil", "tabulate", "tzdata"}


def test_every_tested_python_is_named_and_the_readme_names_no_other() -> None:
    classifiers = re.findall(r":: (3\.\d+)$", "\n".join(PROJECT["classifiers"]), re.M)
    told = re.search(r"Python ((?:3\.\d+(?:, | and )?)+) are tested", (ROOT / "README.md").read_text())
    assert told
    assert re.findall(r"3\.\d+", told[1]) == classifiers
    assert PROJECT["requires-python"] == f">={classifiers[0]}"


# What follows asks the installed programs.


def environment() -> dict[str, str]:
    """Return what a user has who has put the environment's programs before the others."""
    own = {name: value for name, value in os.environ.items() if name not in ("MANPATH", "PYTHONPATH")}
    return {**own, "PATH": f"{installed()}/bin:{os.environ['PATH']}"}


@pytest.mark.parametrize("name", PROJECT["scripts"])
def test_every_program_starts_where_only_the_core_is_installed(name: str) -> None:
    done = subprocess.run([name, "--version"], env=environment(), capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert __version__ in done.stdout


def test_no_test_is_installed() -> None:
    found = run(installed() / "bin/python", "-I", "-c", "import importlib.util as u; print(u.find_spec('tests'))")
    assert found == "None\n"


@pytest.mark.parametrize(
    "page", ["archq", "archq-submit", "archq-lp", "sweeper", "lpsweeper", "archq.toml", "archq-spool"]
)
def test_man_finds_the_page(page: str) -> None:
    program, settings = located("man", "man-db")
    words = [program, page]
    done = subprocess.run(words, env={**settings, **environment(), "MANPAGER": "cat"}, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    title = {"archq-submit": "ARCHQ", "lpsweeper": "SWEEPER"}.get(page, page.upper())
    assert done.stdout.startswith(f"{title}(")


def test_the_demonstration_says_what_it_lacks() -> None:
    done = subprocess.run(["archq", "demo"], env=environment(), capture_output=True, text=True)
    assert done.returncode == 78
    assert done.stderr.endswith("pip install 'archq[demo]'\n")


def test_examples_are_found_where_they_were_installed(tmp_path: Path) -> None:
    words = ["archq", "init", "--url", f"file:{tmp_path}", "--spool", f"{tmp_path}/spool"]
    settings = {**environment(), "ARCHQ_CONFIG": f"{tmp_path}/archq.toml"}
    done = subprocess.run(words, env=settings, capture_output=True, text=True, cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "# a key is pinned only by `archq doctor" in (tmp_path / "archq.toml").read_text()


def test_all_commands_are_there() -> None:
    listed = subprocess.run(["archq", "--help"], env=environment(), capture_output=True, text=True).stdout
    assert set(re.findall(r"(?m)^  ([a-z]+) ", listed)) == set(cli.commands)
