"""What an operator sees who looks for a reason: nothing in silence, nothing twice, and what to do about it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from archq import changes, submission
from archq.shipping.queues import ship_once
from archq.spool import QUEUED
from tests.archq.instrument import Instrument

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def instrument(tmp_path: Path) -> Instrument:
    return Instrument.at(tmp_path)


def ship(instrument: Instrument) -> list[str]:
    complaints: list[str] = []
    ship_once(instrument.config, "archive", complain=complaints.append)
    return complaints


def configure(instrument: Instrument, old: str, new: str) -> None:
    path = instrument.home / "archq.toml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_the_log_begins_with_the_submission(instrument: Instrument) -> None:
    request = instrument.submit("a.fits", "b.fits")
    [line] = instrument.archq("log", str(request)).stdout.splitlines()
    assert line.split()[1:3] == ["archive-1", "queued"]
    assert line.endswith(" files=2 bytes=1000")


def test_the_log_of_a_moved_request_goes_back_to_its_old_queue(instrument: Instrument) -> None:
    request = instrument.submit()
    changes.move(instrument.config, instrument.spool, request, "other")
    story = [line.split()[1:3] for line in instrument.archq("log", "other-1").stdout.splitlines()]
    assert story == [["archive-1", "queued"], ["other-1", "moved"]]


def test_a_request_that_never_was_has_no_log(instrument: Instrument) -> None:
    done = instrument.archq("log", "archive-99", status=66)
    assert done.stderr == f"archq: there is no request archive-99 in the spool {instrument.home}/spool\n"


def test_the_log_tells_when_a_queue_stops_working_and_when_it_works_again(instrument: Instrument) -> None:
    instrument.submit()
    (instrument.home / "incoming").rename(instrument.home / "gone")
    [complaint] = ship(instrument)
    assert complaint.startswith("queue archive is blocked: ")
    (instrument.home / "gone").rename(instrument.home / "incoming")
    assert ship(instrument) == []
    story = [line.split()[1:3] for line in instrument.archq("log").stdout.splitlines()]
    assert sorted(story[1:]) == [["archive", "blocked"], ["archive", "working"], ["archive-1", "sent"]]


def test_requests_of_a_queue_that_is_configured_no_more_are_not_forgotten(instrument: Instrument) -> None:
    instrument.submit()
    configure(instrument, "archive", "archive2")
    lines = instrument.archq("status").stdout.splitlines()
    assert lines[2] == (
        f"queue archive: not in {instrument.home}/archq.toml, so nobody sends its 1 request: archq move archive QUEUE, "
        "or archq cancel -a -d archive"
    )
    assert instrument.archq("move", "archive", "archive2").stdout == "archive-1 is now archive2-1\n"
    assert [str(request) for request in instrument.spool.requests(QUEUED)] == ["archive2-1"]


@pytest.mark.parametrize("command", ["status", "queues", "ship"])
def test_without_any_queue_a_command_says_where_it_looked(instrument: Instrument, command: str) -> None:
    (instrument.home / "archq.toml").write_text(f'spool = "{instrument.home}/spool"\n')
    done = instrument.archq(command, status=78)
    assert done.stderr == (
        f"archq: no queue is configured ({instrument.home}/archq.toml): add [queue.NAME] with its url\n"
    )


def test_altering_nothing_is_an_error(instrument: Instrument) -> None:
    request = instrument.submit()
    done = instrument.archq("alter", str(request), status=2)
    assert done.stderr == "archq: say what to change: options with -o, the priority with -q or the time with -H\n"


def test_standard_input_is_one_file(instrument: Instrument) -> None:
    done = instrument.archq("submit", "-t", "x.fits", "-", "-", status=2, stdin=subprocess.DEVNULL)
    assert done.stderr == "archq: standard input can be read once only: name - once\n"


def test_a_closed_standard_input_queues_nothing(instrument: Instrument) -> None:
    done = subprocess.run(
        ["sh", "-c", 'exec "$0" -m archq.cli submit - <&-', sys.executable],
        env=instrument.environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 66
    assert done.stderr.startswith("archq: standard input is closed: ")
    assert instrument.spool.requests(QUEUED) == []


def test_a_request_that_is_queued_is_named_even_where_no_shipper_can_be_started(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_words: object, **_settings: object) -> bool:
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(submission, "wake", fail)
    warnings: list[str] = []
    request = instrument.submit(warn=warnings.append)
    assert warnings == [
        "archive-1 is queued, but cannot start what sends it: Resource temporarily unavailable: say archq ship"
    ]
    assert instrument.spool.requests(QUEUED) == [request]


def test_an_id_that_cannot_be_printed_is_told_all_the_same(instrument: Instrument) -> None:
    with open("/dev/full", "w") as full:
        done = instrument.begin("submit", instrument.frame(), stdout=full)
        _output, errors = done.communicate(timeout=60)
    assert done.returncode == 74
    assert errors == "archq: archive-1 is queued, but its id cannot be printed: No space left on device\n"
