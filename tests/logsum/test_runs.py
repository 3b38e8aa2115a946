"""Order statistics of numbers in sorted runs are those of the numbers in one list."""

from __future__ import annotations

import statistics
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from logsum.runs import Runs, highest, lowest, median, ordered
from logsum.tally import in_bins

NUMBERS = st.lists(st.floats(0, 1e9, allow_nan=False), max_size=30)


@given(st.lists(NUMBERS, min_size=1, max_size=6).filter(any), st.sampled_from([1, 10**6, 2**20]))
def test_runs_are_what_one_sorted_list_is(parts: list[list[float]], unit: int) -> None:
    runs = Runs([array("d", sorted(part)) for part in parts], unit)
    plain = sorted(number / unit for part in parts for number in part)
    assert list(runs) == [runs[place] for place in range(len(runs))] == plain
    assert (len(runs), runs[-1], runs[1:3]) == (len(plain), plain[-1], plain[1:3])
    assert median(runs) == statistics.median(plain)
    assert (lowest(runs), highest(runs)) == (plain[0], plain[-1])
    bounds = [0.0, 1e-3, 1.0, plain[len(plain) // 2], 1e9]
    assert in_bins(runs, sorted(bounds)) == in_bins(plain, sorted(bounds))


def test_a_place_beyond_the_runs_is_an_error() -> None:
    with pytest.raises(IndexError):
        Runs([array("d", [1.0])])[1]


@pytest.mark.parametrize("count", [1, 2, 9_999, 10_001, 10_002, 20_000])
def test_the_median_of_many_equal_numbers_is_found_by_counting(count: int) -> None:
    numbers = [number * 7 % 60 for number in range(count)]
    assert median(numbers) == statistics.median(numbers)
    different = [float(number * 7919 % 104_729) for number in range(count)]
    assert median(different) == statistics.median(different)


@pytest.mark.parametrize("count", [0, 1, 9_999, 10_001, 30_000])
@pytest.mark.parametrize("kind", ["I", "q", "d"])
def test_numbers_are_put_in_order_however_many_they_are(kind: str, count: int) -> None:
    numbers = array(kind, [number * 7919 % 104_729 for number in range(count)])
    assert list(ordered(numbers)) == sorted(numbers)
