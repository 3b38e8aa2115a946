"""What people do to requests after submission, with a real spool and a directory as the archive site."""

from __future__ import annotations

import os
import time
from datetime import datetime
from pathlib import Path

import pytest

from archq import changes
from archq.control import parse_control
from archq.errors import NoInputError, RefusedError, UsageError
from archq.instants import SECOND
from archq.shipping.queues import ship_once
from archq.spool import CANCELLED, QUEUED, SENT, RequestId
from archq.submission import not_before
from tests.archq.instrument import Instrument


@pytest.fixture
def instrument(tmp_path: Path) -> Instrument:
    return Instrument.at(tmp_path)


def ship(instrument: Instrument) -> int:
    return ship_once(instrument.config, None, complain=lambda line: None)


def place(instrument: Instrument, request: RequestId) -> str:
    return instrument.spool.find(request)[0]


def test_a_cancelled_request_is_not_sent_and_can_be_retried(instrument: Instrument) -> None:
    request = instrument.submit()
    changes.cancel(instrument.spool, request)
    assert ship(instrument) == 0
    assert (place(instrument, request), instrument.arrivals()) == (CANCELLED, [])
    changes.retry(instrument.config, instrument.spool, request)
    assert ship(instrument) == 0
    assert (place(instrument, request), instrument.arrivals()) == (SENT, ["minicam.1"])


def test_a_purged_request_is_gone_and_its_number_is_not_given_again(instrument: Instrument) -> None:
    request = instrument.submit()
    changes.cancel(instrument.spool, request, purge=True)
    with pytest.raises(NoInputError, match=f"there is no request {request}"):
        instrument.spool.find(request)
    assert instrument.submit().number == request.number + 1


def test_a_sent_request_is_not_cancelled_but_can_be_purged(instrument: Instrument) -> None:
    request = instrument.submit()
    ship(instrument)
    with pytest.raises(RefusedError, match=f"{request} was sent already; archq cancel --purge {request}"):
        changes.cancel(instrument.spool, request)
    changes.cancel(instrument.spool, request, purge=True)
    assert instrument.spool.requests(SENT) == []


def test_a_sent_request_is_sent_again_under_the_same_id_as_a_new_try(instrument: Instrument) -> None:
    request = instrument.submit()
    ship(instrument)
    changes.retry(instrument.config, instrument.spool, request)
    ship(instrument)
    assert instrument.arrivals() == ["minicam.1", "minicam.2"]
    ids = {parse_control(path.read_bytes()).id for path in (instrument.home / "incoming").glob("*.cf")}
    assert len(ids) == 1


def test_a_held_request_waits_until_it_is_released(instrument: Instrument) -> None:
    request = instrument.submit()
    changes.hold(instrument.spool, request, "bad seeing")
    assert ship(instrument) == 0
    assert instrument.arrivals() == []
    assert "held  img0001.fits\n    bad seeing\n" in instrument.archq("status").stdout
    changes.release(instrument.spool, request)
    ship(instrument)
    assert instrument.arrivals() == ["minicam.1"]


def test_a_held_queue_takes_requests_and_sends_nothing_until_it_is_released(instrument: Instrument) -> None:
    changes.hold_queue(instrument.config, instrument.spool, "archive", "100 % full\nat the archive")
    instrument.submit()
    assert ship(instrument) == 0
    assert instrument.arrivals() == []
    assert "the queue is held: 100 % full\\nat the archive" in instrument.archq("status").stdout
    changes.release_queue(instrument.config, instrument.spool, "archive")
    ship(instrument)
    assert instrument.arrivals() == ["minicam.1"]


def test_a_moved_request_keeps_its_number_and_is_found_under_its_old_id(instrument: Instrument) -> None:
    request = instrument.submit()
    moved = changes.move(instrument.config, instrument.spool, request, "other")
    assert str(moved) == "other-1"
    assert instrument.spool.find(request) == (QUEUED, moved)
    ship(instrument)
    assert (instrument.arrivals("incoming"), instrument.arrivals("other")) == ([], ["minicam.1"])


def test_a_request_is_not_moved_to_a_queue_that_does_not_take_its_instrument(instrument: Instrument) -> None:
    request = instrument.submit(options={"inst": "afoe"})
    with pytest.raises(UsageError, match="the queue other does not take the instrument 'afoe'"):
        changes.move(instrument.config, instrument.spool, request, "other")
    assert place(instrument, request) == QUEUED


