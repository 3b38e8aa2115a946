"""README and CONTRIBUTING name what is there: files, commands, options, make's targets, keys of the configuration."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import tomllib
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

import archq
from archq.commands import cli
from tests import readme
from tests.packages import installed
from tests.servers.process import HOST
from tests.test_drop_boxes import FRAME, Site, bare_site, sshd

if TYPE_CHECKING:
    from collections.abc import Iterator

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


def test_every_installed_command_it_names_is_one() -> None:
    scripts = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]
    named = set(re.findall(r"`((?:archq-|lpsweeper|lplogsum|sweeper|logsum)[a-z]*)`", TEXTS["README.md"]))
    assert named
    assert named <= {*scripts, "archq-probe"}


def test_every_page_of_the_manual_is_named() -> None:
    pages = [path for path in (ROOT / "man").iterdir() if not path.read_text().startswith(".so ")]
    named = {f"{name}.{part}" for name, part in re.findall(r"\b([a-z][a-z.-]+)\((\d)\)", TEXTS["README.md"])}
    assert named == {path.name for path in pages}


def test_python_has_what_it_shows() -> None:
    assert "archq.submit(" in TEXTS["README.md"]
    assert callable(archq.submit)


# The installation of the three roles, as it is written there, on one machine: accounts, places and ports are ours.


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with bare_site(tmp_path) as site:
        yield site


def typed(command: str, site: Site, config: Path, *, status: int = 0, **instead: str) -> str:
    """Return what a line of the README prints to somebody who types it where the README's programs are installed."""
    places = {"/opt/archq": str(installed()), "/data/ftp": f"{site.home}/root", "/data/oir": f"{site.home}/archive"}
    for theirs, ours in (places | instead).items():
        command = command.replace(theirs, ours)
    environment = {
        **{name: value for name, value in os.environ.items() if name not in ("LPDEST", "PRINTER", "PYTHONPATH")},
        "ARCHQ_CONFIG": str(config),
        "HOME": str(site.desk),
        "PATH": f"{installed()}/bin:{os.environ['PATH']}",
        "XDG_STATE_HOME": f"{site.desk}/state",
    }
    settings = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    done = subprocess.run(["sh", "-c", command], env=environment, cwd=site.desk, **settings)
    assert done.returncode == status, f"$ {command}\n{done.stdout}"
    return done.stdout


def test_the_three_roles_are_installed_as_it_says_and_a_file_goes_down_the_line(site: Site) -> None:
    (init, doctor, submit), [archive], [crontab], [report] = (
        readme.INSTRUMENT,
        readme.ARCHIVE,
        readme.CRONTAB,
        readme.ASTRONOMER,
    )
    archive_toml, desk_toml = site.home / "archq.toml", site.desk / "archq.toml"
    told = typed(archive, site, archive_toml, **{"--owner archive": "--owner root", "tdcin": site.account.pw_name})
    drop_box = told.partition("sshd_config.d/archq.conf --\n")[2]
    with sshd(site, drop_box) as port:
        (site.desk / ".ssh").mkdir(mode=0o700)
        shutil.move(site.desk / "key", site.desk / ".ssh/id_ed25519")
        there = {"tdcin@archive.example.edu": f"{site.account.pw_name}@{HOST}:{port}"}
        told = typed(init, site, desk_toml, status=69, **there)  # its host key is not trusted yet
        fingerprint = re.search(r"SHA256:\S{43}", told)
        assert fingerprint, told
        typed(re.sub(r"SHA256:\S+", fingerprint[0], doctor), site, desk_toml)
        (site.desk / "frame.fits").write_bytes(FRAME)
        try:
            assert typed(submit, site, desk_toml) == "request id is archive-1 (1 file(s))\n"
        finally:
            stop_shipper(site)
    assert typed(crontab.partition("* * * * ")[2], site, archive_toml) == ""
    [filed] = (site.home / "archive/minicam").glob("*/frame.fits")
    assert filed.read_bytes() == FRAME
    assert re.search(r"(?m)^Instrument: minicam +1 files +0 errors$", typed(report, site, Path(os.devnull)))


def stop_shipper(site: Site) -> None:
    """End the shipper that submit has started, which would wait for more for a minute."""
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if f"ARCHQ_CONFIG={site.desk}/archq.toml".encode() in (process / "environ").read_bytes().split(b"\0"):
                os.kill(int(process.name), signal.SIGTERM)
