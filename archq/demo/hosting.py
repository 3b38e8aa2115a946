"""A server in a process of its own, which ends when the process that started it does, however that ends."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LOOPBACK = "127.0.0.1"
INCOMING = "incoming"  # below the root that clients see
FULL, UPLOAD_ONLY = "full", "upload-only"  # as `account` in a queue's configuration

STOP_SECONDS = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What a server process is told: what it serves, to whom, and where its own files are."""

    root: str  # clients see it as /
    state: str
    account: str
    user: str
    password: str
    listener: int  # descriptor of the listening socket, inherited


@contextmanager
def listening() -> Iterator[socket.socket]:
    """Hold a listening socket on a port that the kernel chose."""
    with socket.create_server((LOOPBACK, 0), backlog=128) as listener:
        yield listener


@contextmanager
def hosted(module: str, service: Service, log: Path) -> Iterator[None]:
    """Run ``module`` as the server of ``service``; what it prints goes to ``log``.

    Clients may connect at once: until the process is ready they wait in the socket's backlog.
    """
    with log.open("ab") as output, _started(module, service.listener, output.fileno()) as process:
        try:
            assert process.stdin
            # By a pipe, because arguments and environment can be read by others on the machine.
            process.stdin.write(json.dumps(dataclasses.asdict(service)) + "\n")
            process.stdin.flush()
            yield
        finally:
            _stop(process)


def told() -> Service:
    """Return, in a server process, what to serve; from now on the process ends when its standard input does."""
    service = Service(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_input, daemon=True).start()
    return service


def _started(module: str, listener: int, output: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", module],
        stdin=subprocess.PIPE,
        stdout=output,
        stderr=output,
        text=True,
        pass_fds=[listener],
        process_group=0,  # Ctrl-C is for the process that we end with
    )


def _stop(process: subprocess.Popen[str]) -> None:
    assert process.stdin
    process.stdin.close()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()


def _end_with_input() -> None:
    sys.stdin.read()
    os._exit(0)
