"""The short way to ship, which nobody can tell from click's."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
from hypothesis import given
from hypothesis import strategies as some

from archq.commands import ship
from archq.sending import FLAGS, parsed
from tests.archq.instrument import Instrument

if TYPE_CHECKING:
    from pathlib import Path

# What takes milliseconds to load, and shipping into a directory has no use for.
SLOW = "asyncio bz2 click email paramiko shutil tabulate tempfile tomllib zoneinfo"
WORDS = """
    -d archive -darchive -d= --once --follow --on-demand --once=1 --onc -x --help -h -- - frame.fits
"""


def as_click_has_it(words: list[str]) -> dict[str, Any] | None:
    try:
        return ship.make_context("ship", list(words)).params
    except (click.ClickException, click.exceptions.Exit):
        return None


@given(some.lists(some.sampled_from(WORDS.split()), max_size=5))
def test_the_short_way_understands_what_click_does_and_no_more(words: list[str]) -> None:
    assert parsed(words) == as_click_has_it(words)


def test_the_short_way_knows_every_flag() -> None:
    flags = {name for parameter in ship.params for name in parameter.opts}
    assert {*FLAGS.plain, *(f"-{letter}" for letter in FLAGS.valued)} == flags


def test_what_the_short_way_cannot_take_is_told_by_click(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    assert "archq ship [OPTIONS]" in instrument.archq("ship", "--help").stdout
    told = instrument.archq("ship", "--never", status=2).stderr
    assert told.startswith("archq: no such option '--never'")
    assert told.endswith(" (see archq ship --help)\n")
    assert instrument.archq("ship", "--once", "--follow", status=2).stderr == (
        "archq: say --once or --follow, not both\n"
    )


def test_nothing_that_takes_long_to_load_is_loaded_to_ship_what_does_not_need_it(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    instrument.submit()
    script = "import sys; sys.argv = ['archq', 'ship', '--once']; from archq.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", script], capture_output=True, text=True, env=instrument.environment
    )
    assert (done.returncode, done.stdout) == (0, "")
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.splitlines()}
    assert "multiprocessing" in loaded
    assert not loaded & {*SLOW.split()}
    assert len([*(tmp_path / "incoming").iterdir()]) == 2
