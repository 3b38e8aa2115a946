"""A proxy on loopback that cuts, resets or stalls what goes through it to a real server, FTP's data connections too."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.liars import Mood
from tests.servers import lying
from tests.servers.process import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CLOSES, RESETS, STALLS = HOWS = ("closes", "resets", "stalls")
_PASSIVE = re.compile(rb"(?<=^227 ).*?\((\d+),(\d+),(\d+),(\d+),(\d+),(\d+)\)", re.MULTILINE)
_BLOCK = 1 << 14  # bytes


@dataclass(eq=False)
class Route:
    """One connection through the proxy; a session may have several."""

    mood: Mood
    client: socket.socket
    server: socket.socket
    is_ftp: bool
    passed: int = 0  # bytes from the client

    def run(self) -> None:
        back = threading.Thread(target=self._back, daemon=True)
        back.start()
        with suppress(OSError):
            while block := self.client.recv(_BLOCK):
                how, _, after = self.mood.fault.partition(" after ")
                self.passed += len(block)
                if after and self.passed > int(after) and self.mood.strikes(self.mood.fault):
                    self._act(how)
                    return
                self.server.sendall(block)
            self.server.shutdown(socket.SHUT_WR)
        back.join()
        self.client.close()
        self.server.close()

    def _back(self) -> None:
        with suppress(OSError):
            while block := self.server.recv(_BLOCK):
                self.client.sendall(self._redirected(block) if self.is_ftp else block)
            self.client.shutdown(socket.SHUT_WR)

    def _act(self, how: str) -> None:
        if how == STALLS:
            self.mood.changed.wait()
        for connection in (self.client, self.server):
            with suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR if how != RESETS else socket.SHUT_RD)
            lying.reset_by_peer(connection) if how == RESETS else connection.close()

    def _redirected(self, reply: bytes) -> bytes:
        """Put a port of ours in the place of the one that the server tells for the data."""

        def ours(match: re.Match[bytes]) -> bytes:
            port = int(match[5]) * 256 + int(match[6])
            return b"through us (127,0,0,1,%d,%d)" % divmod(_once(self.mood, port), 256)

        return _PASSIVE.sub(ours, reply)


def _once(mood: Mood, port: int) -> int:
    """Return a port at which one connection is taken, and led to ``port``."""
    listener = socket.create_server((HOST, 0))

    def serve() -> None:
        with listener, suppress(OSError):
            listener.settimeout(60)
            client, _address = listener.accept()
            client.settimeout(None)
            Route(mood, client, socket.create_connection((HOST, port)), is_ftp=False).run()

    threading.Thread(target=serve, daemon=True).start()
    number: int = listener.getsockname()[1]
    return number


@contextmanager
def leading_to(port: int, is_ftp: bool) -> Iterator[tuple[int, Callable[[str, bool], int]]]:
    """Give a port that leads to ``port``, and what sets the fault: "closes after 1000", say."""
    mood = Mood()

    def serve(client: socket.socket, _end: threading.Event) -> None:
        with suppress(OSError):
            Route(mood, client, socket.create_connection((HOST, port)), is_ftp).run()

    with lying.serving(serve) as ours:
        yield ours, mood.become
