"""A problem is told when it begins, when it ends, and now and then between: never every ten minutes."""

from __future__ import annotations

import errno
import os
import re
import time
from dataclasses import replace

import pytest

from sweeper.report import Problem, Report
from sweeper.telling import Told, news_of
from tests.sweeper.arrivals import SILENT_SUCCESS, Site, control_file, wire_of

HOUR = 3600.0
FULL = Problem(key="archive disk full: /a", message="archive disk full: 37 arrivals (148 GB) wait, oldest 2 h")


def test_a_problem_is_told_when_it_begins() -> None:
    assert news_of([FULL], {}, 0.0, 6 * HOUR) == ([FULL.message], {FULL.key: Told(since=0.0, last=0.0)})


def test_it_is_not_told_again_before_it_is_time_though_its_numbers_change() -> None:
    fuller = replace(FULL, message="archive disk full: 38 arrivals (152 GB) wait, oldest 3 h")
    told = {FULL.key: Told(since=0.0, last=0.0)}
    assert news_of([fuller], told, 6 * HOUR - 1, 6 * HOUR) == ([], told)
    messages, telling = news_of([fuller], told, 6 * HOUR, 6 * HOUR)
    assert messages == [f"{fuller.message} (for 6 h now)"]
    assert telling == {FULL.key: Told(since=0.0, last=6 * HOUR)}


def test_its_end_is_told() -> None:
    told = {FULL.key: Told(since=0.0, last=6 * HOUR)}
    assert news_of([], told, 7 * HOUR, 6 * HOUR) == (["over after 7 h: archive disk full: /a"], {})


def test_a_change_is_told_as_an_end_and_a_beginning() -> None:
    other = Problem(key="not permitted", message="not permitted")
    told = {FULL.key: Told(since=0.0, last=0.0)}
    messages, telling = news_of([other], told, HOUR, 6 * HOUR)
    assert messages == ["not permitted", "over after 60 min: archive disk full: /a"]
    assert list(telling) == ["not permitted"]


def test_what_began_as_an_event_is_not_told_twice() -> None:
    begun = replace(FULL, begun=True)
    messages, told = news_of([begun], {}, 0.0, HOUR)
    assert messages == []
    assert news_of([begun], told, HOUR, HOUR)[0] == [f"{FULL.message} (for 60 min now)"]


@pytest.mark.parametrize(
    ("call", "place"), [("listdir", "incoming"), ("scandir", "incoming"), ("utime", "incoming/.archq-work/{uid}")]
)
def test_a_directory_that_its_disk_does_not_give_back_is_named(site: Site, monkeypatch, call: str, place: str) -> None:
    site.arrive(b"content")
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    where, real = site.root / place.format(uid=os.geteuid()), getattr(os, call)

    def broken(name, *words, **more) -> object:
        if isinstance(name, int) and os.readlink(f"/proc/self/fd/{name}") == str(where):
            raise OSError(errno.EIO, os.strerror(errno.EIO), name)  # of an open directory its number
        return real(name, *words, **more)

    monkeypatch.setattr(os, call, broken)
    result = site.sweep("-i", "minicam")
    assert (result.status, result.errors) == (74, f"sweeper: cannot work in {where}: Input/output error\n")


def test_a_disk_that_is_full_all_day_is_told_four_times_and_not_144(site: Site, monkeypatch) -> None:
    """As cron would mail it, which sweeps every ten minutes."""
    site.arrive(b"content")
    monkeypatch.setattr("sweeper.filing.free_space", lambda _directory: 0)
    monkeypatch.setattr("sweeper.filing.Filer._is_near", lambda *_: False)  # on another disk
    began = time.time()
    mails = []
    for minute in range(0, 24 * 60, 10):
        monkeypatch.setattr("sweeper.telling.time.time", lambda now=began + minute * 60: now)
        result = site.sweep("-i", "minicam")
        assert result.status == 74
        mails += [re.sub(r"oldest \d+ s", "oldest 0 s", result.errors)] if result.errors else []
    full = f"sweeper: archive disk full: 1 arrival (7 B) waits, oldest 0 s: make room in {site.archive}"
    assert mails == [f"{full}\n", *[f"{full} (for {hours} h now)\n" for hours in (6, 12, 18)]]


def test_incomplete_arrivals_are_reminded_of_as_long_as_they_lie_there(site: Site) -> None:
    site.configuration.write_text('[sweeper]\nremind = "0s"\n')
    control = site.arrive()
    (site.incoming / str(wire_of(control).control)).unlink()
    os.utime(site.incoming / str(wire_of(control)), (1, 1))
    assert " is stale: no control file for " in site.sweep("-i", "minicam").errors
    again = site.sweep("-i", "minicam").errors
    assert again.startswith(f"sweeper: 1 incomplete in {site.incoming}, the oldest {wire_of(control)}: no control file")
    (site.incoming / str(wire_of(control))).unlink()
    assert site.sweep("-i", "minicam").errors == f"sweeper: over after 0 s: incomplete arrivals in {site.incoming}\n"


def test_of_many_events_some_are_told_and_the_others_counted() -> None:
    report = Report()
    for number in range(30):
        report.happened(f"event {number}")
    assert report.news == [*[f"event {number}" for number in range(10)], "and 20 more: the transfer log has all"]


def test_rejected_arrivals_are_told_at_once_and_reminded_of_until_they_are_removed(site: Site) -> None:
    site.configuration.write_text('[sweeper]\nremind = "0s"\n')
    site.leave(control_file(b"content"), b"conte")
    first = site.sweep("-i", "minicam")
    assert (first.status, first.errors.count("\n")) == (3, 1)
    again = site.sweep("-i", "minicam")
    place = site.incoming / ".archq-rejected" / str(os.geteuid())
    assert again.status == 0
    assert again.errors == (
        f"sweeper: 1 rejected arrival lies in {place}, the oldest for 0 s: see the reason beside it, "
        "then send it again or remove it (for 0 s now)\n"
    )
    (rejected,) = place.iterdir()
    for path in rejected.iterdir():
        path.unlink()
    rejected.rmdir()
    assert site.sweep("-i", "minicam").errors == f"sweeper: over after 0 s: rejected arrivals lie in {place}\n"
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS


def test_where_nothing_can_be_remembered_everything_is_told_each_time(site: Site) -> None:
    (site.root / "state").write_text("not a directory")
    site.leave(control_file(b"content"), b"content", text=b"archq=2\n")
    for _ in range(2):
        assert "version 2" in site.sweep("-i", "minicam").errors


def test_a_damaged_memory_is_begun_afresh(site: Site) -> None:
    site.leave(control_file(b"content"), b"content", text=b"archq=2\n")
    site.sweep("-i", "minicam")
    (memory,) = (site.root / "state" / "archq-sweeper").iterdir()
    for content in (b"", b"[]", b'{"a": 1}', b"\xff"):
        memory.write_bytes(content)
        assert "version 2" in site.sweep("-i", "minicam").errors
        assert site.sweep("-i", "minicam").errors == ""


def test_an_error_that_ends_a_sweep_is_told_once_as_well(site: Site) -> None:
    site.archive.rmdir()
    first = site.sweep("-i", "minicam")
    assert first.status == 73
    assert f"{site.archive} does not exist" in first.errors
    again = site.sweep("-i", "minicam")
    assert (again.status, again.errors) == (73, "")
    assert f"{site.archive} does not exist" in site.sweep("-i", "minicam", "-v").errors
    site.archive.mkdir()
    assert site.sweep("-i", "minicam").errors.startswith(f"sweeper: over after 0 s: {site.archive} does not exist")
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
