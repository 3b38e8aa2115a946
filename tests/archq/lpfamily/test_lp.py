"""archq-lp where the destination is a queue of ours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from archq.spool import CANCELLED, QUEUED
from tests.archq.lpfamily.conftest import DATA, identified

if TYPE_CHECKING:
    from tests.archq.lpfamily.conftest import Desk

HOUR = 3600 * 10**9


def test_a_data_system_s_call_queues_the_file(desk: Desk) -> None:
    done = desk.run("archq-lp", "-d", "archive", "-o", "inst=minicam,maxftp=60", desk.frame.name)
    assert (done.stdout, done.stderr, done.returncode) == (b"request id is archive-1 (1 file(s))\n", b"", 0)
    [file] = desk.files("archive-1")
    assert (file.control.instrument, file.control.options) == ("minicam", {"maxftp": "60"})
    assert file.control.path == str(desk.frame)
    with open(file.data_path, "rb") as copy:
        assert copy.read() == DATA


def test_several_files_are_one_request(desk: Desk) -> None:
    (desk.home / "-b.fits").write_bytes(b"b")
    done = desk.run(
        "archq-lp", "-darchive", "-q7", "-tnight", "-oinst=minicam", "-o", "a b=c", "--", desk.frame, "-b.fits"
    )
    assert done.stdout == b"request id is archive-1 (2 file(s))\n", done.stderr
    assert (desk.ticket("archive-1").priority, desk.ticket("archive-1").title) == (7, "night")
    first, second = desk.files("archive-1")
    assert (first.control.name, second.control.name) == ("img0001.fits", "-b.fits")
    assert second.control.options == {"a": "true", "b": "c"}


def test_standard_input_is_named_by_its_title(desk: Desk) -> None:
    for words in ((), ("-",)):
        done = desk.run("archq-lp", "-d", "archive", "-t", "x.fits", *words, data=DATA)
        assert done.returncode == 0, done.stderr
    assert [file.control.name for request in desk.queued() for file in desk.files(request)] == ["x.fits", "x.fits"]


@pytest.mark.parametrize("data", [None, b""])
def test_nothing_on_standard_input_is_a_forgotten_file(desk: Desk, data: bytes | None) -> None:
    done = desk.run("archq-lp", "-d", "archive", data=data)
    assert (done.stderr, done.returncode) == (b"archq-lp: No file in print request.\n", 1)
    assert desk.queued() == []


def test_silence_is_kept(desk: Desk) -> None:
    done = desk.run("archq-lp", "-cmsw", "-E", "-U", "somebody", "-n", "1", "-d", "archive", desk.frame)
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)
    assert desk.ticket("archive-1").mail


@pytest.mark.parametrize(
    ("words", "warning"),
    [
        (("-n", "2"), "copies option ignored."),
        (("-P", "1-2"), "page list option ignored."),
        (("-S", "ascii"), "character set option ignored."),
    ],
)
def test_options_without_a_meaning_for_data_are_ignored_with_a_warning(
    desk: Desk, words: tuple[str, ...], warning: str
) -> None:
    done = desk.run("archq-lp", "-d", "archive", *words, desk.frame)
    assert (done.stderr.decode(), done.returncode) == (f"archq-lp: Warning - {warning}\n", 0)
    assert desk.queued() == ["archive-1"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("-o", "remfoo=x"), "Error - -o remfoo: unknown; keywords that begin with rem are remhost, rempath, remuser"),
        (("-H", "noon"), "Error - -H noon: not hold, immediate or a local time such as 18:30 (in UTC: 01:30Z)"),
        (("-H", "25:00"), "Error - -H 25:00Z: not hold, immediate or a local time"),
        (("-i", "archive-7"), "Error - too many files - "),
    ],
)
def test_a_refused_request_leaves_nothing(desk: Desk, words: tuple[str, ...], message: str) -> None:
    done = desk.run("archq-lp", "-d", "archive", *words, desk.frame)
    assert done.stderr.decode().startswith(f"archq-lp: {message}")
    assert (done.stdout, done.returncode, done.stderr.count(b"\n")) == (b"", 1, 1)
    assert desk.queued() == []


def test_all_files_are_accepted_or_none(desk: Desk) -> None:
    done = desk.run("archq-lp", "-d", "archive", desk.frame, "missing")
    assert done.stderr == b'archq-lp: Error - unable to access "missing" - No such file or directory\n'
    assert (done.returncode, desk.queued()) == (1, [])


def test_a_time_of_day_is_utc_as_cups_has_it(desk: Desk) -> None:
    now = time.time_ns()
    wanted = time.gmtime((now + 3 * HOUR) // 10**9)
    for request, zone in (("archive-1", "UTC"), ("archive-2", "MST7"), ("archive-3", "Asia/Kolkata")):
        done = desk.run("archq-lp", "-d", "archive", "-H", time.strftime("%H:%M", wanted), desk.frame, TZ=zone)
        assert done.returncode == 0, done.stderr
        assert 2 * HOUR < desk.ticket(request).not_before - now <= 3 * HOUR


def test_the_default_is_lpdest_then_printer_then_the_configured_one(desk: Desk) -> None:
    desk.configure('default = "archive"')
    for variables in ({"LPDEST": "backups", "PRINTER": "archive"}, {"PRINTER": "backups"}, {"PRINTER": "lp"}, {}):
        assert desk.run("archq-lp", desk.frame, **variables).returncode == 0
    assert desk.queued() == ["backups-1", "backups-2", "archive-3", "archive-4"]


def test_a_request_is_changed_by_its_id(desk: Desk) -> None:
    request = desk.submit("-H", "hold")
    assert desk.ticket(request).hold
    words = ("-q", "80", "-o", "maxftp=0,observer=me", "-H", "resume")
    done = desk.run("archq-lp", "-i", request, *words)
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)
    ticket = desk.ticket(request)
    assert (ticket.priority, ticket.hold, ticket.maxftp) == (80, None, 0.0)
    assert desk.files(request)[0].control.options["observer"] == "me"
    assert desk.run("archq-lp", "-i", request, "-H", "hold", "-d", "backups").returncode == 0
    assert desk.queued() == ["backups-1"]
    assert desk.ticket("backups-1").hold


def test_a_cancelled_request_is_restarted(desk: Desk) -> None:
    request = desk.submit()
    assert desk.run("archq-cancel", request).returncode == 0
    assert desk.spool.find(identified(request))[0] == CANCELLED
    assert desk.run("archq-lp", "-i", request, "-H", "restart").returncode == 0
    assert desk.spool.find(identified(request))[0] == QUEUED


def test_a_request_that_is_not_there_is_told_as_lp_does(desk: Desk) -> None:
    done = desk.run("archq-lp", "-i", "archive-99", "-q", "1")
    assert (done.stderr, done.returncode) == (b"archq-lp: Job #99 does not exist.\n", 1)


def test_a_broken_configuration_stops_everything_before_data_go_to_a_printer(desk: Desk) -> None:
    (desk.home / "archq.toml").write_text("[queue.archive]\nurI = 'file:/x'\n")
    done = desk.run("archq-lp", "-d", "other", desk.frame)
    where = f"{desk.home}/archq.toml: [queue.archive] urI: unknown key; did you mean url?"
    assert (done.stderr.decode(), done.returncode) == (f"archq-lp: Error - {where}\n", 1)


def test_neither_click_nor_paramiko_is_loaded_to_queue_a_file(desk: Desk) -> None:
    done = desk.run("archq-lp", "-d", "archive", desk.frame, PYTHONPROFILEIMPORTTIME="1")
    loaded = {line.rpartition("|")[2].strip().split(".")[0] for line in done.stderr.decode().split("\n")}
    assert "archq" in loaded
    assert not loaded & {"click", "paramiko", "tabulate", "multiprocessing", "subprocess", "typing_extensions"}


@pytest.mark.parametrize("option", ["--help", "--version"])
def test_it_tells_about_itself(desk: Desk, option: str) -> None:
    for program in ("archq-lp", "archq-lpstat", "archq-cancel", "archq-lpmove"):
        done = desk.run(program, option)
        assert (done.stderr, done.returncode) == (b"", 0)
        assert program.encode() in done.stdout


def test_a_name_of_any_bytes_is_told_on_one_line(desk: Desk) -> None:
    done = desk.run("archq-lp", "-d", "archive", b"no\nsuch\xff\x1b[31m")
    assert (done.stderr.count(b"\n"), done.stderr.count(b"\x1b"), done.returncode) == (1, 0, 1)


def test_a_link_that_leads_nowhere_is_told(desk: Desk) -> None:
    (desk.home / "loop").symlink_to("loop")
    done = desk.run("archq-lp", "-d", "archive", "loop")
    assert done.stderr == b'archq-lp: Error - unable to access "loop" - Too many levels of symbolic links\n'
