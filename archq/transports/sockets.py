"""Connections by name and port, in two steps that can fail for different reasons."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Self

from archq.transports.base import Scope, Stage
from archq.transports.faults import told

if TYPE_CHECKING:
    from archq.transports.base import Watch


class PromptSocket(socket.socket):
    """A connection on which many small things are said before the large ones.

    The kernel holds a small packet back until the one before it is acknowledged, and an acknowledgement back for 40 ms
    in case there is something to say with it.  Here nothing is held back that we send, nor, while ``is_prompt``, what
    the other side waits for before it goes on.
    """

    is_prompt = True

    @classmethod
    def of(cls, connection: socket.socket) -> Self:
        """Return what ``connection`` was, which is used up."""
        limit = connection.gettimeout()
        prompt = cls(fileno=connection.detach())
        prompt.settimeout(limit)
        prompt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return prompt

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return what came."""
        received = super().recv(size, flags)
        if self.is_prompt:
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # the kernel forgets it again
        return received


def connected(host: str, port: int, timeout: float | None, label: str, watch: Watch) -> PromptSocket:
    """Return a connection to the first address of ``host`` that takes one; ``timeout`` is in seconds for each."""
    look_up(host, port, label, watch)
    watch.begin(Stage.CONNECT)
    with told(f"{label}: cannot connect", Scope.QUEUE):
        return PromptSocket.of(socket.create_connection((host, port), timeout))


def look_up(host: str, port: int, label: str, watch: Watch) -> None:
    """Tell ``watch`` the addresses of ``host``."""
    watch.begin(Stage.RESOLVE)
    with told(f"{label}: cannot connect", Scope.QUEUE):
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    watch.found(", ".join(dict.fromkeys(str(address[0]) for *_kind, address in found)))
