"""Connections on which questions and answers do not wait for each other's acknowledgement."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

import pytest

from archq.transports.base import UNWATCHED
from archq.transports.sockets import PromptSocket, connected
from tests.servers.process import HOST

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def pair() -> Iterator[tuple[PromptSocket, socket.socket]]:
    """A connection of ours, and its other end."""
    with (
        socket.create_server((HOST, 0)) as server,
        connected(HOST, server.getsockname()[1], 7.0, "a test", UNWATCHED) as ours,
    ):
        theirs = server.accept()[0]
        with theirs:
            yield ours, theirs


def talk(ours: socket.socket, theirs: socket.socket) -> None:
    """Ask and answer until the kernel thinks that an acknowledgement can wait for the next question."""
    for _ in range(3):
        ours.sendall(b"question")
        theirs.recv(100)
        theirs.sendall(b"answer")
        ours.recv(100)


def test_a_small_packet_is_sent_at_once(pair: tuple[PromptSocket, socket.socket]) -> None:
    assert pair[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_came_is_acknowledged_at_once_until_the_files_go(pair: tuple[PromptSocket, socket.socket]) -> None:
    ours, theirs = pair
    talk(ours, theirs)
    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)
    ours.is_prompt = False
    talk(ours, theirs)
    assert not ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)


def test_it_keeps_its_time_limit(pair: tuple[PromptSocket, socket.socket]) -> None:
    assert pair[0].gettimeout() == 7.0
    pair[0].settimeout(0.01)
    with pytest.raises(TimeoutError):
        pair[0].recv(1)
