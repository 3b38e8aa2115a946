"""What to try next, and when to try again (pure: the time is an argument)."""

from __future__ import annotations

import heapq
import itertools
from typing import TYPE_CHECKING

from archq.instants import SECOND
from archq.light import dataclass, replace
from archq.spool.filestate import NOT_BEGUN

if TYPE_CHECKING:
    from archq.spool import RequestId
    from archq.spool.filestate import FileState

FILE_FIRST_WAIT = 5.0  # seconds
FILE_LONGEST_WAIT = 3600.0
QUEUE_FIRST_WAIT = 2.0
QUEUE_LONGEST_WAIT = 60.0  # while its error is temporary, so an outage is noticed as over within a minute
BLOCKED_WAIT = 900.0  # while somebody has to mend something
JITTER = 0.2  # of a wait, so that many spools do not call in the same second after an outage

LARGE = 100_000_000  # bytes: files from here on leave one connection to the smaller ones
SMALL = 1_000_000  # bytes: files up to here go several at a time over one connection
TOGETHER = 8_000_000  # bytes that do at most
MOST_TOGETHER = 32  # files that do at most; each may hold a descriptor
SOON = 2.0  # seconds: files go together in such numbers that they need about as long

AGEING = 3600.0  # seconds of waiting that count as one step of priority, so that nothing waits for ever


Key = tuple["RequestId", int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """A file that could be sent.  Instants are nanoseconds since 1970."""

    request: RequestId
    part: int
    size: int  # bytes
    queued: int
    next_try: int = 0  # after an error
    not_before: int = 0  # as its user asked for
    priority: int = 50
    state: FileState = NOT_BEGUN  # how far its delivery is
    alone: bool = False  # not to be sent together with others

    @property
    def due(self) -> int:
        """When it may be tried."""
        return max(self.next_try, self.not_before)

    @property
    def key(self) -> Key:
        """What tells this file from all others of the queue."""
        return self.request, self.part

    @property
    def rank(self) -> tuple[float, int, int]:
        """What comes first sorts first: by priority and age (an order that lasts, as all age alike), then by number."""
        return self.queued / SECOND / AGEING - self.priority, self.request.number, self.part


Due = tuple[float, int, int, int, Candidate]  # its rank, what settles ties, and the file itself


class Agenda:
    """The files that wait for a connection: each is due or will be.

    There may be very many: a file costs half a kilobyte here.
    """

    def __init__(self) -> None:
        self._live: dict[int, Candidate] = {}
        self._parts: dict[int, int] = {}  # the highest part of a request that has several, by its number
        # Heaps may hold entries that are no longer live; they are passed over when they come up.
        self._due: dict[bool, list[Due]] = {False: [], True: []}
        self._later: list[tuple[int, int, Candidate]] = []
        self._count = itertools.count()  # settles ties, as candidates themselves have no order

    def __len__(self) -> int:
        return len(self._live)

    @property
    def size(self) -> int:
        """How many bytes its files have."""
        return sum(candidate.size for candidate in self._live.values())

    def add(self, candidate: Candidate) -> None:
        """Add a file, or replace what is known of it."""
        self._live[_place(candidate.request, candidate.part)] = candidate
        if candidate.part > 1:
            number = candidate.request.number
            self._parts[number] = max(candidate.part, self._parts.get(number, 0))
        if candidate.due:
            heapq.heappush(self._later, (candidate.due, next(self._count), candidate))
        else:
            self._make_due(candidate)

    def discard(self, request: RequestId) -> None:
        """Forget every file of ``request``."""
        for part in range(1, self._parts.pop(request.number, 1) + 1):
            self._live.pop(_place(request, part), None)

    def take(self, now: int, *, small_only: bool = False) -> Candidate | None:
        """Remove and return the due file that comes first, None if none is due."""
        self._sort_out(now)
        heaps = [self._first_live(self._due[large]) for large in ((False,) if small_only else (False, True))]
        first = min((heap for heap in heaps if heap), key=lambda heap: heap[0], default=None)
        if first is None:
            return None
        candidate = heapq.heappop(first)[-1]
        del self._live[_place(candidate.request, candidate.part)]
        return candidate

    def take_along(self, now: int, *, room: int) -> Candidate | None:
        """Remove and return what comes next if it is small and may go with others, of ``room`` bytes at most."""
        self._sort_out(now)
        heap = self._first_live(self._due[False])
        if not heap or heap[0][-1].alone or heap[0][-1].size > min(room, SMALL):
            return None
        return self.take(now, small_only=True)

    def due(self, now: int) -> int:
        """Return how many files are due, or a little more."""
        self._sort_out(now)
        return sum(map(len, self._due.values()))

    def next_due(self, now: int) -> int | None:
        """Return the instant at which a file will be due next, ``now`` if one is, None if there is none."""
        self._sort_out(now)
        if any(self._first_live(heap) for heap in self._due.values()):
            return now
        return self._later[0][0] if self._later else None

    def make_all_due(self) -> None:
        """Let no error make anything wait any longer."""
        for candidate in [candidate for candidate in self._live.values() if candidate.next_try]:
            self.add(replace(candidate, next_try=0))

    def _make_due(self, candidate: Candidate) -> None:
        heapq.heappush(self._due[candidate.size >= LARGE], (*candidate.rank, next(self._count), candidate))

    def _sort_out(self, now: int) -> None:
        while self._later and (self._later[0][0] <= now or not self._is_live(self._later[0][-1])):
            candidate = heapq.heappop(self._later)[-1]
            if self._is_live(candidate):
                self._make_due(candidate)

    def _first_live(self, heap: list[Due]) -> list[Due]:
        while heap and not self._is_live(heap[0][-1]):
            heapq.heappop(heap)
        return heap

    def _is_live(self, candidate: Candidate) -> bool:
        return self._live.get(_place(candidate.request, candidate.part)) is candidate


def _place(request: RequestId, part: int) -> int:
    """Return what tells a file from all others of a queue, in one number: a tuple would cost more."""
    return request.number << 32 | part


def number_together(number: int, seconds: float) -> int:
    """Return how many small files to send together after ``number`` of them have taken ``seconds``."""
    if seconds > 2 * SOON:
        return max(1, number // 2)
    return min(2 * number, MOST_TOGETHER) if seconds < SOON else number


def file_wait(failures: int, chance: float) -> float:
    """Return the seconds before a file's next try after ``failures`` in a row; ``chance`` is from 0 to 1."""
    return min(_jittered(FILE_FIRST_WAIT * 2.0 ** min(failures - 1, 20), chance), FILE_LONGEST_WAIT)


def queue_wait(failures: int, *, permanent: bool, chance: float) -> float:
    """Return the seconds before a queue is probed again after ``failures`` in a row."""
    if permanent:
        return BLOCKED_WAIT
    return min(_jittered(QUEUE_FIRST_WAIT * 2.0 ** min(failures - 1, 20), chance), QUEUE_LONGEST_WAIT)


def _jittered(wait: float, chance: float) -> float:
    return wait * (1 - JITTER + 2 * JITTER * chance)
