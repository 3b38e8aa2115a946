"""A syslog daemon for one chroot: what arrives at its ``dev/log`` is written to a file as syslog writes it."""

from __future__ import annotations

import re
import socket
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST_NAME = "packrat"
LARGEST_MESSAGE = 65536  # bytes
MESSAGE = re.compile(rb"<\d+>(... [ \d]\d \d\d:\d\d:\d\d) (.*)", re.DOTALL)


@contextmanager
def collected(root: Path, log: Path) -> Iterator[None]:
    """Write every message of a program that is confined to ``root`` to ``log``."""
    device = root / "dev" / "log"
    device.parent.mkdir()
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as inbox:
        inbox.bind(str(device))
        device.chmod(0o666)
        reader = threading.Thread(target=write_messages, args=(inbox, log), daemon=True)
        reader.start()
        try:
            yield
        finally:
            inbox.shutdown(socket.SHUT_RD)
            reader.join()


def write_messages(inbox: socket.socket, log: Path) -> None:
    """Append a line for each message until the socket is shut down: that reads as an empty message."""
    with log.open("ab", buffering=0) as lines:
        while message := inbox.recv(LARGEST_MESSAGE):
            lines.write(line(message))


def line(message: bytes) -> bytes:
    """Write a message as syslogd does: the stamp as it came, then the host's name."""
    parts = MESSAGE.fullmatch(message.rstrip(b"\n\0"))
    assert parts, message
    return b"%s %s %s\n" % (parts[1], HOST_NAME.encode(), parts[2])