def test_altered_options_travel_with_the_file(instrument: Instrument) -> None:
    request = instrument.submit(options={"inst": "minicam", "observer": "Lowell"})
    changes.alter(instrument.config, instrument.spool, request, options=["inst=megacam dir=flats"], priority=7)
    ship(instrument)
    (control,) = (parse_control(path.read_bytes()) for path in (instrument.home / "incoming").glob("*.cf"))
    assert (control.instrument, control.options) == ("megacam", {"observer": "Lowell", "dir": "flats"})
    assert instrument.spool.ticket(SENT, request).priority == 7


def test_a_request_that_was_sent_is_not_altered(instrument: Instrument) -> None:
    request = instrument.submit()
    ship(instrument)
    with pytest.raises(RefusedError, match=f"{request} is sent, not queued; archq retry {request} queues it again"):
        changes.alter(instrument.config, instrument.spool, request, priority=7)


def test_all_requests_of_a_queue_are_cancelled_at_once(instrument: Instrument) -> None:
    for _ in range(3):
        instrument.submit()
    instrument.archq("cancel", "-a", "-d", "archive")
    assert len(instrument.spool.requests(CANCELLED)) == 3


def test_of_several_requests_the_good_ones_are_done_and_the_bad_ones_told(instrument: Instrument) -> None:
    instrument.submit()
    done = instrument.archq("cancel", "archive-9", "archive-1", status=3)
    assert done.stderr.startswith("archq: there is no request archive-9 in the spool")
    assert instrument.spool.requests(CANCELLED) == [RequestId(1, "archive")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["cancel"], "name REQUESTs, or all of a queue with -a -d QUEUE"),
        (["cancel", "-a"], "name REQUESTs, or all of a queue with -a -d QUEUE"),
        (["hold"], "name REQUESTs, or a queue with -d QUEUE"),
        (["retry"], "name at least one REQUEST, such as archive-17 (archq status lists them)"),
        (["release", "17"], "not a request id such as archive-17: '17'"),
        (["move", "archive-1", "nowhere"], "there is no queue 'nowhere'"),
        (["alter", "-H", "noon", "archive-1"], "-H noon: not hold, immediate or a local time such as 18:30"),
        (["ship", "--once", "--follow"], "say --once or --follow, not both"),
    ],
)
def test_wrong_words_are_told_and_change_nothing(instrument: Instrument, words: list[str], message: str) -> None:
    request = instrument.submit()
    done = instrument.archq(*words, status=2)
    assert done.stderr.startswith(f"archq: {message}")
    assert done.stderr.count("\n") == 1
    assert place(instrument, request) == QUEUED


def test_a_time_of_day_is_the_next_one() -> None:
    now = int(datetime(2026, 11, 20, 18, 30).timestamp()) * SECOND
    assert not_before("19:00", now) == (None, now + 1800 * SECOND)
    assert not_before("18:30", now) == (None, int(datetime(2026, 11, 21, 18, 30).timestamp()) * SECOND)


def test_a_request_for_later_waits(instrument: Instrument) -> None:
    later = time.strftime("%H:%M", time.localtime(time.time() + 7200))
    instrument.submit(when=later)
    assert "submitted for later; next try in" in instrument.archq("status").stdout


def test_the_log_tells_the_story_of_a_request(instrument: Instrument) -> None:
    first, second = instrument.submit(), instrument.submit()
    changes.hold(instrument.spool, first, "bad seeing")
    changes.release(instrument.spool, first)
    ship(instrument)
    story = instrument.archq("log", str(first)).stdout
    assert [line.split()[2] for line in story.splitlines()] == ["queued", "held", "released", "sent"]
    assert "(bad seeing)" in story
    assert str(second) not in story


def test_what_a_killed_writer_left_does_not_go_with_what_was_sent(instrument: Instrument) -> None:
    request = instrument.submit()
    leftover = Path(instrument.spool.place(QUEUED, str(request), "request.new"))
    leftover.write_bytes(b"user=ob")
    instrument.spool.move(request, QUEUED, SENT)
    assert sorted(os.listdir(instrument.spool.place(SENT, str(request)))) == ["1.cf", "1.df", "request"]
