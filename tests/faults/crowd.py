"""Commands of one line that run at the same time, each a process of its own that may be killed at any instant."""

from __future__ import annotations

import os
import signal
import time
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from tests.faults import launch
from tests.servers.process import family

if TYPE_CHECKING:
    import random

    from tests.faults.launch import Ended, Started
    from tests.faults.line import Line

PAUSE = 0.005  # seconds between two looks


@dataclass(eq=False)
class Member:
    """One command on its way."""

    program: str
    words: tuple[str, ...]
    started: Started
    stack: ExitStack
    killed: bool = False

    @property
    def is_running(self) -> bool:
        return self.started.process.exitcode is None


@dataclass
class Crowd:
    """What runs now; use it as a context, whose end ends them all."""

    line: Line
    members: list[Member] = field(default_factory=list)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for member in self.members:
            member.stack.close()
        self.members.clear()

    def count(self, *first: str) -> int:
        """Return how many members there are whose command begins with these words."""
        return sum((member.program, *member.words)[: len(first)] == first for member in self.members)

    def begin(self, program: str, *words: str) -> None:
        stack = ExitStack()
        started = stack.enter_context(launch.started(program, words, self.line.environment, meddle=self.line.meddle))
        started.go()
        self.members.append(Member(program, words, started, stack))

    def ended(self) -> list[tuple[Member, Ended]]:
        """Take those that have ended out of the crowd, each with what it came to; their promises are noted."""
        done = [member for member in self.members if not member.is_running]
        return [(member, self._leave(member)) for member in done]

    def _leave(self, member: Member) -> Ended:
        self.members.remove(member)
        with member.stack:
            return self.line.noted(member.words, member.started.ended())

    def kill_one(self, chance: random.Random) -> bool:
        """Kill one member, or a process that it has forked; return whether it was still alive."""
        alive = [member for member in self.members if member.is_running]
        if not alive:
            return False
        member = chance.choice(alive)
        with suppress(ProcessLookupError):
            os.kill(chance.choice(list(family(member.started.pid))), signal.SIGKILL)
            member.killed = True
            return True
        return False

    def wait(self, within: float) -> None:
        """Return when all have ended; raise TimeoutError if they do not."""
        end = time.monotonic() + within
        while any(member.is_running for member in self.members):
            if time.monotonic() > end:
                running = [
                    " ".join((member.program, *member.words[:3])) for member in self.members if member.is_running
                ]
                raise TimeoutError(f"still running after {within:g} s: {'; '.join(running)}")
            time.sleep(PAUSE)
