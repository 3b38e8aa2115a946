"""Work that is divided among processes comes back whole, or says what went wrong."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archq.errors import InputOutputError, NotPermittedError
from sweeper.processes import call_apart

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_each_function_is_called_in_a_process_of_its_own_and_all_answers_come_in_order() -> None:
    answers = call_apart([partial(lambda number: (number, os.getpid()), number) for number in range(3)])
    assert [number for number, _process in answers] == [0, 1, 2]
    assert len({os.getpid(), *(process for _number, process in answers)}) == 4


def test_an_answer_may_be_longer_than_a_pipe_holds() -> None:
    assert call_apart([lambda: b"x" * 1_000_000, lambda: b"y" * 1_000_000]) == [b"x" * 1_000_000, b"y" * 1_000_000]


def refuse() -> None:
    raise NotPermittedError("may not")


def children() -> set[str]:
    """Return the processes that this one has made and not waited for, those of other tests among them."""
    return set(Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())


def test_what_one_raises_is_raised_here_when_all_have_ended() -> None:
    before = children()
    with pytest.raises(NotPermittedError, match="may not"):
        call_apart([refuse, lambda: None])
    assert children() <= before


def test_a_process_that_was_killed_is_told() -> None:
    with pytest.raises(InputOutputError, match="has died: sweep again"):
        call_apart([lambda: None, lambda: os.kill(os.getpid(), signal.SIGKILL)])


def interrupt() -> None:
    raise KeyboardInterrupt


def test_whoever_interrupts_all_of_them_has_interrupted_us() -> None:
    with pytest.raises(KeyboardInterrupt):
        call_apart([lambda: None, interrupt])


def test_whoever_is_interrupted_alone_does_not_wait_for_what_nobody_reads() -> None:
    def interrupt() -> None:
        time.sleep(0.5)  # by then all of them have been made
        os.kill(os.getppid(), signal.SIGINT)
        time.sleep(0.5)

    before = children()
    with pytest.raises(KeyboardInterrupt), ended_after(10):
        call_apart([interrupt, lambda: b"x" * 1_000_000, lambda: b"y" * 1_000_000])
    assert children() <= before


def test_a_process_that_cannot_be_made_is_told_when_the_others_have_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    before, fork, made = children(), os.fork, [None]

    def refuse_the_second() -> int:
        if not made:
            raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        made.pop()
        return fork()

    monkeypatch.setattr(os, "fork", refuse_the_second)
    with pytest.raises(BlockingIOError, match="temporarily unavailable"):
        call_apart([lambda: b"x" * 1_000_000, lambda: None])
    assert children() <= before


@contextlib.contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """Let nothing wait for longer."""

    def end(*_: object) -> None:
        raise TimeoutError(f"still waiting after {seconds:g} s")

    before = signal.signal(signal.SIGALRM, end)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
