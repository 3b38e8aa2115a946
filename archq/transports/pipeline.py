"""Many things asked of a destination before it has answered the first: who waits for an answer lets others go on.

Deliveries are coroutines, run side by side in one thread.  They need no event loop: when all of them wait, somebody
waits for the next answer, whoever's it is.
"""

from __future__ import annotations

from functools import partial
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Generator, Sequence
    from typing import BinaryIO

    from archq.transports.base import Transport

Result = TypeVar("Result")


class Answer(Generic[Result]):
    """An answer that will come: ``await`` it."""

    __slots__ = ("_error", "_result", "_wake", "is_there")

    def __init__(self) -> None:
        self.is_there = False
        self._result: Result | None = None
        self._error: Exception | None = None
        self._wake: Callable[[], object] | None = None

    def give(self, result: Result) -> None:
        """Answer with ``result``."""
        self._result = result
        self._come()

    def fail(self, error: Exception) -> None:
        """Answer with ``error``, which is raised where the answer is awaited."""
        self._error = error
        self._come()

    def _come(self) -> None:
        self.is_there = True
        if self._wake:
            self._wake()

    def tell(self, wake: Callable[[], object]) -> None:
        """Have ``wake`` called when the answer comes."""
        self._wake = wake

    def __await__(self) -> Generator[Answer[Result], None, Result]:
        if not self.is_there:
            yield self
        if self._error:
            raise self._error
        return self._result  # type: ignore[return-value]  # it is there


def run_together(tasks: Sequence[Coroutine[Any, None, Result]], *bring: Callable[[], bool]) -> list[Result | Exception]:
    """Run all ``tasks`` to their ends and return, in their order, what each returned or raised.

    Of those that can go on the first does, so that what was begun is ended.  When all of them wait, the first of
    ``bring`` is called that has answers to bring: each says whether it did.
    """
    outcomes: list[Result | Exception | None] = [None] * len(tasks)
    ready, left = list(range(len(tasks))), len(tasks)  # a heap
    try:
        while left:
            if not ready and not any(one() for one in bring):
                raise RuntimeError("a delivery waits for an answer that nobody will bring")
            while ready:
                number = heappop(ready)
                try:
                    answer: Answer[Any] = tasks[number].send(None)
                except StopIteration as end:
                    outcomes[number], left = end.value, left - 1
                except Exception as error:
                    outcomes[number], left = error, left - 1
                else:
                    answer.tell(partial(heappush, ready, number))
    finally:
        for task in tasks:
            task.close()
    return outcomes  # type: ignore[return-value]  # none is left


def run(task: Coroutine[Any, None, Result], *bring: Callable[[], bool]) -> Result:
    """Run one task to its end; return what it returns, raise what it raises."""
    [outcome] = run_together([task], *bring)
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


class Pipeline(Protocol):
    """A transport that takes the next question before it has answered the last; each promises what the transport's do.

    What concerns one file is asked one after the other: nothing is said of the order in which others are answered.
    """

    label: str

    async def put(self, source: BinaryIO, name: str, *, offset: int = 0) -> None:
        """Send ``source``."""

    async def size(self, name: str) -> int | None:
        """Return the size of ``name``."""

    async def rename(self, old: str, new: str) -> None:
        """Rename ``old``."""

    async def remove(self, name: str) -> None:
        """Remove ``name``."""

    def receive(self) -> bool:
        """Wait for at least one answer; return False at once if none is to come."""


class AtOnce:
    """The pipeline of a transport that can do one thing at a time: every answer is there when the call returns."""

    def __init__(self, transport: Transport) -> None:
        self.label = transport.label
        self._transport = transport

    async def put(self, source: BinaryIO, name: str, *, offset: int = 0) -> None:
        """Send ``source``."""
        self._transport.put(source, name, offset=offset)

    async def size(self, name: str) -> int | None:
        """Return the size of ``name``."""
        return self._transport.size(name)

    async def rename(self, old: str, new: str) -> None:
        """Rename ``old``."""
        self._transport.rename(old, new)

    async def remove(self, name: str) -> None:
        """Remove ``name``."""
        self._transport.remove(name)

    def receive(self) -> bool:
        """Return False: nothing is outstanding."""
        return False
