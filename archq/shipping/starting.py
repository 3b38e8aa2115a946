"""Start a shipper, at once: who submits a file waits for it, and what a shipper consists of takes 50 ms to load."""

from __future__ import annotations

import os
import sys

from archq.light import suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator

    from archq.config import Config

_started: list[int] = []  # not known to have ended


def start_on_demand(config: Config, queue: str) -> None:
    """Start a shipper for ``queue`` that shares nothing with the caller: no descriptor or terminal.

    It leaves the caller's directory itself, of which it loads no module (-P).
    """
    _bury_the_dead()
    silent = [(os.POSIX_SPAWN_OPEN, number, os.devnull, os.O_RDWR, 0) for number in range(3)]
    closed = [(os.POSIX_SPAWN_CLOSE, number) for number in _descriptors() if number > 2]
    command = [sys.executable, "-P", "-m", "archq.cli", "ship", "-d", queue, "--on-demand"]
    environment = {**os.environ, "ARCHQ_CONFIG": os.path.abspath(config.path or "")}
    try:
        process = os.posix_spawn(sys.executable, command, environment, file_actions=[*silent, *closed], setsid=True)
    except NotImplementedError:  # a Python that was built with a C library from before 2017
        process = _started_without_spawn(command, environment)
    _started.append(process)


def _started_without_spawn(command: list[str], environment: dict[str, str]) -> int:
    import subprocess  # 10 ms, for which who submits waits only here

    null = subprocess.DEVNULL
    return subprocess.Popen(command, env=environment, stdin=null, stdout=null, stderr=null, start_new_session=True).pid


def _bury_the_dead() -> None:
    """Let the system forget shippers that have ended: a data system that submits for weeks starts many."""
    for process in [*_started]:
        with suppress(ChildProcessError):  # somebody waits for all children
            if os.waitpid(process, os.WNOHANG) == (0, 0):
                continue
        _started.remove(process)


def _descriptors() -> Iterator[int]:
    """Yield the descriptors of this process: those that we opened close themselves, our caller's may not."""
    with suppress(FileNotFoundError):  # no /proc
        yield from map(int, os.listdir("/proc/self/fd"))
