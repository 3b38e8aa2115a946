"""What is told of single files, noted while they are counted: the latest ones, failures, names used twice (pure)."""

from __future__ import annotations

from heapq import heappush, heappushpop
from itertools import count

from archq.light import dataclass
from archq.transferlog import CONFLICT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from logsum.events import Verdict
    from logsum.transfers import Transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class UsedTwice:
    """A name that several files of the period have, or that was taken when one came; ``kept`` is where those are."""

    title: str
    name: str
    files: int
    kept: tuple[str, ...]


class Notes:
    """Keeps the latest arrivals and failures, so many of each, and if asked the names that were used twice."""

    def __init__(self, latest: int, *, names: bool) -> None:
        self._arrivals, self._failures = _Latest(latest), _Latest(latest)
        self._wants_names = names
        self._seen: set[int] = set()  # hashes, for names are many, and few are used twice
        self._names: dict[tuple[str, str], int] = {}
        self._kept: dict[tuple[str, str], list[str]] = {}

    def taken(self, transfers: Iterable[Transfer]) -> Iterator[Transfer]:
        """Pass ``transfers`` on, noting each."""
        for transfer in transfers:
            if transfer.archived:
                self._arrivals.add(transfer)
                self._note_name(transfer.title, transfer.archived)
            if transfer.failed:
                self._failures.add(transfer)
            yield transfer

    @property
    def arrivals(self) -> list[Transfer]:
        """The latest files that were archived, the last first."""
        return self._arrivals.ordered()

    @property
    def failures(self) -> list[Transfer]:
        """The latest failures, the last first."""
        return self._failures.ordered()

    @property
    def used_twice(self) -> list[UsedTwice]:
        """The names that were used twice, in order."""
        return [
            UsedTwice(title=title, name=name, files=files, kept=tuple(self._kept.get((title, name), ())))
            for (title, name), files in sorted(self._names.items())
        ]

    def _note_name(self, title: str, verdict: Verdict) -> None:
        if not self._wants_names or not verdict.path:
            return
        taken = verdict.beside if verdict.outcome == CONFLICT else None
        key = (title, taken or verdict.path)
        is_known = hash(key) in self._seen
        self._seen.add(hash(key))
        if is_known or taken:
            self._names[key] = self._names.get(key, int(is_known)) + 1
        if taken:
            self._kept.setdefault(key, []).append(verdict.path)


class _Latest:
    """The so many latest of all transfers."""

    def __init__(self, most: int) -> None:
        self._most, self._order = most, count()
        self._heap: list[tuple[int, int, Transfer]] = []

    def add(self, transfer: Transfer) -> None:
        entry = (transfer.ended, next(self._order), transfer)
        if len(self._heap) < self._most:
            heappush(self._heap, entry)
        elif self._most:
            heappushpop(self._heap, entry)

    def ordered(self) -> list[Transfer]:
        return [transfer for _ended, _order, transfer in sorted(self._heap, reverse=True)]
