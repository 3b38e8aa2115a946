"""Connections on which questions and answers do not wait for each other's acknowledgement."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import threading
from typing import TYPE_CHECKING, NoReturn

import pytest

from archq.transports.base import UNWATCHED
from archq.transports.sockets import PromptSocket, connected, in_time, limit_sending, part_in_order, send_rest
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


def send_for_ever(connection: socket.socket) -> NoReturn:
    while True:
        connection.send(bytes(1 << 16))


def receive_all(connection: socket.socket) -> None:
    while connection.recv(1 << 20):
        pass


def test_a_small_packet_is_sent_at_once(pair: tuple[PromptSocket, socket.socket]) -> None:
    assert pair[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_what_came_is_acknowledged_at_once_until_the_files_go(pair: tuple[PromptSocket, socket.socket]) -> None:
    ours, theirs = pair
    talk(ours, theirs)
    assert ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)
    ours.is_prompt = False
    talk(ours, theirs)
    assert not ours.getsockopt(socket.IPPROTO_TCP, socket.TCP_QUICKACK)


def test_what_came_at_once_is_given_out_in_the_pieces_that_are_asked_for(
    pair: tuple[PromptSocket, socket.socket],
) -> None:
    ours, theirs = pair
    theirs.sendall(b"headbody")
    theirs.close()
    assert [ours.recv(4), ours.recv(3), ours.recv(100), ours.recv(100)] == [b"head", b"bod", b"y", b""]


def test_more_than_the_other_side_takes_waits_for_no_longer_than_the_limit(
    pair: tuple[PromptSocket, socket.socket],
) -> None:
    ours, theirs = pair
    ours.settimeout(0.01)
    with pytest.raises(TimeoutError):
        send_for_ever(ours)
    ours.settimeout(7.0)
    reader = threading.Timer(0.01, receive_all, (theirs,))
    reader.start()
    assert ours.send(b"and now there is room")
    ours.shutdown(socket.SHUT_WR)
    reader.join()


def test_it_keeps_its_time_limit(pair: tuple[PromptSocket, socket.socket]) -> None:
    assert pair[0].gettimeout() == 7.0
    pair[0].settimeout(0.01)
    with pytest.raises(TimeoutError):
        pair[0].recv(1)


def fill(connection: socket.socket) -> int:
    """Say more than the other side and the kernel take; return how many bytes the kernel took."""
    said = 0
    connection.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            said += connection.send(bytes(1 << 16))
    return said


def heard(theirs: socket.socket) -> int:
    """Return how many bytes come, up to the end; raise ConnectionResetError instead of an end."""
    count = 0
    while block := theirs.recv(1 << 16):
        count += len(block)
    return count


def test_what_was_not_taken_is_lost_when_the_session_fails(pair: tuple[PromptSocket, socket.socket]) -> None:
    ours, theirs = pair
    fill(ours)
    part_in_order(ours)  # there is no order to part in
    ours.close()
    with pytest.raises(ConnectionResetError):
        heard(theirs)


def test_what_was_not_taken_is_lost_when_we_are_killed(pair: tuple[PromptSocket, socket.socket]) -> None:
    ours, theirs = pair
    if not (child := os.fork()):
        fill(ours)
        os.kill(os.getpid(), signal.SIGKILL)
    os.close(ours.detach())
    os.waitpid(child, 0)
    with pytest.raises(ConnectionResetError):
        heard(theirs)


def test_what_was_not_taken_is_sent_when_all_is_well(pair: tuple[PromptSocket, socket.socket]) -> None:
    ours, theirs = pair
    said = fill(ours)
    send_rest(ours)
    ours.close()
    assert heard(theirs) == said


def test_a_session_that_owes_nothing_ends_without_a_reset(pair: tuple[PromptSocket, socket.socket]) -> None:
    ours, theirs = pair
    talk(ours, theirs)
    part_in_order(ours)
    ours.close()
    assert heard(theirs) == 0


def test_a_limit_of_the_kernels_ends_what_gets_nowhere(pair: tuple[PromptSocket, socket.socket]) -> None:
    with socket.create_connection(pair[1].getsockname()[:2]) as ours:
        limit_sending(ours, 0.1)
        with pytest.raises(TimeoutError), in_time():
            send_for_ever(ours)


def test_a_limit_of_the_kernels_ends_a_connection_that_does_not_come_about() -> None:
    with socket.create_server((HOST, 0), backlog=0) as server, contextlib.ExitStack() as waiting:

        def connect_until_the_server_takes_no_more() -> NoReturn:
            while True:
                connection = waiting.enter_context(socket.socket())
                limit_sending(connection, 0.1)
                with in_time():
                    connection.connect(server.getsockname())

        with pytest.raises(TimeoutError):
            connect_until_the_server_takes_no_more()
