"""A server in a forked process of its own, which is told over a pipe how to behave: threads and forks do not mix."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from multiprocessing.connection import Connection

    Behave = Callable[..., object]
    Serve = Callable[[], AbstractContextManager[tuple[Any, Behave]]]

_PROCESSES = multiprocessing.get_context("fork")
_PR_SET_PDEATHSIG = 1  # linux/prctl.h
PATIENCE = 60  # seconds


@dataclass(frozen=True, slots=True)
class Host:
    """What the server said of itself when it began, and the way to tell it how to behave."""

    facts: Any
    _pipe: Connection

    def behave(self, *words: Any) -> Any:
        """Return when the server behaves so, with what it has to say."""
        self._pipe.send(words)
        return self._answer()

    def _answer(self) -> Any:
        if not self._pipe.poll(PATIENCE):
            raise TimeoutError("a server of ours does not answer")
        return self._pipe.recv()


@contextmanager
def hosting(serve: Serve) -> Iterator[Host]:
    """Run ``serve``, a context that gives facts and what is called with the words of :meth:`Host.behave`."""
    ours, theirs = _PROCESSES.Pipe()
    process = _PROCESSES.Process(target=_host, args=(serve, theirs, os.getpid()))
    process.start()
    theirs.close()
    try:
        host = Host(None, ours)
        yield Host(host._answer(), ours)
    finally:
        process.kill()
        process.join()
        ours.close()


def _host(serve: Serve, pipe: Connection, parent: int) -> None:
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:
        return
    with serve() as (facts, behave):
        pipe.send(facts)
        while True:
            try:
                words = pipe.recv()
            except EOFError:
                os._exit(0)
            pipe.send(behave(*words))
