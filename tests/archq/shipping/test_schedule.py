"""What is tried next: by priority and age, when it is due, small files beside large ones, nothing for ever."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from archq.instants import SECOND
from archq.shipping.schedule import (
    AGEING,
    BLOCKED_WAIT,
    FILE_FIRST_WAIT,
    FILE_LONGEST_WAIT,
    JITTER,
    LARGE,
    QUEUE_FIRST_WAIT,
    QUEUE_LONGEST_WAIT,
    SMALL,
    SOON,
    Agenda,
    Candidate,
    file_wait,
    number_together,
    queue_wait,
)
from archq.spool import RequestId

NOW = 1_800_000_000 * SECOND
HOUR = round(AGEING) * SECOND


def candidate(number: int = 1, part: int = 1, **changes: int) -> Candidate:
    known = {"size": 1000, "queued": NOW + number * SECOND}
    return Candidate(request=RequestId(number, "archive"), part=part, **{**known, **changes})


def agenda(*candidates: Candidate) -> Agenda:
    filled = Agenda()
    for one in candidates:
        filled.add(one)
    return filled


def taken(filled: Agenda, now: int = NOW) -> list[tuple[int, int]]:
    """Take all that is due and return the requests' numbers and parts, in order."""
    order = []
    while one := filled.take(now):
        order.append((one.request.number, one.part))
    return order


def test_the_oldest_goes_first_and_a_requests_files_in_their_order() -> None:
    filled = agenda(candidate(2), candidate(1, part=2), candidate(3), candidate(1, part=1))
    assert taken(filled) == [(1, 1), (1, 2), (2, 1), (3, 1)]
    assert not filled


def test_a_higher_priority_goes_first() -> None:
    filled = agenda(candidate(1), candidate(2, priority=51), candidate(3, priority=100), candidate(4, priority=1))
    assert taken(filled) == [(3, 1), (2, 1), (1, 1), (4, 1)]


def test_waiting_for_an_hour_counts_as_much_as_a_step_of_priority() -> None:
    old = candidate(1, priority=50, queued=NOW)
    assert taken(agenda(old, candidate(2, priority=51, queued=NOW + HOUR - SECOND))) == [(2, 1), (1, 1)]
    assert taken(agenda(old, candidate(2, priority=51, queued=NOW + HOUR + SECOND))) == [(1, 1), (2, 1)]


def test_what_failed_is_overtaken_until_it_is_due() -> None:
    filled = agenda(candidate(1, next_try=NOW + SECOND), candidate(2))
    assert taken(filled) == [(2, 1)]
    assert filled.next_due(NOW) == NOW + SECOND
    assert taken(filled, NOW + SECOND) == [(1, 1)]


def test_while_large_files_are_on_their_way_a_small_one_gets_the_last_connection() -> None:
    filled = agenda(candidate(1, size=LARGE), candidate(2, size=LARGE - 1))
    first = filled.take(NOW, small_only=True)
    assert first
    assert first.request.number == 2
    assert filled.take(NOW, small_only=True) is None
    assert filled.next_due(NOW) == NOW
    assert taken(filled) == [(1, 1)]


def test_after_an_outage_nothing_waits_any_longer_but_what_its_user_wants_to_be_sent_later() -> None:
    later = NOW + 100 * SECOND
    filled = agenda(candidate(2, next_try=later), candidate(1, next_try=later), candidate(3, not_before=later))
    filled.make_all_due()
    assert taken(filled) == [(1, 1), (2, 1)]
    assert filled.next_due(NOW) == later


def test_of_two_reports_about_a_file_the_last_one_counts() -> None:
    filled = agenda(candidate(1), candidate(1, next_try=NOW + SECOND))
    assert len(filled) == 1
    assert taken(filled) == []
    filled.add(candidate(1))
    assert taken(filled) == [(1, 1)]


def test_a_request_is_forgotten_with_all_its_files() -> None:
    filled = agenda(candidate(1), candidate(1, part=2), candidate(2))
    filled.discard(RequestId(1, "archive"))
    filled.discard(RequestId(7, "archive"))
    assert taken(filled) == [(2, 1)]


def test_an_empty_agenda_has_nothing_to_wait_for() -> None:
    assert (Agenda().take(NOW), Agenda().next_due(NOW), len(Agenda())) == (None, None, 0)


candidates = st.builds(
    candidate,
    number=st.integers(1, 6),
    part=st.integers(1, 2),
    size=st.sampled_from([1, LARGE]),
    queued=st.integers(NOW - HOUR, NOW + HOUR),
    next_try=st.sampled_from([0, NOW + SECOND, NOW + 5 * SECOND]),
    not_before=st.sampled_from([0, NOW + 3 * SECOND]),
    priority=st.integers(49, 51),
)


