"""Connections by name and port, in two steps that can fail for different reasons."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from archq.transports.base import Scope, Stage
from archq.transports.faults import told

if TYPE_CHECKING:
    from archq.transports.base import Watch


def connected(host: str, port: int, timeout: float | None, label: str, watch: Watch) -> socket.socket:
    """Return a connection to the first address of ``host`` that takes one; ``timeout`` is in seconds for each."""
    look_up(host, port, label, watch)
    watch.begin(Stage.CONNECT)
    with told(f"{label}: cannot connect", Scope.QUEUE):
        return socket.create_connection((host, port), timeout)


def look_up(host: str, port: int, label: str, watch: Watch) -> None:
    """Tell ``watch`` the addresses of ``host``."""
    watch.begin(Stage.RESOLVE)
    with told(f"{label}: cannot connect", Scope.QUEUE):
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    watch.found(", ".join(dict.fromkeys(str(address[0]) for *_kind, address in found)))
