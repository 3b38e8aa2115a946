"""The long technique can tell a program that grows from one that does not."""

from __future__ import annotations

import pytest

from tests.faults.soak import growth

MB = 1 << 20


@pytest.mark.parametrize(
    ("samples", "told"),
    [
        ([(60 * MB, 12)] * 100, []),
        ([(20 * MB, 5)] * 10 + [(60 * MB, 12), (66 * MB, 15)] * 45, []),
        (
            [(60 * MB + number * MB // 2, 12) for number in range(100)],
            ["has grown from 82313216 to 108527616 bytes"],
        ),
        ([(60 * MB, 10 + number // 5) for number in range(100)], ["has 10 descriptors more open than before"]),
        ([(60 * MB, 12), (600 * MB, 120)], []),
    ],
    ids=["flat", "loading, then up and down", "memory leaks", "descriptors leak", "too short to tell"],
)
def test_growth_is_told(samples: list[tuple[int, int]], told: list[str]) -> None:
    assert list(growth(samples)) == told