class AgainstANaiveOne(RuleBasedStateMachine):
    """The heaps always agree with a plain list that is searched from end to end."""

    def __init__(self) -> None:
        super().__init__()
        self.agenda = Agenda()
        self.naive: dict[tuple[RequestId, int], Candidate] = {}
        self.now = NOW

    def due(self) -> list[Candidate]:
        return [one for one in self.naive.values() if max(one.next_try, one.not_before) <= self.now]

    @rule(one=candidates)
    def add(self, one: Candidate) -> None:
        self.agenda.add(one)
        self.naive[one.request, one.part] = one

    @rule(number=st.integers(1, 6))
    def discard(self, number: int) -> None:
        request = RequestId(number, "archive")
        self.agenda.discard(request)
        self.naive = {key: one for key, one in self.naive.items() if key[0] != request}

    @rule(small_only=st.booleans())
    def take(self, small_only: bool) -> None:
        eligible = [one for one in self.due() if not small_only or one.size < LARGE]
        expected = min(eligible, key=lambda one: one.rank, default=None)
        assert self.agenda.take(self.now, small_only=small_only) == expected
        if expected:
            del self.naive[expected.request, expected.part]

    @rule()
    def make_all_due(self) -> None:
        self.agenda.make_all_due()
        self.naive = {key: replace(one, next_try=0) for key, one in self.naive.items()}

    @rule(seconds=st.integers(1, 4))
    def wait(self, seconds: int) -> None:
        self.now += seconds * SECOND

    @invariant()
    def they_agree_about_what_is_next(self) -> None:
        soonest = min((max(one.next_try, one.not_before) for one in self.naive.values()), default=None)
        assert self.agenda.next_due(self.now) == (None if soonest is None else max(soonest, self.now))
        assert (len(self.agenda), bool(self.agenda)) == (len(self.naive), bool(self.naive))


AgainstANaiveOne.TestCase.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestAgainstANaiveOne = AgainstANaiveOne.TestCase


def test_small_files_go_along_in_their_order_until_one_is_not_small_or_has_to_go_alone() -> None:
    filled = agenda(candidate(1), candidate(2, size=SMALL), candidate(3, size=SMALL + 1), candidate(4))
    assert [filled.take_along(NOW, room=2 * SMALL) for _ in range(3)] == [candidate(1), candidate(2, size=SMALL), None]
    assert taken(filled) == [(3, 1), (4, 1)]
    alone = replace(candidate(1), alone=True)
    assert agenda(alone).take_along(NOW, room=SMALL) is None
    assert agenda(candidate(1, size=1000)).take_along(NOW, room=999) is None
    assert agenda(candidate(1, next_try=NOW + 1)).take_along(NOW, room=SMALL) is None


def test_more_and_more_files_go_together_while_they_need_little_time() -> None:
    number, numbers = 1, []
    for _ in range(7):
        number = number_together(number, SOON / 4)
        numbers.append(number)
    assert numbers == [2, 4, 8, 16, 32, 32, 32]
    assert number_together(8, SOON) == 8
    assert [number_together(number, 3 * SOON) for number in (32, 2, 1)] == [16, 1, 1]


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_a_file_waits_twice_as_long_each_time_up_to_an_hour(chance: float) -> None:
    waits = [file_wait(failures, chance) for failures in range(1, 30)]
    stretch = 1 - JITTER + 2 * JITTER * chance
    assert waits[:3] == pytest.approx([FILE_FIRST_WAIT * stretch * factor for factor in (1, 2, 4)])
    assert waits == sorted(waits)
    assert waits[-1] == FILE_LONGEST_WAIT
    assert file_wait(10**9, chance) == FILE_LONGEST_WAIT


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_an_outage_is_probed_at_most_a_minute_apart(chance: float) -> None:
    waits = [queue_wait(failures, permanent=False, chance=chance) for failures in range(1, 30)]
    assert waits[0] == pytest.approx(QUEUE_FIRST_WAIT * (1 - JITTER + 2 * JITTER * chance))
    assert waits == sorted(waits)
    assert waits[-1] == QUEUE_LONGEST_WAIT == 60


def test_what_somebody_has_to_mend_is_probed_every_quarter_of_an_hour() -> None:
    assert {queue_wait(failures, permanent=True, chance=0.3) for failures in (1, 2, 50)} == {BLOCKED_WAIT} == {900.0}
