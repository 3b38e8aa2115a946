"""The whole line: a night of frames through real servers into the archive, byte for byte, and into the report."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from archq.transferlog import parse_outcome
from tests.archq.instrument import Instrument
from tests.servers.process import PASSWORD, RunningServer

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

CONFIGURATION = """\
default = "archive"
spool = "{home}/spool"
autostart = false

[queue.archive]
url = "{server.url}"
instrument = "minicam"
password_file = "{home}/password"
{ssh}

[instrument.minicam]
directory = "{home}/ARCHMINICAM"

[instrument.hectospec]
directory = "{home}/hectospec"
zone = "MST"
rollover = "12:00"

[sweeper]
incoming = "{server.incoming}"
"""
RECORD = 2880  # bytes: frames are made of whole records (FITS 4.0, section 3.1)
EVENING = 1_795_150_000_123_456_789  # nanoseconds since 1970: mtimes with every digit in use


class Site:
    """One machine plays the instrument computer and the archive host."""

    def __init__(self, home: Path, server: RunningServer) -> None:
        self.home = home
        self.instrument = Instrument(home)
        ssh = f'key = "{server.key}"\nknown_hosts = "{server.known_hosts}"' if server.key else ""
        (home / "archq.toml").write_text(CONFIGURATION.format(home=home, server=server, ssh=ssh))
        (home / "password").write_text(f"{PASSWORD}\n")
        (home / "password").chmod(0o600)
        for name in ("ARCHMINICAM", "hectospec"):
            (home / name).mkdir()

    def night(self, directory: str, count: int, seed: int) -> list[Path]:
        """Write ``count`` frames of different sizes, each with its own time, and return them."""
        place = self.home / directory
        place.mkdir(parents=True)
        generator, frames = random.Random(seed), []
        for number in range(1, count + 1):
            frame = place / f"img{number:04d}.fits"
            frame.write_bytes(generator.randbytes(RECORD * generator.randrange(1, 150)))
            instant = EVENING + number * 600_000_000_000
            os.utime(frame, ns=(instant, instant))
            frames.append(frame)
        return frames

    def program(self, module: str, *words: str | Path) -> str:
        done = subprocess.run(
            [sys.executable, "-c", f"from {module} import main; main()", *map(str, words)],
            env=self.instrument.environment,
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout

    def outcomes(self, archive: str) -> list[str]:
        lines = [
            line
            for log in sorted((self.home / archive / "xferlogs").glob("*.log"))
            for line in log.read_bytes().splitlines(keepends=True)
        ]
        return [parse_outcome(line).outcome for line in lines]


def assert_archived(frames: Sequence[Path], directory: Path) -> None:
    assert sorted(path.name for path in directory.iterdir()) == sorted(frame.name for frame in frames)
    for frame in frames:
        archived = directory / frame.name
        assert archived.read_bytes() == frame.read_bytes(), frame.name
        assert archived.stat().st_mtime_ns == frame.stat().st_mtime_ns, frame.name


@pytest.fixture(params=["vsftpd_drop_box", "sshd_drop_box", "vsftpd_full", "sshd_full"])
def site(request: pytest.FixtureRequest, tmp_path: Path) -> Site:
    return Site(tmp_path, request.getfixturevalue(request.param))


def test_a_night_arrives_whole_in_the_right_directories_and_is_counted(site: Site) -> None:
    dated = site.night("data/ARCHMINICAM/2002.0523", count=8, seed=1)
    undated = site.night("data/spectra", count=5, seed=2)

    site.program("archq.cli", "submit", "-d", "archive", "-o", "inst=minicam,maxftp=60", *dated)
    site.program("archq.cli", "submit", "-o", "instrument=hectospec observer='E. Hubble'", *undated)
    site.program("archq.cli", "ship", "--once")
    site.program("sweeper.cli", "-i", "minicam", "-d", site.home / "ARCHMINICAM")
    site.program("sweeper.cli", "-i", "hectospec", "-d", site.home / "hectospec")

    assert_archived(dated, site.home / "ARCHMINICAM" / "2002.0523")
    (night,) = (path for path in (site.home / "hectospec").iterdir() if path.name != "xferlogs")
    assert_archived(undated, night)
    assert site.outcomes("ARCHMINICAM") == ["filed"] * 8
    assert site.outcomes("hectospec") == ["filed"] * 5
    assert "Instrument: minicam        8 files       0 errors" in site.program("logsum.cli", "-i", "minicam")
    assert "Instrument: hectospec      5 files       0 errors" in site.program("logsum.cli", "-i", "hectospec")


def test_a_second_sweep_and_a_second_try_file_nothing_twice(site: Site) -> None:
    frames = site.night("data/ARCHMINICAM/2002.0523", count=3, seed=3)
    site.program("archq.cli", "submit", *frames)
    site.program("archq.cli", "ship", "--once")
    site.program("sweeper.cli", "-i", "minicam", "-d", site.home / "ARCHMINICAM")
    (site.home / "ARCHMINICAM" / "2002.0523" / "img0001.fits").rename(site.home / "moved-on.fits")
    site.program("archq.cli", "retry", "archive-1")
    site.program("archq.cli", "ship", "--once")
    site.program("sweeper.cli", "-i", "minicam", "-d", site.home / "ARCHMINICAM")
    site.program("sweeper.cli", "-i", "minicam", "-d", site.home / "ARCHMINICAM")
    assert site.outcomes("ARCHMINICAM") == ["filed"] * 3 + ["duplicate"] * 3
    assert_archived(frames[1:], site.home / "ARCHMINICAM" / "2002.0523")
