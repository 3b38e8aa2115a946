"""What one request asks for is its own affair: no other request, no queue and nobody who looks is bothered with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from archq.instants import SECOND
from archq.shipping.queues import ship_once
from archq.shipping.schedule import Agenda, Candidate
from archq.spool import QUEUED, SENT, RequestId
from archq.spool.queuestate import QueueState
from tests.archq.instrument import Instrument

if TYPE_CHECKING:
    from pathlib import Path

UNREACHABLE = """
[queue.remote]
url = "sftp://tdcin@localhost:1/incoming"
"""


@pytest.fixture
def instrument(tmp_path: Path) -> Instrument:
    return Instrument.at(tmp_path)


def ship(instrument: Instrument, queue: str = "archive") -> list[str]:
    """Ship once and return the complaints."""
    complaints: list[str] = []
    ship_once(instrument.config, queue, complain=complaints.append)
    return complaints


def test_a_run_from_cron_leaves_a_request_for_later_to_a_later_run(instrument: Instrument) -> None:
    hour = time.localtime(time.time() + 7200).tm_hour
    later, now = instrument.submit(when=f"{hour}:00"), instrument.submit()
    assert ship(instrument) == []
    assert (instrument.spool.requests(QUEUED), instrument.spool.requests(SENT)) == ([later], [now])


def test_the_end_of_an_outage_makes_nothing_due_before_the_time_its_user_asked_for() -> None:
    agenda = Agenda()
    failed = Candidate(request=RequestId(1, "archive"), part=1, size=1, queued=0, next_try=90 * SECOND)
    later = Candidate(request=RequestId(2, "archive"), part=1, size=1, queued=0, not_before=60 * SECOND)
    agenda.add(failed)
    agenda.add(later)
    agenda.make_all_due()
    taken = agenda.take(SECOND)
    assert (taken and taken.request, agenda.take(SECOND)) == (failed.request, None)
    assert agenda.next_due(SECOND) == 60 * SECOND


def test_a_typing_error_in_remhost_makes_that_request_wait_and_not_its_queue(instrument: Instrument) -> None:
    text = (instrument.home / "archq.toml").read_text()
    (instrument.home / "archq.toml").write_text(text + UNREACHABLE)
    instrument.submit(queue="remote", options=["remhost=localhost:2,remuser=bob,rempath=/secret,rempw=sesame"])
    [complaint] = ship(instrument, "remote")
    assert complaint.startswith("remote-1 (img0001.fits): failed: sftp://remuser@remhost/rempath: cannot ")
    assert instrument.spool.queue_state("remote") == QueueState()
    shown = instrument.archq("status", "--json").stdout + instrument.archq("log").stdout + complaint
    assert not [secret for secret in ("localhost:2", "bob", "secret", "sesame") if secret in shown]
