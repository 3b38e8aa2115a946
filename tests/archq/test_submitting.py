"""`archq submit` has two ways to its words, a short one and click's, which never disagree; and it waits for nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as some

from archq.commands import submit
from archq.submitting import FLAGS, parsed
from tests.archq.instrument import Instrument
from tests.archq.shipping.test_following import eventually, owners

if TYPE_CHECKING:
    from pathlib import Path

# What takes milliseconds to load, and what has no business where nothing is sent.
SLOW = """
    ast asyncio click collections contextlib ctypes dataclasses datetime enum functools hashlib inspect json logging
    paramiko pathlib re shlex shutil signal socket subprocess tabulate tempfile threading tomllib typing urllib zoneinfo
"""
WORDS = """
    -d archive -darchive -o inst=minicam -oa=b -q 50 -q7 -q -q0 -q101 -q1x -H hold -H18:30 -t title -t -c -m -s -w -sw
    -q0100000 -cmsw -swq9 -so a=b -x --help -h --version -- - frame.fits
"""
LINES = some.lists(some.sampled_from(WORDS.split()), max_size=6)


def as_click_has_it(words: list[str]) -> dict[str, Any] | None:
    try:
        wishes = submit.make_context("submit", list(words)).params
    except (click.ClickException, click.exceptions.Exit):
        return None
    del wishes["_copy"]  # archq always does
    return {key: list(value) if isinstance(value, tuple) else value for key, value in wishes.items()}


@given(LINES)
def test_the_short_way_understands_what_click_does_and_no_more(words: list[str]) -> None:
    assert parsed(words) == as_click_has_it(words)


def test_the_short_way_knows_every_flag() -> None:
    flags = {name for parameter in submit.params for name in parameter.opts if name.startswith("-")}
    assert {f"-{letter}" for letter in (*FLAGS.plain, *FLAGS.valued)} == flags


@pytest.mark.parametrize("command", ["archq-lp", "archq submit"])
@pytest.mark.parametrize("autostart", [False, True], ids=["nothing is started", "a shipper is started"])
def test_nothing_that_takes_long_to_load_is_loaded_to_queue_a_file(
    tmp_path: Path, command: str, autostart: bool
) -> None:
    top = 'keep = "7d"\nreserve = "5MB"'
    queue = 'rate_limit = "20MB/s"\nsign_key = "site1:/etc/archq/sign.key"\nchecksum = "sha256"'
    instrument = Instrument.at(tmp_path, top=top, queue=queue, autostart=autostart)
    options = ["-d", "archive", "-o", "inst=minicam,maxftp=60", "-t", "a title", "-q", "10"]
    arguments = [*command.split(), *options, str(instrument.frame())]
    module = "archq.cli" if command == "archq submit" else "archq.lpfamily.lp"
    script = f"import sys; sys.argv = {arguments}; from {module} import main; main()"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", script], capture_output=True, text=True, env=instrument.environment
    )
    if autostart:
        eventually(lambda: owners(instrument))
        for owner in owners(instrument):
            os.kill(owner, signal.SIGKILL)
    assert (done.returncode, done.stdout) == (0, "request id is archive-1 (1 file(s))\n")
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "archq.submission" in loaded
    assert not {name.split(".")[0] for name in loaded} & {*SLOW.split()}
    assert ("archq.shipping.starting" in loaded) == autostart


def test_what_the_short_way_cannot_take_is_told_by_click(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    frame = instrument.frame()
    assert "archq submit [OPTIONS] FILE" in instrument.archq("submit", "--help").stdout
    for word, complaint in {"-x": "archq: no such option", "-q0": "archq: invalid value for '-q'"}.items():
        told = instrument.archq("submit", word, frame, status=2).stderr
        assert told.startswith(complaint)
        assert told.endswith(" (see archq submit --help)\n")
    assert "requires an argument" in instrument.archq("submit", frame, "-d", status=2).stderr
