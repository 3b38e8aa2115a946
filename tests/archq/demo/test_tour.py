"""The tutorial run works, twice, and leaves nothing behind but its directory."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

# Frames of a few kB, and no rate limit to wait for.
SCRIPT = """
import sys
from pathlib import Path
from archq.console import run
from archq.demo.tour import run_tour
sys.exit(run("archq", lambda: run_tour(Path("demo"), binning=8, rate_limit="1GB/s")))
"""
TOUR = [sys.executable, "-c", SCRIPT]
SLOW_TOUR = [sys.executable, "-c", SCRIPT.replace("1GB/s", "50kB/s")]
TOUR_WITHOUT_ASTROPY = [sys.executable, "-c", f"import sys; sys.modules['astropy'] = None\n{SCRIPT}"]
COMMAND = [str(Path(sys.executable).with_name("archq")), "demo"]


@pytest.fixture
def caller(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody who takes the tour; all that it starts inherits the token."""
    places = {name: tmp_path / name.lower() for name in ("HOME", "TMPDIR", "XDG_CONFIG_HOME", "XDG_STATE_HOME")}
    for place in (*places.values(), tmp_path / "work"):
        place.mkdir()
    return os.environ | {name: str(place) for name, place in places.items()} | {"TOUR_TOKEN": str(tmp_path)}


def started(words: list[str], tmp_path: Path, caller: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        words,
        cwd=tmp_path / "work",
        env=caller,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )


def finished(words: list[str], tmp_path: Path, caller: dict[str, str]) -> tuple[int, str, str]:
    with started(words, tmp_path, caller) as tour:
        output, errors = tour.communicate()
    return tour.returncode, output, errors


def running(token: str) -> list[str]:
    """The command lines of all processes that inherited the token."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if f"TOUR_TOKEN={token}".encode() in (process / "environ").read_bytes().split(b"\0"):
                found.append((process / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue  # it has ended, or is another user's
    return found


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def passwords(directory: Path) -> list[str]:
    first, second = (path.read_text().strip() for path in directory.glob("*.password"))
    return [first, second]


def outside(tmp_path: Path) -> list[Path]:
    return [path for path in tmp_path.rglob("*") if path.is_file() and tmp_path / "work/demo" not in path.parents]


def test_the_tour_works_twice_and_leaves_nothing_behind(tmp_path: Path, caller: dict[str, str]) -> None:
    for _time in ("first", "second"):
        status, output, errors = finished(TOUR, tmp_path, caller)
        assert (status, errors) == (0, "")
        assert re.search(r"^request id is archive-1 \(6 file\(s\)\)$", output, re.MULTILINE)
        assert re.search(r"^Instrument: minicam        6 files       0 errors$", output, re.MULTILINE)
        assert re.search(r"^Instrument: spec           4 files       0 errors$", output, re.MULTILINE)
        assert len(re.findall(r"^archive/ARCHMINICAM/\d{4}\.\d{4}/img000\d\.fits ", output, re.MULTILINE)) == 6
        assert {"report.html", "report.svg"} <= {path.name for path in (tmp_path / "work/demo").iterdir()}
        assert not any(password in output for password in passwords(tmp_path / "work/demo"))
        assert not running(str(tmp_path))
    assert outside(tmp_path) == []


def test_a_failing_step_ends_the_tour_with_its_exit_status(tmp_path: Path, caller: dict[str, str]) -> None:
    ls = tmp_path / "ls"
    ls.write_text("#!/bin/sh\necho 'ls: no such luck' >&2\nexit 7\n")
    ls.chmod(0o755)
    status, output, errors = finished(TOUR, tmp_path, caller | {"PATH": f"{tmp_path}:{caller['PATH']}"})
    assert status == 7
    assert errors == "ls: no such luck\narchq: the tour ends here: ls failed with exit status 7, as it says above\n"
    assert "archq submit" not in output
    assert not running(str(tmp_path))


def test_without_the_extra_the_tour_says_what_to_install(tmp_path: Path, caller: dict[str, str]) -> None:
    status, output, errors = finished(TOUR_WITHOUT_ASTROPY, tmp_path, caller)
    assert (status, output) == (78, "")
    assert re.fullmatch(r"archq: the demonstration needs astropy, .* pip install 'archq\[demo\]'\n", errors)
    assert not (tmp_path / "work/demo").exists()


@pytest.mark.parametrize(("words", "name"), [([], "demo"), (["--directory", "thesis"], "thesis")])
def test_somebody_elses_directory_is_refused(
    words: list[str], name: str, tmp_path: Path, caller: dict[str, str]
) -> None:
    (tmp_path / "work" / name).mkdir()
    (tmp_path / "work" / name / "thesis.tex").write_text("precious")
    status, output, errors = finished([*COMMAND, *words], tmp_path, caller)
    assert (status, output) == (73, "")
    assert errors.startswith(f"archq: cannot make the demonstration in {name}: it is in use")
    assert (tmp_path / "work" / name / "thesis.tex").read_text() == "precious"


def test_an_interrupted_tour_cleans_up(tmp_path: Path, caller: dict[str, str]) -> None:
    incoming = tmp_path / "work/demo/site/files/incoming"
    with started(SLOW_TOUR, tmp_path, caller) as tour:
        eventually(lambda: tour.poll() is not None or (incoming.exists() and any(incoming.iterdir())))
        os.killpg(tour.pid, signal.SIGINT)
        output, errors = tour.communicate()
    assert tour.returncode == 130
    assert output.rstrip().endswith("$ archq ship --once")
    assert errors.endswith("archq: interrupted\n")
    assert "Traceback" not in errors
    assert eventually(lambda: not running(str(tmp_path)))
