"""A demonstration's servers end with whoever started them, and keep their password to themselves."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archq.demo.servers import DemoServer, ftp_server, sftp_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Server = contextlib.AbstractContextManager[DemoServer]
BOTH = pytest.mark.parametrize("start", [ftp_server, sftp_server])

KILLED_WHILE_SERVING = """
import os, signal, sys
from pathlib import Path
from archq.demo.servers import {start}
with {start}(Path(sys.argv[1])) as server:
    print(server.port, flush=True)
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGKILL)
"""


def greeting(port: int) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=20) as connection:
        return connection.recv(4)


def eventually(condition: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.05)
    return condition()


def refuses(port: int) -> bool:
    with socket.socket() as connection:
        return connection.connect_ex(("127.0.0.1", port)) != 0


def children() -> Iterator[Path]:
    for process in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"PPid:\t{os.getpid()}\n" in (process / "status").read_text():
                yield process


@BOTH
def test_a_server_is_gone_when_its_context_ends(start: Callable[[Path], Server], tmp_path: Path) -> None:
    with start(tmp_path) as server:
        assert greeting(server.port) in {b"220 ", b"SSH-"}
    assert refuses(server.port)


@BOTH
def test_a_server_is_gone_when_its_context_fails(start: Callable[[Path], Server], tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), start(tmp_path) as server:
        raise KeyboardInterrupt
    assert refuses(server.port)


@BOTH
def test_a_server_does_not_outlive_a_killed_parent(start: Callable[[Path], Server], tmp_path: Path) -> None:
    script = KILLED_WHILE_SERVING.format(start=start.__name__)
    words = [sys.executable, "-c", script, str(tmp_path)]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        assert parent.stdout
        port = int(parent.stdout.readline())
        assert greeting(port) in {b"220 ", b"SSH-"}
        parent.communicate()
    assert parent.returncode == -signal.SIGKILL
    assert eventually(lambda: refuses(port))


@BOTH
def test_the_password_is_in_no_argument_no_environment_and_no_log(
    start: Callable[[Path], Server], tmp_path: Path
) -> None:
    with start(tmp_path) as server:
        greeting(server.port)
        seen = [
            (process / name).read_bytes()
            for process in children()
            for name in ("cmdline", "environ")
            if b"archq.demo." in (process / "cmdline").read_bytes()
        ]
        assert len(seen) == 2
        assert not any(server.password.encode() in content for content in [*seen, server.log.read_bytes()])


def test_two_servers_share_one_incoming_directory(tmp_path: Path) -> None:
    with ftp_server(tmp_path) as first, sftp_server(tmp_path) as second:
        assert first.incoming == second.incoming
        assert first.url == f"ftp://tdcin@127.0.0.1:{first.port}/incoming"
        assert second.url == f"sftp://tdcin@127.0.0.1:{second.port}/incoming"
