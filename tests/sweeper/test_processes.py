"""Work that is divided among processes comes back whole, or says what went wrong."""

from __future__ import annotations

import os
import signal
from functools import partial

import pytest

from archq.errors import InputOutputError, NotPermittedError
from sweeper.processes import call_apart


def test_each_function_is_called_in_a_process_of_its_own_and_all_answers_come_in_order() -> None:
    answers = call_apart([partial(lambda number: (number, os.getpid()), number) for number in range(3)])
    assert [number for number, _process in answers] == [0, 1, 2]
    assert len({os.getpid(), *(process for _number, process in answers)}) == 4


def test_an_answer_may_be_longer_than_a_pipe_holds() -> None:
    assert call_apart([lambda: b"x" * 1_000_000, lambda: b"y" * 1_000_000]) == [b"x" * 1_000_000, b"y" * 1_000_000]


def refuse() -> None:
    raise NotPermittedError("may not")


def test_what_one_raises_is_raised_here_when_all_have_ended() -> None:
    with pytest.raises(NotPermittedError, match="may not"):
        call_apart([refuse, lambda: None])
    with pytest.raises(ChildProcessError):
        os.waitpid(-1, os.WNOHANG)


def test_a_process_that_was_killed_is_told() -> None:
    with pytest.raises(InputOutputError, match="has died: sweep again"):
        call_apart([lambda: None, lambda: os.kill(os.getpid(), signal.SIGKILL)])


def interrupt() -> None:
    raise KeyboardInterrupt


def test_whoever_interrupts_all_of_them_has_interrupted_us() -> None:
    with pytest.raises(KeyboardInterrupt):
        call_apart([lambda: None, interrupt])
