"""What crontabs and data systems say to the programs of old, our scripts of those names understand."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from archq.lpfamily.lp import FLAGS
from logsum.commands import command as logsum_command
from sweeper.cli import command as sweeper_command
from tests.requirements import require

GUIDE = (Path(__file__).parents[1] / "examples" / "coming-from-lpsweeper.md").read_text()
SCRIPTS = Path(sys.executable).parent
NIGHT = "2026.1120"


def block(kind: str) -> str:
    found = re.search(rf"(?ms)^```{kind}\n(.*?)^```$", GUIDE)
    assert found, kind
    return found[1]


LINES = block("sh").splitlines()


@dataclass(frozen=True)
class Site:
    """The old site's directories below a temporary one, and its crontabs' environment."""

    root: Path

    @property
    def minicam(self) -> Path:
        return self.root / "data/mc4/mcam/archive/rawdata/data/ARCHMINICAM"

    @property
    def incoming(self) -> Path:
        return self.root / "data/mc4/tdc-ftp/incoming"

    def run(self, line: str) -> str:
        """Run a line as cron does, and return what it says: all of it would be mailed."""
        environment = {
            "PATH": f"{self.root}/bin:{SCRIPTS}:{os.environ['PATH']}",
            "HOME": f"{self.root}/home",
            "ARCHQ_CONFIG": f"{self.root}/archq.toml",
            "TZ": "UTC",
        }
        done = subprocess.run(
            ["/bin/sh", "-c", self.here(line)],
            env=environment,
            cwd=self.root / f"h/ftphome/{NIGHT}",
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert done.returncode == 0, done.stdout
        return done.stdout

    def here(self, text: str) -> str:
        return re.sub(r"(?<![\w/])/data/", f"{self.root}/data/", text)

    def submit(self, instrument: str) -> None:
        self.run(f"lp -d archive -o inst={instrument} img0001.fits")
        self.run("archq ship --once")

    def archived(self, directory: Path) -> list[str]:
        paths = (path.relative_to(directory) for path in directory.rglob("*") if path.is_file())
        return sorted(str(path) for path in paths if path.parts[0] != "xferlogs")


@pytest.fixture
def site(tmp_path: Path) -> Site:
    require((SCRIPTS / "lpsweeper").exists(), f"the scripts are not installed beside {sys.executable}")
    site = Site(tmp_path)
    archives = (site.minicam, tmp_path / "data/mc4/wyatt/lparchive", tmp_path / "home/lparchive")
    for path in (site.incoming, *archives, tmp_path / "bin", tmp_path / f"h/ftphome/{NIGHT}"):
        path.mkdir(parents=True)
    for name in ("mega", "spec", "chelle"):
        (tmp_path / "data" / name / "xferlogs").mkdir(parents=True)
    (site.minicam / "xferlogs").mkdir()
    for name in ("img0001.fits", "img0002.fits"):
        (tmp_path / f"h/ftphome/{NIGHT}/{name}").write_bytes(b"light" * 100)
    for name in ("lp", "lpstat"):
        (tmp_path / "bin" / name).symlink_to(SCRIPTS / f"archq-{name}")
    (tmp_path / "archq.toml").write_text(
        f'spool = "{tmp_path}/spool"\nautostart = false\n[queue.archive]\nurl = "file:{site.incoming}"\n'
        + site.here(block("toml")).replace('"/data/', f'"{tmp_path}/data/')
    )
    ftp_log = tmp_path / "data/tdc-ftp-log/xferlog"
    ftp_log.parent.mkdir()
    ftp_log.write_text("")
    return site


@pytest.mark.parametrize("line", [line for line in LINES if line.startswith("lplogsum")])
def test_a_report_is_made_as_ever_and_nothing_is_printed_when_nothing_came(line: str, site: Site) -> None:
    assert site.run(line) == ""


def test_a_night_goes_down_the_line_by_the_old_commands(site: Site) -> None:
    lp, again, lpstat, sweep = LINES[:4]
    assert site.run(lp) == "request id is archive-1 (1 file(s))\n"
    assert site.run(again) == "request id is archive-2 (1 file(s))\n"
    assert [line.split()[0] for line in site.run(lpstat).splitlines()] == ["archive-1", "archive-2"]
    site.run("archq ship --once")
    assert sweep.startswith("lpsweeper -i minicam")
    assert site.run(sweep) == ""
    assert site.archived(site.minicam) == [f"{NIGHT}/img0001.fits", f"{NIGHT}/img0002.fits"]
    report = site.run("lplogsum -i minicam -D 1 -h -1")
    assert re.search(r"(?m)^Instrument: minicam +2 files +0 errors$", report)


def test_what_belongs_to_nobody_is_swept_as_ever(site: Site) -> None:
    line = next(line for line in LINES if "-A" in line)
    for instrument in ("stray", "wyatt", "fast"):
        site.submit(instrument)
    assert site.run(line) == ""
    kept = site.archived(site.root / "data/mc4/wyatt/lparchive")
    assert [name.split("/")[1].split(".")[0] for name in kept] == ["stray", "stray"]
    waiting = {path.name.split(".")[0] for path in site.incoming.glob("*.cf")}
    assert waiting == {"wyatt", "fast"}


def test_an_archive_without_dates_and_with_one_log_is_kept_as_ever(site: Site) -> None:
    line = next(line for line in LINES if "+D" in line)
    site.submit("wyatt")
    assert site.run(line) == ""
    assert site.archived(site.root / "home/lparchive") == ["img0001.fits"]
    assert " filed instrument=wyatt " in (site.root / "home/lplogs").read_text()


@pytest.mark.parametrize(("program", "command"), [("lpsweeper", sweeper_command), ("lplogsum", logsum_command)])
def test_every_option_that_is_told_of_is_one_and_every_one_of_a_letter_is_told(program: str, command) -> None:
    told = GUIDE.partition(f"## {program}\n")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| (.*?) \|", told)
    options = {option for row in rows for option in re.findall(r"`([-+]\w+)\b", row)}
    known = {name for parameter in command.params for name in (*parameter.opts, *parameter.secondary_opts)}
    assert options <= known
    letters = {name for name in known if re.fullmatch(r"[-+]\w", name)}
    assert letters - options <= {"-j", "-v"} if program == "lpsweeper" else letters == options - {"-noon"}


def test_every_letter_of_lp_is_told() -> None:
    told = GUIDE.partition("## lp\n")[2].partition("\n## ")[0]
    rows = re.findall(r"(?m)^\| (.*?) \| (.*) \|$", told)
    letters = {letter for row in rows for cell in row for letter in re.findall(r"(?<![\w-])-(\w)\b", cell)}
    assert letters - {"r"} == {*FLAGS.plain, *FLAGS.valued}  # -r is hold's


def test_the_scripts_of_both_names_are_the_same_programs() -> None:
    for old, new in (("lpsweeper", "sweeper"), ("lplogsum", "logsum")):
        require(shutil.which(old, path=str(SCRIPTS)), f"{old} is not installed beside {sys.executable}")
        assert (SCRIPTS / old).read_text() == (SCRIPTS / new).read_text()
