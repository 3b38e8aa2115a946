"""Uploads that no transfer log knows, given as columns: counted as they are, or one by one where that is needed."""

from __future__ import annotations

from array import array
from itertools import chain

from archq.light import replace
from logsum.transfers import Transfer

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import Any

    from logsum.readers.columns import Packed
    from logsum.tally import Tally


def one_by_one(columns: Mapping[str, Sequence[Packed]]) -> Iterator[Transfer]:
    """Yield what is in columns that tell when transfers ended."""
    for title, parts in columns.items():
        for one in parts:
            for size, seconds, ended in zip(one.sizes, one.times, one.ends, strict=True):
                yield Transfer(title=title, ended=ended, size=size, seconds=seconds)


def enlarged(tally: Tally, parts: Sequence[Packed]) -> Tally:
    """Return ``tally`` with the sizes, times and rates of ``parts``."""
    if not parts:
        return tally
    known = tally.performance
    rates = array("d", sorted(known.rates(1)))
    performance = replace(
        known,
        sizes=_joined([known.sizes, *(one.sizes for one in parts)]),
        times=_joined([known.times, *(one.times for one in parts)]),
        ordered=(rates, *(one.rates for one in parts)),
    )
    return replace(tally, performance=performance)


def _joined(parts: Sequence[Any]) -> array[Any]:
    """Return one array of all, of as small numbers as they are."""
    kinds = {part.typecode for part in parts if len(part)}
    kind: str = max(kinds, key="Iqd".index, default="I")
    if len(kinds) > 1:
        return array(kind, chain.from_iterable(parts))
    joined: array[Any] = array(kind)
    joined.frombytes(b"".join(part.tobytes() for part in parts if len(part)))  # copied once, not with each part
    return joined
