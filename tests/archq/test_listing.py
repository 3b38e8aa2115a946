"""Rows fit a terminal, and are whole in a pipe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from archq import console
from archq.console import Colour
from archq.listing import queue_lines, queue_table, request_lines
from archq.meter import columns
from archq.status import FileStatus, QueueStatus, RequestStatus
from tests.archq.instrument import Instrument
from tests.terminal import left_of, written_by

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

SECOND = 1_000_000_000
NOW = 1_800_000_000 * SECOND
REASON = "ftp://tdcin@archive.example.edu/incoming: cannot connect: Connection refused"


def request(name: str, title: str, *, state: str = "queued", reason: str = "", files: int = 1) -> RequestStatus:
    file = FileStatus(
        name=title, id="x", size=2_000_000, state=state, tries=1, reason=reason, next_try=NOW + 30 * SECOND
    )
    return RequestStatus(
        request=name,
        queue="archive",
        user="observer",
        title=title,
        priority=50,
        queued=NOW - 90 * SECOND,
        size=2_000_000 * files,
        state=state,
        reason=reason,
        files=(file,) * files,
    )


def queue(name: str, *, state: str = "working", reason: str = "") -> QueueStatus:
    url = "sftp://tdcin@archive.example.edu/incoming"
    return QueueStatus(name=name, url=url, state=state, reason=reason, next_try=0, shipper=False, requests=3)


TWO = [
    request("archive-1", "img0001.fits"),
    request("archive-10000", f"the dome flats of a very long night, {'all ' * 12}of them", files=12),
]


def test_columns_are_as_wide_as_what_they_hold() -> None:
    assert [line.text for line in request_lines(TWO[:1], NOW, 80)] == [
        "archive-1  observer  2.0 MB  1 file  90 s  queued  img0001.fits"
    ]


def test_a_long_title_is_cut_on_a_terminal_and_whole_in_a_pipe() -> None:
    narrow, wide, piped = ([line.text for line in request_lines(TWO, NOW, width)] for width in (80, 200, None))
    assert narrow == [
        "archive-1      observer   2.0 MB  1 file    90 s  queued  img0001.fits",
        "archive-10000  observer  24.0 MB  12 files  90 s  queued  the dome flats of a v…",
    ]
    assert all(len(line) <= 80 for line in narrow)
    assert wide == piped
    assert piped[1].endswith("all all of them")


def test_a_reason_is_broken_between_words_and_never_cut() -> None:
    waiting = request("archive-1", "img0001.fits", state="waiting", reason=REASON)
    lines = [line.text for line in request_lines([waiting], NOW, 60)]
    assert lines[1:] == [
        "    ftp://tdcin@archive.example.edu/incoming: cannot",
        "    connect: Connection refused; next try in 30 s",
    ]
    assert [line.text for line in request_lines([waiting], NOW, None)][1:] == [f"    {REASON}; next try in 30 s"]


def test_what_steers_a_terminal_is_as_wide_as_it_is_shown() -> None:
    [line] = request_lines([request("archive-1", "\x1b[2J" * 20)], NOW, 80)
    assert line.text.endswith(r"\x1b[2J\x1b[2J…")
    assert len(line.text) == 80


def test_signs_that_take_two_columns_are_counted_so() -> None:
    lines = [line.text for line in request_lines([request("archive-1", "すばる望遠鏡" * 5)], NOW, 80)]
    assert lines == ["archive-1  observer  2.0 MB  1 file  90 s  queued  すばる望遠鏡すばる望遠鏡すば…"]
    assert columns(lines[0]) == 80


def test_nothing_queued_is_nothing_shown() -> None:
    assert list(request_lines([], NOW, 80)) == []


@pytest.mark.parametrize(
    ("state", "colour"),
    [("queued", Colour.PLAIN), ("waiting", Colour.YELLOW), ("held", Colour.YELLOW), ("blocked", Colour.RED)],
)
def test_what_needs_somebody_stands_out(state: str, colour: Colour) -> None:
    assert next(request_lines([request("archive-1", "x", state=state)], NOW, 80)).colour is colour
    assert next(queue_lines(queue("archive", state=state, reason=REASON), NOW, 80)).colour is colour


def test_the_table_of_queues_has_what_is_wrong_below() -> None:
    queues = [queue("archive", state="blocked", reason=REASON), queue("other")]
    assert [line.text for line in queue_table(queues, "archive", 80)] == [
        "queue              destination                                  queued  state",
        "archive (default)  sftp://tdcin@archive.example.edu/incoming         3  blocked",
        "    ftp://tdcin@archive.example.edu/incoming: cannot connect: Connection refused",
        "other              sftp://tdcin@archive.example.edu/incoming         3  working",
    ]
    assert [line.text for line in queue_table(queues, "archive", 60)][:2] == [
        "queue              destination               queued  state",
        "archive (default)  sftp://tdcin@archive.…         3  blocked",
    ]
    assert len(list(queue_table(queues, "archive", None))) == 4


def test_a_queue_that_is_called_like_a_number_is_shown_as_it_is_called() -> None:
    lines = [line.text for line in queue_table([queue("007"), queue("1e3")], None, None)]
    assert [line.split()[0] for line in lines] == ["queue", "007", "1e3"]


# The command itself, on a terminal.

STATUS = "import sys; sys.argv = ['archq', {words}]; from archq.cli import main; main()"


@pytest.fixture
def waiting(tmp_path: Path) -> Mapping[str, str]:
    """The environment of an instrument with a long title, of which one request is held."""
    instrument = Instrument.at(tmp_path)
    instrument.submit(title="a title that goes on and on " * 5)
    instrument.submit(when="hold")
    return instrument.environment


def test_status_fits_the_terminal_it_is_shown_on(waiting: Mapping[str, str]) -> None:
    lines = left_of(written_by(STATUS.format(words="'status'"), environment={**waiting, "NO_COLOR": "1"}))
    assert max(map(len, lines)) == 80
    assert [line for line in lines if line.endswith("…")] != []


def test_a_held_request_is_yellow_on_a_terminal_unless_colours_are_unwanted(waiting: Mapping[str, str]) -> None:
    coloured = {name: value for name, value in waiting.items() if name != "NO_COLOR"}
    script = STATUS.format(words="'status'")
    assert "\x1b[33marchive-2 " in written_by(script, environment=coloured)
    for plain in ({"NO_COLOR": "1"}, {"TERM": "dumb"}):
        assert "\x1b" not in written_by(script, environment={**coloured, **plain})


def test_what_doctor_finds_wrong_is_red_and_broken_between_words(waiting: Mapping[str, str], tmp_path: Path) -> None:
    (tmp_path / "incoming").rmdir()
    coloured = {name: value for name, value in waiting.items() if name != "NO_COLOR"}
    written = written_by(STATUS.format(words="'doctor', '-d', 'archive'"), status=69, environment=coloured)
    assert "\x1b[31m  directory:     failed: cannot enter the directory: no such file or" in written
    assert written.count("\x1b[31m") >= 2
    assert "\x1b[31mspool:" not in written


def test_a_pipe_gets_neither_colours_nor_cut_lines(waiting: Mapping[str, str], capfd: pytest.CaptureFixture) -> None:
    assert console.width() is None
    status = os.spawnvpe(os.P_WAIT, "sh", ["sh", "-c", "python3 -m archq.cli status"], {**waiting})
    out = capfd.readouterr().out
    assert (status, "\x1b" in out, "…" in out) == (0, False, False)
