"""What the spool forgets, and what it never does."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from archq import changes
from archq.errors import TemporaryError
from archq.shipping.queues import ship_once
from archq.spool import CANCELLED, QUEUED, SENT, housekeeping
from archq.spool.housekeeping import keep_house, make_room
from tests.archq.instrument import Instrument

if TYPE_CHECKING:
    from pathlib import Path

    from archq.spool import RequestId

DAY = 86_400.0


@pytest.fixture
def instrument(tmp_path: Path) -> Instrument:
    return Instrument.at(tmp_path)


def sent(instrument: Instrument) -> RequestId:
    request = instrument.submit()
    ship_once(instrument.config, None, complain=lambda line: None)
    return request


def keep_house_later(instrument: Instrument, days: float) -> None:
    keep_house(instrument.spool, instrument.config, time.time() + days * DAY, lambda line: None)


def test_sent_and_cancelled_copies_are_kept_for_seven_days(instrument: Instrument) -> None:
    kept = sent(instrument)
    cancelled = instrument.submit()
    changes.cancel(instrument.spool, cancelled)
    keep_house_later(instrument, 6.9)
    assert (instrument.spool.requests(SENT), instrument.spool.requests(CANCELLED)) == ([kept], [cancelled])
    keep_house_later(instrument, 7.1)
    assert (instrument.spool.requests(SENT), instrument.spool.requests(CANCELLED)) == ([], [])


def test_what_was_tried_for_weeks_is_kept_no_less_long_once_it_is_sent_or_cancelled(instrument: Instrument) -> None:
    late, unwanted = instrument.submit(), instrument.submit()
    for request in (late, unwanted):
        file = instrument.spool.file(QUEUED, request, 1)
        instrument.spool.record(file, replace(file.state, tries=1, failures=1))
        os.utime(instrument.spool.place(QUEUED, str(request)), (1, 1))
    changes.cancel(instrument.spool, unwanted)
    ship_once(instrument.config, None, complain=lambda line: None)  # which keeps house at its end
    keep_house_later(instrument, 6.9)
    assert (instrument.spool.requests(SENT), instrument.spool.requests(CANCELLED)) == ([late], [unwanted])


def test_queued_requests_are_kept_for_ever(instrument: Instrument) -> None:
    request = instrument.submit()
    keep_house_later(instrument, 1000)
    assert instrument.spool.requests(QUEUED) == [request]


def test_logs_are_kept_for_thirty_days(instrument: Instrument) -> None:
    sent(instrument)
    keep_house_later(instrument, 29)
    assert len(os.listdir(instrument.spool.place("log"))) == 1
    keep_house_later(instrument, 31)
    assert os.listdir(instrument.spool.place("log")) == []


def test_the_oldest_sent_copies_go_first_when_there_is_no_room(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, young = sent(instrument), sent(instrument)
    os.utime(instrument.spool.place(SENT, str(old)), (1, 1))
    queued = instrument.submit()
    # A disk of which each kept request takes one byte: a real full disk would have to be filled for each case.
    monkeypatch.setattr(housekeeping, "free_space", lambda spool: 10 - len(spool.requests(SENT)))
    warnings: list[str] = []
    make_room(instrument.spool, 9, time.time(), warnings.append)
    assert (instrument.spool.requests(SENT), instrument.spool.requests(QUEUED)) == ([young], [queued])
    assert warnings == [f"the spool's disk is nearly full: the sent copies of {old} are removed before their time"]


def test_a_request_that_does_not_fit_beside_the_reserve_is_refused_and_nothing_is_queued(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path, top='reserve = "900TB"')
    done = instrument.archq("submit", instrument.frame(), status=75)
    assert "has no room for 500 B" in done.stderr
    assert "900.0 TB of which stay free (reserve): make room on its disk" in done.stderr
    with pytest.raises(TemporaryError):
        instrument.submit()
    assert instrument.spool.requests(QUEUED) == []
    assert os.listdir(instrument.spool.place("building")) == []
