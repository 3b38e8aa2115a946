"""What every technique has: a share of the time, points in an order that a seed fixes, a line that tells what came."""

from __future__ import annotations

import random
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    Point = TypeVar("Point")

SEED = 20_261_120


_AGAIN = 4  # deaths of what dies more than once
_ONE_AGAIN_IN = 8


def again_and_again(points: Sequence[Point], chance: random.Random) -> Iterator[tuple[Point, ...]]:
    """Yield where a command dies: once at each point, or at several in turn, for whoever recovers may die, too."""
    yield from ((point,) for point in points)
    for _ in range(len(points) // _ONE_AGAIN_IN):
        yield tuple(chance.choices(points, k=_AGAIN))


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How far a technique goes: it ends when it has tried ``points``, or when its ``seconds`` are over."""

    seconds: float
    points: int
    seed: int = SEED
    first_only: bool = False  # end at the first violation: who wants to know whether there is one


@dataclass(slots=True)
class Tally:
    """What one technique did."""

    technique: str
    limits: Limits
    points: int = 0
    injected: int = 0
    of: int | None = None  # all the points that there are, if that is known
    violations: list[str] = field(default_factory=list)
    left_out: str = ""  # why
    facts: dict[str, object] = field(default_factory=dict)
    _begun: float = field(default_factory=time.monotonic)
    took: float = 0.0  # seconds

    def sampled(self, points: Iterable[Point], *, first: Iterable[Point] = ()) -> Iterator[Point]:
        """Yield points in the order of the seed for as long as there is time, after the ``first``; each is counted."""
        ordered, early = list(points), list(first)
        self.of = len(ordered) + len(early)
        for some in (ordered, early):
            random.Random(self.limits.seed).shuffle(some)
        for point in early + ordered:
            if self.is_over:
                return
            self.points += 1
            yield point

    @property
    def is_over(self) -> bool:
        self.stop()
        found = self.limits.first_only and bool(self.violations)
        return found or self.took > self.limits.seconds or self.points >= self.limits.points

    def stop(self) -> None:
        """Take the time; whoever goes on after the last point says it again."""
        self.took = time.monotonic() - self._begun

    def blame(self, where: str, problems: Iterable[str]) -> None:
        """Take note of what does not hold at one point."""
        for problem in problems:  # one by one: whoever looks for them may do so as well
            self.violations.append(f"{where}: {problem}")

    def __str__(self) -> str:
        if self.left_out and not self.points:
            return f"{self.technique:<28} left out: {self.left_out}"
        of = f" of {self.of} (seed {self.limits.seed})" if self.of and self.of > self.points else ""
        facts = "".join(f", {value} {key}" for key, value in self.facts.items())
        left_out = f"; left out: {self.left_out}" if self.left_out else ""
        return (
            f"{self.technique:<28} {self.points} points{of}, {self.injected} faults injected, "
            f"{len(self.violations)} violations{facts}, {self.took:.0f} s{left_out}"
        )
