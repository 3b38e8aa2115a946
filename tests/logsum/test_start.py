"""A plain report has two ways to its words, a short one and click's, which never disagree; and it waits for nothing."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import click
import pytest
from hypothesis import given
from hypothesis import strategies as some

from logsum.cli import BRIEF, NAMES, parsed
from logsum.commands import command

if TYPE_CHECKING:
    from pathlib import Path

    from tests.logsum.conftest import Logs

WORDS = """
    -i minicam -iminicam -ichelle -i all -B 2003-10-01 -B2003-10-01 -B2003-4-1 -B2003-02-30 -Bx -B -b 0 -b0 -b18.5 -b-1
    -b nan -bx -D 31 -D31 -D-1 -D1.5 -D -h -48 -h 48 -h48 -hx -n -nz MST -nzMST -zMST -z -l logs -f xferlog -v +v -nv
    -vn -vi minicam -niminicam -vb0 +vn -noon --noon -x - -- --help --version --unit MiB --by night --zone=MST
    --ftp-log-zone MST --ftp-log-zone=UTC --ftp-log-zone= --ftp-log --night 2026-11-20 --night=x --last-night
    --last-night=x --details --details= --month 2026-11 --month=2026-13 --since yesterday --until=now --until
"""
ASKED = "-v -i minicam -l logs -f xferlog --ftp-log-zone UTC --since=yesterday --until 18:00 --details"
LINES = some.lists(some.sampled_from([*WORDS.split(), ""]), max_size=7)


def as_click_has_it(arguments: list[str]) -> dict[str, Any] | None:
    try:
        context = command.make_context("logsum", list(arguments))
    except (click.ClickException, click.exceptions.Exit):
        return None
    return {**context.params, "order": context.meta["order"]}


def as_text(words: dict[str, Any] | None) -> str:
    return repr(words and sorted(words.items()))  # as text, since nan is not equal to itself


@given(LINES)
def test_the_short_way_understands_what_click_does(words: list[str]) -> None:
    for arguments in (words, ["-i", "minicam", *words]):
        if (short := parsed(arguments)) is not None:
            assert as_text(short) == as_text(as_click_has_it(arguments))


@given(LINES)
def test_the_short_way_leaves_no_call_in_options_of_one_letter_to_click(words: list[str]) -> None:
    letters = ["-i", "minicam", *(word for word in words if not word.startswith("--") and word != "-noon")]
    assert as_text(parsed(letters)) == as_text(as_click_has_it(letters))


def test_the_short_way_takes_what_a_report_of_a_server_s_log_is_asked_in() -> None:
    words = ASKED.split()
    found = parsed(words)
    assert found
    assert (found["ftp_log_zone"], found["since"], found["until"]) == ("UTC", "yesterday", "18:00")
    assert found["details"] is True
    assert as_text(found) == as_text(as_click_has_it(words))


def test_the_short_way_takes_the_original_s_calls() -> None:
    old = parsed(["-ichelle", "-B2003-10-01", "-D31", "-h", "-48", "-nz", "MST", "-v", "+v"])
    assert old
    assert old["order"] == ["instrument", "base", "days", "hours", "noon", "zone", "verbose", "verbose"]
    assert (old["instrument"], str(old["base"]), old["hours"], old["zone"]) == ("chelle", "2003-10-01", -48.0, "MST")
    assert (old["noon"], old["verbose"]) == (True, False)


def test_the_short_way_knows_every_option_of_one_letter() -> None:
    options = {name: one.name for one in command.params for name in (*one.opts, *one.secondary_opts)}
    known = {flag if flag.startswith("-") else f"-{flag}": name for flag, name in NAMES.items()} | {BRIEF: "verbose"}
    assert {name for name in options if len(name) == 2} <= {*known}
    assert known.items() <= options.items()


# What takes milliseconds to load, and what has no business where a text is printed of what was read.
SLOW = """
    ast asyncio calendar click concurrent contextlib copy csv dataclasses dateutil decimal fractions glob gzip hashlib
    inspect json locale logging matplotlib multiprocessing numpy pathlib random shutil signal socket statistics
    subprocess tabulate tempfile threading tomllib typing urllib zlib
"""
UNNEEDED = """
    archq.control archq.meter archq.signature archq.spool logsum.commands logsum.figures logsum.freshness logsum.ledgers
    logsum.output logsum.panels logsum.reconcile logsum.readers.spool logsum.render.charts logsum.render.data
    logsum.render.details logsum.render.differences logsum.render.html logsum.render.page logsum.render.plot
    logsum.render.svg
    logsum.words
"""


def test_nothing_that_takes_long_to_load_is_loaded_for_a_plain_report(logs: Logs, tmp_path: Path) -> None:
    for second in range(10, 20):
        wire = logs.tell(f"2026-11-20T03:14:{second}Z")
        logs.upload(f"2026-11-20T03:14:{second}Z", wire)
    (tmp_path / "archq.toml").write_text(f'[instrument.minicam]\nlogs = "{logs.directory}"\naliases = ["mini"]\n')
    arguments = f"logsum -i mini -f {logs.ftp_log} --ftp-log-zone UTC -nB2026-11-20 -D-1 -zMST7MDT".split()
    script = f"import sys; sys.argv = {arguments}; from logsum.cli import main; sys.exit(main())"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", script],
        capture_output=True,
        text=True,
        env={**os.environ, "ARCHQ_CONFIG": str(tmp_path / "archq.toml")},
    )
    assert (done.returncode, "Instrument: mini          10 files       0 errors\n" in done.stdout) == (0, True)
    assert "FTP performance for 10 files:\n" in done.stdout
    loaded = {line.rpartition("|")[2].strip() for line in done.stderr.splitlines()}
    assert "logsum.report" in loaded
    by_zoneinfo = {"threading"} if sys.version_info >= (3, 12) else set()  # with sysconfig, which it needs from then on
    assert {name.split(".")[0] for name in loaded} & {*SLOW.split()} <= by_zoneinfo
    assert loaded & {*UNNEEDED.split()} == set()


@pytest.mark.parametrize("more", [[], ["--reconcile"], ["--format", "csv"]], ids=["text", "differences", "data"])
def test_a_report_that_nobody_wants_to_see_is_no_bug_of_ours(logs: Logs, more: list[str]) -> None:
    logs.upload("2026-11-20T03:14:15Z", logs.tell("2026-11-20T03:14:15Z"))
    script = "import os, sys; os.close(1); os.execv(sys.executable, [sys.executable, '-c', *sys.argv[1:]])"
    logsum = "import sys; from logsum.cli import main; sys.exit(main())"
    words = ["-v", "-i", "minicam", "-l", str(logs.directory), "-f", str(logs.ftp_log), "-B2026-11-20", "-b0", "-D1"]
    done = subprocess.run([sys.executable, "-c", script, logsum, *words, *more], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (0, "")
