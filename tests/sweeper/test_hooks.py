"""What an instrument wants to be done with each file that was filed."""

from __future__ import annotations

import os
import signal
import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.sweeper.arrivals import SILENT_SUCCESS, Site, control_file

if TYPE_CHECKING:
    from pathlib import Path


def configure(site: Site, script: str, limit: str = "60s") -> Path:
    """Make a command of ``script``; return the file that it may append to, in its environment as NOTES."""
    command = site.root / "on filed"
    command.write_text(f"#!/bin/sh\nNOTES='{site.root}/notes'\n{script}\n")
    command.chmod(0o755)
    site.configuration.write_text(
        f'[instrument.minicam]\non_filed = "\'{command}\' word"\non_filed_limit = "{limit}"\n'
    )
    return site.root / "notes"


def test_the_command_is_run_for_each_file_that_was_filed_and_no_other(site: Site) -> None:
    notes = configure(site, 'echo "$1 $ARCHQ_OUTCOME $ARCHQ_PATH" >> "$NOTES"')
    site.arrive(b"one", name="one.fits")
    site.arrive(b"one", name="one.fits")
    site.arrive(b"two", name="one.fits")
    site.leave(control_file(b"bad", name="bad.fits"), b"BAD")
    assert site.sweep("-i", "minicam").status == 3
    assert sorted(notes.read_text().splitlines()) == [
        "word conflict 2026.1120/one~2.fits",
        "word filed 2026.1120/one.fits",
    ]
    assert site.claims() == []


def test_the_facts_are_in_its_environment(site: Site) -> None:
    notes = configure(site, 'env | grep ^ARCHQ_ > "$NOTES"; cat "$ARCHQ_FILE" >> "$NOTES"; pwd >> "$NOTES"')
    control = site.arrive(b"content\n", name="a b.fits", host="pack\0rat")
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    told = notes.read_text().splitlines()
    assert told[-2:] == ["content", "/"]
    facts = dict(line.split("=", 1) for line in told[:-2])
    assert facts["ARCHQ_FILE"] == str(site.archive / "2026.1120" / "a b.fits")
    assert facts["ARCHQ_INSTRUMENT"] == "minicam"
    assert facts["ARCHQ_CHECKSUM"] == str(control.checksum)
    assert facts["ARCHQ_REQUEST"] == "archive-17"
    assert "ARCHQ_HOST" not in facts  # no environment can hold a NUL


FAILURES = {
    "a wrong status": (
        "echo first; echo what went wrong >&2; exit 7",
        "60s",
        "failed with exit status 7: what went wrong",
    ),
    "a signal": ("kill -TERM $$", "60s", "failed with signal 15"),
    "too long a time": ("sleep 100 & wait", "0.2s", "took more than 0 s and was ended"),
}


@pytest.mark.parametrize(("script", "limit", "reason"), FAILURES.values(), ids=FAILURES)
def test_its_failure_is_logged_and_told_and_stops_nothing(site: Site, script: str, limit: str, reason: str) -> None:
    configure(site, script, limit)
    site.arrive(b"one", name="one.fits")
    site.arrive(b"two", name="two.fits")
    result = site.sweep("-i", "minicam")
    assert result.status == 3
    assert result.errors.count(f": on_filed {reason}\n") == 2
    assert len(site.archived()) == 2
    assert site.arrivals() == {}
    assert sorted(site.outcomes()) == ["error", "error", "filed", "filed"]
    assert site.lines()[-1].facts["reason"] == f"on_filed {reason}"
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS


@pytest.mark.parametrize(
    ("command", "reason"),
    [("/no/such/command", "No such file or directory"), ("'unbalanced", "No closing quotation")],
)
def test_a_command_that_cannot_be_run_is_told(site: Site, command: str, reason: str) -> None:
    site.configuration.write_text(f'[instrument.minicam]\non_filed = "{command}"\n')
    site.arrive()
    result = site.sweep("-i", "minicam")
    assert result.status == 3
    assert "on_filed cannot be run: " in result.errors
    assert reason in result.errors
    assert len(site.archived()) == 1


def test_what_a_dead_sweeper_still_owed_its_successor_runs(site: Site) -> None:
    """The first command kills the sweeper that has run it."""
    notes = configure(site, '[ -e "$NOTES" ] || { echo first > "$NOTES"; kill -KILL $PPID; }; echo done >> "$NOTES"')
    for number in range(3):
        site.arrive(b"%d" % number, name=f"{number}.fits")
    killed = subprocess.run(site.command("-i", "minicam"), env=site.environment(), check=False, capture_output=True)
    assert killed.returncode == -signal.SIGKILL
    assert len(site.archived()) == 3
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert notes.read_text().count("done") >= 3
    assert site.outcomes() == ["filed"] * 3
    assert site.claims() == []


def test_a_sweeper_killed_before_it_had_noted_what_it_owes_owes_it_all_the_same(site: Site, monkeypatch) -> None:
    notes = configure(site, 'echo "$ARCHQ_WIRE" >> "$NOTES"')
    control = site.arrive()
    monkeypatch.setattr("sweeper.hooks.owe", lambda *_, **__: os._exit(1))
    if not (child := os.fork()):
        site.sweep("-i", "minicam")
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 1
    monkeypatch.undo()
    assert site.outcomes() == ["filed"]
    assert not notes.exists()
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert notes.read_text() == f"minicam.{control.id}.1.df\n"
    assert site.outcomes() == ["filed"]
