"""What is known of each file: the last word, and how it was archived."""

from __future__ import annotations

import random
import tracemalloc

import pytest

from archq.instants import SECOND
from archq.names import WireName, new_id
from archq.transferlog import CONFLICT, DUPLICATE, ERROR, FILED, REJECTED, STALE
from archq.zones import find_zone
from logsum.events import Verdict
from logsum.ledger import File, bring_together
from logsum.period import Period

DAY = 86_400 * SECOND
PERIOD = Period(start=100 * DAY, end=101 * DAY, zone=find_zone("UTC"))
ID = new_id(100 * DAY)


def verdict(outcome: str, time: int, id_: str = ID, **facts: object) -> Verdict:
    wire = WireName(instrument="mini", id=id_, attempt=2)
    facts = {"ended": time - SECOND, "size": 5, "seconds": 1.5, "path": "2026.1119/\udcff.fits", **facts}
    return Verdict(wire=wire, instrument="minicam", outcome=outcome, time=time, **facts)  # type: ignore[arg-type]


def test_a_file_comes_out_as_it_was_told() -> None:
    told = verdict(FILED, 100 * DAY, checksum="sha256:aa", reason="r", beside="b", queued=99 * DAY)
    assert dict(bring_together([told], PERIOD, checksums=True)) == {ID: File(told, told)}
    assert bring_together([told], PERIOD)[ID].latest.checksum is None


@pytest.mark.parametrize("seed", range(5))
def test_the_latest_word_counts_and_the_first_that_archived_it_in_whatever_order_they_are_read(seed: int) -> None:
    words = [verdict(outcome, 100 * DAY + number) for number, outcome in enumerate([STALE, ERROR, FILED, DUPLICATE])]
    random.Random(seed).shuffle(words)
    file = bring_together(words, PERIOD)[ID]
    assert (file.latest.outcome, file.archived and file.archived.outcome, file.failed) == (DUPLICATE, FILED, None)


def test_a_failure_counts_until_something_else_is_said() -> None:
    failed, archived = verdict(REJECTED, 100 * DAY), verdict(CONFLICT, 100 * DAY + 1)
    assert bring_together([failed], PERIOD)[ID].failed == failed
    assert bring_together([failed, archived], PERIOD)[ID].failed is None
    after = verdict(ERROR, 100 * DAY + 2)  # what was to be done after filing it did not work
    file = bring_together([archived, after], PERIOD)[ID]
    assert (file.failed, file.archived) == (after, archived)


def test_only_files_that_may_count_in_the_period_are_kept() -> None:
    ids = [new_id() for _ in range(4)]
    words = [
        verdict(FILED, 90 * DAY, ids[0]),
        verdict(FILED, 110 * DAY, ids[1]),
        verdict(FILED, 110 * DAY, ids[2], queued=100 * DAY),  # its transfer may have been any time between
        verdict(ERROR, 100 * DAY, ids[3]),
        verdict(FILED, 110 * DAY, ids[3]),
    ]
    ledger = bring_together(words, PERIOD)
    assert list(ledger) == ids[2:]
    assert (ids[0] in ledger, len(ledger), ledger[ids[3]].failed) == (False, 2, None)


def test_a_file_takes_little_memory() -> None:
    count = 5000
    tracemalloc.start()
    before, _peak = tracemalloc.get_traced_memory()
    ledger = bring_together(
        (
            verdict(FILED, 100 * DAY + n, new_id(), checksum="sha256:" + "a" * 64, path=f"2026.1119/{n}.fits")
            for n in range(count)
        ),
        PERIOD,
    )
    after, _peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(ledger) == count
    assert (after - before) / count < 400  # bytes; the values themselves take three times that
