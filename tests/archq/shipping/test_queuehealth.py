"""An outage is the queue's error; an error that only one file meets is that file's."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest

from archq.instants import SECOND
from archq.shipping.queuehealth import QueueHealth
from archq.shipping.worker import Failure
from archq.spool import RequestId
from archq.spool.queuestate import QueuePhase, QueueState
from archq.transports.base import Scope

BIG, SMALL = (RequestId(1, "archive"), 1), (RequestId(2, "archive"), 1)
FULL = Failure(message="the disk there is full", scope=Scope.QUEUE, permanent=False)
REFUSED = Failure(message="cannot log in", scope=Scope.QUEUE, permanent=True)


class Notebook:
    def __init__(self) -> None:
        self.states: list[QueueState] = []
        self.lines: list[str] = []
        self.health = QueueHealth("archive", QueueState(), record=self.states.append, complain=self.lines.append)


@pytest.fixture
def notebook() -> Notebook:
    return Notebook()


def test_a_temporary_error_makes_the_queue_wait_at_most_a_minute(notebook: Notebook) -> None:
    for _ in range(20):
        notebook.health.failed(SMALL, FULL)
    state = notebook.health.state
    assert (state.phase, state.failures, state.reason) == (QueuePhase.WAITING, 20, "the disk there is full")
    assert state.next_try - time.time_ns() <= 60 * SECOND


def test_a_permanent_error_blocks_the_queue_and_is_probed_after_a_quarter_of_an_hour(notebook: Notebook) -> None:
    notebook.health.failed(SMALL, REFUSED)
    assert notebook.health.state.phase is QueuePhase.BLOCKED
    assert 890 * SECOND < notebook.health.state.next_try - time.time_ns() <= 900 * SECOND


def test_the_same_error_is_told_once_and_another_one_again(notebook: Notebook) -> None:
    for failure in (FULL, FULL, REFUSED):
        notebook.health.failed(SMALL, failure)
    assert notebook.lines == [
        "queue archive is waiting: the disk there is full",
        "queue archive is blocked: cannot log in; archq doctor -d archive says what to do",
    ]


def test_the_end_of_an_outage_is_recorded(notebook: Notebook) -> None:
    notebook.health.failed(SMALL, FULL)
    assert notebook.health.worked(SMALL)
    assert not notebook.health.worked(SMALL)
    assert [state.phase for state in notebook.states] == [QueuePhase.WAITING, QueuePhase.WORKING]


def test_a_file_at_which_the_queue_fails_while_others_go_is_at_fault_itself(notebook: Notebook) -> None:
    notebook.health.failed(BIG, FULL)
    assert not notebook.health.is_at_fault(BIG, FULL), "it may be an outage"
    notebook.health.worked(SMALL)
    assert notebook.health.is_at_fault(BIG, FULL)
    notebook.health.worked(BIG)
    assert not notebook.health.is_at_fault(BIG, FULL)


def test_an_outage_makes_no_culprits_of_those_that_end_it(notebook: Notebook) -> None:
    notebook.health.failed(SMALL, FULL)
    notebook.health.worked(SMALL)
    assert not notebook.health.is_at_fault(SMALL, FULL)


def test_a_connection_that_fails_is_no_files_fault(notebook: Notebook) -> None:
    down = replace(FULL, message="nothing listens there", connected=False)
    notebook.health.failed(BIG, down)
    notebook.health.worked(SMALL)
    assert not notebook.health.is_at_fault(BIG, FULL)
    notebook.health.failed(BIG, FULL)
    notebook.health.worked(SMALL)
    assert notebook.health.is_at_fault(BIG, FULL)
    assert not notebook.health.is_at_fault(BIG, down), "the next outage is one again"


def test_the_same_error_at_another_file_is_not_told_again(notebook: Notebook) -> None:
    for name in ("a.df", "b.df"):
        notebook.health.failed(SMALL, replace(FULL, message=f"cannot send {name}: the disk there is full"))
    assert notebook.lines == ["queue archive is waiting: cannot send a.df: the disk there is full"]


def test_what_the_last_shipper_found_is_looked_at_anew_at_once() -> None:
    found = QueueState(phase=QueuePhase.BLOCKED, failures=3, next_try=1 << 62, reason="cannot log in")
    health = QueueHealth("archive", found, record=lambda state: None, complain=lambda line: None)
    assert (health.works, health.state.next_try) == (False, 0)
