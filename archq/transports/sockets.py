"""Connections by name and port, in two steps that can fail for different reasons."""

from __future__ import annotations

import fcntl
import os
import socket
import struct
import termios
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from archq.transports.base import Scope, Stage
from archq.transports.faults import told

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _typeshed import ReadableBuffer

    from archq.transports.base import Watch

_AHEAD = 1 << 16  # bytes
_DISCARDING, _SENDING = struct.pack("ii", 1, 0), struct.pack("ii", 0, 0)  # SO_LINGER, socket(7)


def discard_unsent(connection: socket.socket) -> None:
    """Let what the other side has not got yet be lost when the connection is closed, or our process ends.

    Otherwise the kernel goes on to send it, for minutes where the network is bad, and a dead session's command comes
    when a later try is under way: it would empty the very file that is being written.
    """
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _DISCARDING)


def send_rest(connection: socket.socket) -> None:
    """Let the kernel send all that is left when the connection is closed: all is well."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _SENDING)


def limit_sending(connection: socket.socket, limit: float | None) -> None:
    """Have the kernel end a call that connects or sends and gets nowhere for ``limit`` seconds; see :func:`in_time`.

    A time limit of Python's own costs two more calls of the kernel for each, which count where a file is small.
    """
    if limit:
        seconds, rest = divmod(limit, 1)
        value = struct.pack("ll", int(seconds), int(rest * 1e6))
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, value)


@contextmanager
def in_time() -> Iterator[None]:
    """Raise TimeoutError where the limit of :func:`limit_sending` has ended a call."""
    try:
        yield
    except BlockingIOError:
        raise TimeoutError from None


def part_in_order(connection: socket.socket) -> None:
    """Let the other side see an end, and no reset, where it has got all that was said."""
    [unsent] = struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, bytes(4)))  # tcp(7), SIOCOUTQ
    if not unsent:
        send_rest(connection)


class PromptSocket(socket.socket):
    """A connection of many small packets in both directions, for a library that asks for each in several pieces.

    The kernel holds a small packet back until the one before it is acknowledged, and an acknowledgement back for 40 ms
    in case there is something to say with it.  Here nothing is held back that we send, nor, while ``is_prompt``, what
    the other side waits for before it goes on.  A time limit costs a look at the connection before each call: here
    there is one only where there is something to wait for.
    """

    is_prompt = True
    _ahead = b""  # what was received already, beyond what was asked for

    @classmethod
    def of(cls, connection: socket.socket) -> Self:
        """Return what ``connection`` was, which is used up."""
        limit = connection.gettimeout()
        prompt = cls(fileno=connection.detach())
        prompt.settimeout(limit)
        prompt.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return prompt

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return what came, ``size`` bytes at most, b"" at the end."""
        received = self._ahead or self._received(flags)
        self._ahead = received[size:]
        return received[:size]

    def _received(self, flags: int) -> bytes:
        received = super().recv(_AHEAD, flags)
        if self.is_prompt:
            self.setsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK, 1)  # the kernel forgets it again
        return received

    def send(self, data: ReadableBuffer, flags: int = 0, /) -> int:
        """Send some of ``data``; return how many bytes."""
        try:
            return os.write(self.fileno(), data)  # has no time limit, and does not wait where ours has one
        except BlockingIOError:
            return super().send(data, flags)


def connected(host: str, port: int, timeout: float | None, label: str, watch: Watch) -> PromptSocket:
    """Return a connection to the first address of ``host`` that takes one; ``timeout`` is in seconds for each."""
    look_up(host, port, label, watch)
    watch.begin(Stage.CONNECT)
    with told(f"{label}: cannot connect", Scope.QUEUE):
        connection = PromptSocket.of(socket.create_connection((host, port), timeout))
    discard_unsent(connection)
    return connection


def look_up(host: str, port: int, label: str, watch: Watch) -> None:
    """Tell ``watch`` the addresses of ``host``."""
    watch.begin(Stage.RESOLVE)
    with told(f"{label}: cannot connect", Scope.QUEUE):
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    watch.found(", ".join(dict.fromkeys(str(address[0]) for *_kind, address in found)))
