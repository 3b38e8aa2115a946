"""Sweeping as files arrive."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from archq.config import Config
from archq.control import format_control
from archq.instants import parse_instant
from sweeper.job import Words, jobs_of
from sweeper.round import Round
from sweeper.sweep import Sweeper
from sweeper.watch import Alarm
from tests.sweeper.arrivals import Site, control_file, new_site, wire_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 60.0  # seconds: no test is about time, but none may wait for ever


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_site(tmp_path)


@contextmanager
def watching(site: Site, *words: str) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        site.command("-i", "minicam", "--watch", *words), env=site.environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


def until(condition: Callable[[], object]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up
        time.sleep(0.02)


def stopped(process: subprocess.Popen[str]) -> tuple[int, str]:
    process.send_signal(signal.SIGTERM)
    _output, errors = process.communicate(timeout=PATIENCE)
    return process.returncode, errors


def test_what_lies_there_and_what_comes_later_is_filed(site: Site) -> None:
    site.arrive(b"first", name="first.fits")
    with watching(site) as process:
        until(lambda: len(site.archived()) == 1)
        site.arrive(b"second", name="second.fits")
        until(lambda: len(site.outcomes()) == 2)
        assert stopped(process) == (0, "")
    assert sorted(site.archived()) == ["2026.1120/first.fits", "2026.1120/second.fits"]
    assert site.arrivals() == {}


def test_a_control_file_that_is_written_in_pieces_is_waited_for(site: Site) -> None:
    with watching(site) as process:
        until(lambda: (site.incoming / ".archq-work").exists())
        control = control_file(b"content")
        text = format_control(control)
        site.leave(control, b"content", text=text[:100])
        with (site.incoming / str(wire_of(control).control)).open("ab") as file:
            file.write(text[100:])
        until(lambda: site.archived())
        assert stopped(process) == (0, "")


@pytest.mark.parametrize(("watching", "logs"), [(True, ["20261120.tdcin.log"]), (False, ["20261119.tdcin.log"])])
def test_a_watch_writes_the_log_of_the_line_and_a_sweep_that_of_its_beginning(
    site: Site, monkeypatch, watching: bool, logs: list[str]
) -> None:
    words = Words(instrument="minicam", incoming=str(site.incoming), directory=str(site.archive))
    (job,) = jobs_of(Config(), words)
    midnight = parse_instant("2026-11-20T00:00:00Z")
    monkeypatch.setattr(time, "time_ns", lambda: midnight - 1)
    with Sweeper(job, log_by_line=watching) as sweeper:
        monkeypatch.setattr(time, "time_ns", lambda: midnight)
        site.arrive()
        Round(sweeper, frozenset(), midnight).file(sweeper.incoming.sightings(job.wants))
    assert [path.name for path in site.logs.iterdir() if not path.name.startswith(".")] == logs


def test_a_problem_is_told_once_and_the_watch_goes_on(site: Site, monkeypatch) -> None:
    monkeypatch.setattr("sweeper.watch.SWEEP", 0.05)
    site.archive.rmdir()
    site.arrive()

    def mend_and_end() -> None:
        time.sleep(0.5)  # some sweeps, so that the problem could be told more than once
        site.archive.mkdir()
        until(lambda: site.logs.exists() and site.outcomes())
        os.kill(os.getpid(), signal.SIGTERM)

    operator = threading.Thread(target=mend_and_end)
    operator.start()
    result = site.sweep("-i", "minicam", "--watch")
    operator.join()
    assert result.status == 0
    told = f"{site.archive} does not exist: mount it, or make it with mkdir -p {site.archive}"
    assert result.errors.count(f"sweeper: {told}\n") == 1
    assert len(re.findall(rf"sweeper: over after \d s: {re.escape(told)}\n", result.errors)) == 1
    assert site.outcomes() == ["filed"]


def test_a_command_that_takes_long_holds_up_nothing(site: Site) -> None:
    """The first one runs until the second arrival has been filed."""
    command = site.root / "on-filed"
    command.write_text(f'#!/bin/sh\nwhile [ ! -e "{site.archive}/2026.1120/second.fits" ]; do sleep 0.05; done\n')
    command.chmod(0o755)
    site.configuration.write_text(f'[instrument.minicam]\non_filed = "{command}"\n')
    with watching(site) as process:
        for name in ("first", "second"):
            site.arrive(name.encode(), name=f"{name}.fits")
            until(lambda expected=name: any(expected in path for path in site.archived()))
        until(lambda: not site.claims())
        assert stopped(process) == (0, "")
    assert site.outcomes() == ["filed", "filed"]


def test_what_is_owed_when_the_watch_ends_the_next_sweep_does(site: Site) -> None:
    command = site.root / "on-filed"
    command.write_text(f'#!/bin/sh\necho "$ARCHQ_PATH" >> "{site.root}/notes"\n[ -e "{site.root}/go" ] || sleep 1\n')
    command.chmod(0o755)
    site.configuration.write_text(f'[instrument.minicam]\non_filed = "{command}"\n')
    for number in range(5):
        site.arrive(b"%d" % number, name=f"{number}.fits")
    with watching(site) as process:
        until((site.root / "notes").exists)
        (site.root / "go").touch()
        assert stopped(process)[0] == 0
    assert site.sweep("-i", "minicam").status == 0
    assert len(set((site.root / "notes").read_text().split())) == 5


def written(path: Path) -> None:
    path.write_bytes(b"")


def renamed(path: Path) -> None:
    (path.parent.parent / "part").write_bytes(b"")
    (path.parent.parent / "part").rename(path)


def linked(path: Path) -> None:
    """As OpenSSH renames for a client that does not ask for the POSIX way, so that nothing is replaced."""
    (path.parent.parent / "part").write_bytes(b"")
    path.hardlink_to(path.parent.parent / "part")


def rid_of_its_first_name(path: Path) -> None:
    (path.parent / "part").unlink()


@pytest.mark.parametrize("arrive", [written, renamed, linked, rid_of_its_first_name])
def test_an_arrival_during_a_sweep_ends_the_next_wait_at_once(tmp_path: Path, monkeypatch, arrive) -> None:
    monkeypatch.setattr("sweeper.watch.LOOK", PATIENCE)
    monkeypatch.setattr("sweeper.watch.SWEEP", PATIENCE)
    (tmp_path / "incoming").mkdir()
    (tmp_path / "incoming" / "part").touch()
    with Alarm([str(tmp_path / "incoming")]) as alarm:
        alarm.note()
        arrive(tmp_path / "incoming" / "arrival")
        began = time.monotonic()
        alarm.wait()
        assert time.monotonic() - began < PATIENCE


def test_without_inotify_the_directorys_timestamp_tells(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("sweeper.watch._Events.listen", lambda *_: None)
    monkeypatch.setattr("sweeper.watch.LOOK", 0.01)
    monkeypatch.setattr("sweeper.watch.SWEEP", PATIENCE)
    with Alarm([str(tmp_path)]) as alarm:
        alarm.note()
        os.utime(tmp_path, (1, 1))
        began = time.monotonic()
        alarm.wait()
        assert time.monotonic() - began < PATIENCE


def test_the_wait_after_trouble_heeds_no_arrival(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("sweeper.watch.LOOK", 0.01)
    monkeypatch.setattr("sweeper.watch.SWEEP", 0.3)
    with Alarm([str(tmp_path)]) as alarm:
        alarm.note()
        (tmp_path / "arrival").write_bytes(b"")
        began = time.monotonic()
        alarm.wait(heeding=False)
        assert time.monotonic() - began >= 0.3
