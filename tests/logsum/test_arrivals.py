"""Which of several uploads is taken for the one that brought a file."""

from __future__ import annotations

import pytest

from archq.names import WireName
from archq.transferlog import DUPLICATE, FILED
from logsum.arrivals import arrived
from logsum.events import Upload, Verdict
from logsum.ledger import File

ID = "01jd3v5t8n3q4r5s6t7v8w9x0y"
SIZE = 3000


def wire(attempt: int = 1) -> WireName:
    return WireName(instrument="minicam", id=ID, attempt=attempt)


def upload(
    size: int = SIZE, *, attempt: int = 1, complete: bool = True, ended: int = 0, seconds: float = 1.0
) -> Upload:
    return Upload(wire=wire(attempt), ended=ended, seconds=seconds, size=size, complete=complete)


def filed(attempt: int = 1, later: int = 0) -> File:
    verdict = Verdict(wire=wire(attempt), instrument="minicam", outcome=FILED, time=1, ended=1, size=SIZE)
    latest = Verdict(wire=wire(later), instrument="minicam", outcome=DUPLICATE, time=2, ended=2, size=SIZE)
    return File(latest=latest if later else verdict, archived=verdict)


WHOLE = [
    ("the only one", [upload(ended=1)], 1),
    ("the last of several", [upload(ended=1), upload(ended=2)], 2),
    ("not the one that was cut", [upload(ended=1), upload(2999, ended=2), upload(complete=False, ended=3)], 1),
    ("of the try that was filed", [upload(attempt=2, ended=1), upload(ended=2), upload(attempt=2, ended=3)], 2),
]


@pytest.mark.parametrize(("uploads", "ended"), [pytest.param(*one[1:], id=one[0]) for one in WHOLE])
def test_a_whole_upload_of_the_try_that_was_filed_brought_the_file(uploads: list[Upload], ended: int) -> None:
    assert arrived(uploads, {ID: filed(later=2)})[ID].ended == ended


PARTS = [
    ([1000, 2000], 2.0),
    ([1000, 500, 1500], 3.0),
    ([700, 1000, 2000], 2.0),  # begun anew: the first part counts no more
    ([0, 3000], 1.0),
]


@pytest.mark.parametrize(("sizes", "seconds"), PARTS)
def test_parts_that_make_the_file_together_are_one_upload(sizes: list[int], seconds: float) -> None:
    uploads = [upload(size, ended=ended, complete=size == sizes[-1]) for ended, size in enumerate(sizes)]
    found = arrived(uploads, {ID: filed()})[ID]
    assert (found.size, found.seconds, found.ended) == (SIZE, seconds, len(sizes) - 1)


@pytest.mark.parametrize("sizes", [[2999], [1000, 1999], [3001], [1000, 2500]])
def test_parts_that_do_not_make_the_file_together_brought_nothing(sizes: list[int]) -> None:
    assert arrived([upload(size) for size in sizes], {ID: filed()}) == {}


def test_of_a_file_that_nobody_has_swept_the_last_complete_upload_counts() -> None:
    assert arrived([upload(7, ended=1), upload(8, ended=2, complete=False)], {})[ID].ended == 1
