"""Millions of numbers in sorted runs: what lies where in their order, without sorting or copying them all (pure).

Each part of a log gives one run; a worker has sorted it already.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Sequence
from heapq import merge
from itertools import pairwise

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from typing import Any

_FEW_VALUES = 10_000  # whose counts are kept


class Runs(Sequence[float]):
    """Numbers in rising order, each divided by ``unit``."""

    def __init__(self, runs: Iterable[array[float]], unit: int = 1) -> None:
        self._runs = [run for run in runs if run]
        self._unit = unit

    def __len__(self) -> int:
        return sum(map(len, self._runs))

    def __iter__(self) -> Iterator[float]:
        return map(self._shown, merge(*self._runs))

    def _shown(self, value: float) -> float:
        return value if self._unit == 1 else value / self._unit

    def __getitem__(self, index: Any) -> Any:
        """Return the number at a place in the order of all, or a list of those at several."""
        places = range(len(self))[index]
        return self._at(places) if isinstance(places, int) else [self._at(place) for place in places]

    def _at(self, place: int) -> float:
        """Return the number at ``place`` in the order of all: in each run only what may be it is looked at."""
        lows, highs = [0] * len(self._runs), [len(run) for run in self._runs]
        while True:
            # The middle of the longest part that is left tells which parts of all others can be left out.
            longest = max(range(len(self._runs)), key=lambda one: highs[one] - lows[one])
            pivot = self._runs[longest][(lows[longest] + highs[longest]) // 2]
            below = [bisect_left(run, pivot, low, high) for run, low, high in self._parts(lows, highs)]
            above = [bisect_right(run, pivot, low, high) for run, low, high in self._parts(lows, highs)]
            if place < sum(below):
                highs = below
            elif place >= sum(above):
                lows = above
            else:
                return self._shown(pivot)

    def _parts(self, lows: Sequence[int], highs: Sequence[int]) -> Iterator[tuple[array[float], int, int]]:
        return zip(self._runs, lows, highs, strict=True)

    def counts(self, bounds: Sequence[float]) -> list[int]:
        """Return how many lie in each bin ``(low, high]``, and above the last."""
        below = [sum(bisect_right(run, bound, key=self._shown) for run in self._runs) for bound in bounds]
        return [high - low for low, high in pairwise([0, *below, len(self)])]


def ordered(values: Sequence[Any]) -> Sequence[Any]:
    """Return numbers in rising order, in not much more room than they take."""
    if isinstance(values, Runs):
        return values
    if not isinstance(values, array) or len(values) <= _FEW_VALUES:
        return sorted(values)
    parts = (values[start : start + _FEW_VALUES] for start in range(0, len(values), _FEW_VALUES))
    return Runs(array(values.typecode, sorted(part)) for part in parts)


def median(values: Sequence[Any]) -> float:
    """Return the median of numbers in any order; the mean of the middle two where their count is even."""
    if isinstance(values, Runs):
        middle = len(values) // 2
        return values[middle] if len(values) % 2 else (values[middle - 1] + values[middle]) / 2  # type: ignore[no-any-return]
    counts = Counter(values) if len(values) > _FEW_VALUES else {}
    if 0 < len(counts) < _FEW_VALUES:
        return _median_of_counts(counts, len(values))
    inorder = ordered(values)
    middle = len(inorder) // 2
    return inorder[middle] if len(inorder) % 2 else (inorder[middle - 1] + inorder[middle]) / 2  # type: ignore[no-any-return]


def lowest(values: Sequence[Any]) -> Any:
    """Return the smallest number."""
    return values[0] if isinstance(values, Runs) else min(values)


def highest(values: Sequence[Any]) -> Any:
    """Return the largest number."""
    return values[-1] if isinstance(values, Runs) else max(values)


def _median_of_counts(counts: Mapping[Any, int], total: int) -> float:
    seen = 0
    middle: list[float] = []
    for value in sorted(counts):
        middle += [value] * sum(seen <= place < seen + counts[value] for place in ((total - 1) // 2, total // 2))
        seen += counts[value]
    return (middle[0] + middle[1]) / 2 if total % 2 == 0 else middle[0]
