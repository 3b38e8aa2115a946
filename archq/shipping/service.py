"""How a long-running shipper and systemd talk (sd_notify(3)): a datagram to the socket that the environment names."""

from __future__ import annotations

import contextlib
import os
import socket


def notify(message: str) -> None:
    """Tell the service manager ``message`` (READY=1, WATCHDOG=1, STOPPING=1), if there is one."""
    address = os.environ.get("NOTIFY_SOCKET")
    if not address:
        return
    with (
        contextlib.suppress(OSError),
        socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC) as manager,
    ):
        manager.connect(f"\0{address[1:]}" if address.startswith("@") else address)
        manager.send(message.encode())
