"""Functions called at once, each in a process of its own, which is forked: it has in memory what it needs to know."""

from __future__ import annotations

import os
import pickle
from typing import TYPE_CHECKING, Any, BinaryIO, TypeVar

from archq.errors import InputOutputError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    T = TypeVar("T")


def call_apart(functions: Sequence[Callable[[], T]]) -> list[T]:
    """Return what the functions return; what one of them raises is raised here, when all have ended.

    Raise InputOutputError where a process died.
    """
    children: list[tuple[int, BinaryIO]] = []
    try:
        for function in functions:
            children.append(_forked(function))  # one by one, as there may be no more processes for the next
        answers = [pipe.read() for _child, pipe in children]
    finally:
        # All pipes first: an answer that nobody reads would keep its process, which holds the pipes of those before it.
        for _child, pipe in children:
            pipe.close()
        for child, _pipe in children:
            os.waitpid(child, 0)
    return [_result(answer) for answer in answers]


def _forked(function: Callable[[], T]) -> tuple[int, BinaryIO]:
    reading, writing = os.pipe()
    if child := os.fork():
        os.close(writing)
        return child, open(reading, "rb")
    try:
        os.close(reading)
        with open(writing, "wb") as pipe:
            pickle.dump(_tried(function), pipe)
    finally:
        os._exit(0)  # whatever happened: nothing of our caller's is to be done by two


def _tried(function: Callable[[], T]) -> tuple[T | None, BaseException | None]:
    try:
        return function(), None
    except BaseException as error:
        return None, error


def _result(answer: bytes) -> Any:
    try:
        result, error = pickle.loads(answer)  # noqa: S301  # written by ourselves
    except (EOFError, pickle.UnpicklingError):
        raise InputOutputError("a process that filed a part of the arrivals has died: sweep again") from None
    if error:
        raise error
    return result
