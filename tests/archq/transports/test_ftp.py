"""FTP: what only a server that misbehaves, or an unusual one, shows."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from typing import TYPE_CHECKING, Self

import pytest

from archq.config import QueueSettings
from archq.transports.accounts import connect
from archq.transports.base import (
    NotPermittedTransferError,
    PermanentTransferError,
    Scope,
    TemporaryTransferError,
)
from archq.transports.ftp import _send
from tests.servers import lying
from tests.servers.process import wait_until

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

    from archq.transports.base import Transport
    from tests.servers.lying import Answer

CONTENT = bytes(range(256)) * 40


@pytest.fixture
def session(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Transport]:
    """A session with a server whose answers are the parameter's."""
    answers: dict[str, Answer] = getattr(request, "param", {})
    with lying.ftp_server(tmp_path, answers) as url:
        session = connect(QueueSettings(name="archive", url=url, idle=1))
        yield session
        session.close()


def answering(**answers: Answer) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("session", [answers], indirect=True)


def test_the_honest_server_of_these_tests_stores_resumes_and_renames(session: Transport, tmp_path: Path) -> None:
    session.put(io.BytesIO(CONTENT[:100]), "part")
    session.put(io.BytesIO(CONTENT[100:]), "part", offset=100)
    session.rename("part", "whole")
    session.remove("part")
    assert session.size("whole") == len(CONTENT)
    assert (tmp_path / "whole").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "session",
    [
        {"REST": "502 No REST here."},
        {"STOR": "550 part: Restart not permitted."},
        {"STOR": "451 part: Append/Restart not permitted, try again"},
    ],
    indirect=True,
)
def test_a_server_that_does_not_resume_is_said_not_to(session: Transport) -> None:
    with pytest.raises(NotPermittedTransferError, match="does not resume part: "):
        session.put(io.BytesIO(CONTENT), "part", offset=100)


@answering(STOR="451 Local error.")
def test_the_same_reply_to_a_new_file_is_what_it_says(session: Transport) -> None:
    with pytest.raises(TemporaryTransferError, match=r"cannot send part: the server says 451 Local error\."):
        session.put(io.BytesIO(CONTENT), "part")


@answering(STOR=lying.store_and_cut)
def test_a_server_that_goes_away_before_its_last_reply_has_not_acknowledged(session: Transport) -> None:
    with pytest.raises(TemporaryTransferError, match="cannot send part: the connection was lost"):
        session.put(io.BytesIO(CONTENT), "part")


@answering(STOR=lying.store_and_hang)
def test_a_last_reply_that_never_comes_is_waited_for_no_longer_than_allowed(session: Transport) -> None:
    with pytest.raises(TemporaryTransferError, match="cannot send part: no answer in time"):
        session.put(io.BytesIO(CONTENT), "part")


def test_what_a_server_has_not_taken_in_time_never_comes(tmp_path: Path) -> None:
    came: list[int | str] = []

    def take_later(server: lying.FtpSession, _name: str) -> None:
        assert server.passive
        server.say("150 Send it.")
        with server.passive, server.passive.accept()[0] as data:
            with contextlib.suppress(ConnectionResetError):
                server.lines.read()  # until nobody asks any more
            try:
                while block := data.recv(1 << 16):
                    came.append(len(block))
                came.append("the end")
            except ConnectionResetError:
                came.append("a reset")

    with lying.ftp_server(tmp_path, {"STOR": take_later}) as url:
        session = connect(QueueSettings(name="archive", url=url, idle=1))
        with pytest.raises(TemporaryTransferError, match="cannot send part: no answer in time"):
            session.put(io.BytesIO(bytes(1 << 24)), "part")
        session.close()
        wait_until(lambda: came and isinstance(came[-1], str), "the server has taken all there is")
    assert came[-1] == "a reset"


def test_a_goodbye_without_an_answer_is_not_waited_for(tmp_path: Path) -> None:
    with lying.ftp_server(tmp_path, {"QUIT": lying.hang}) as url:
        connect(QueueSettings(name="archive", url=url, idle=600)).close()


@answering(SIZE="502 What size?")
def test_a_server_without_size_cannot_say(session: Transport) -> None:
    with pytest.raises(NotPermittedTransferError, match="cannot ask the size of part: the server says 502"):
        session.size("part")


@answering(SIZE="250 What size?")
def test_an_answer_without_a_size_is_none_that_says_the_file_is_missing(session: Transport) -> None:
    with pytest.raises(NotPermittedTransferError, match="does not tell the size of part"):
        session.size("part")


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"CONNECT": "421 Too many connections."}, "cannot connect: the server says 421"),
        ({"CONNECT": "HTTP/1.1 400 Bad Request"}, "cannot connect: an answer out of turn: HTTP/1.1"),
        ({"CONNECT": lying.cut}, "cannot connect: the connection was lost"),
        ({"CONNECT": lying.hang}, "cannot connect: no answer in time"),
        ({"PASS": "421 Shutting down."}, "cannot log in as tdcin: the server says 421"),
        ({"PASS": lying.cut}, "cannot log in as tdcin: the connection was lost"),
        ({"PASS": lying.hang}, "cannot log in as tdcin: no answer in time"),
        ({"CWD": lying.cut}, "cannot enter the directory: the connection was lost"),
    ],
)
def test_a_session_that_cannot_begin_now_may_later(answers: dict[str, Answer], message: str, tmp_path: Path) -> None:
    with (
        lying.ftp_server(tmp_path, answers) as url,
        pytest.raises(TemporaryTransferError, match=message) as caught,
    ):
        connect(QueueSettings(name="archive", url=url, idle=1))
    assert caught.value.scope is Scope.QUEUE


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"USER": "530 No."}, "cannot log in as tdcin: the server says 530"),
        ({"PASS": "530 Login incorrect."}, "cannot log in as tdcin: the server says 530"),
        ({"CWD": "550 No such directory."}, "cannot enter the directory: the server says 550"),
        ({"TYPE": "504 Only text."}, "cannot enter the directory: the server says 504"),
    ],
)
def test_a_session_that_can_never_begin_blocks_the_queue(
    answers: dict[str, Answer], message: str, tmp_path: Path
) -> None:
    with (
        lying.ftp_server(tmp_path, answers) as url,
        pytest.raises(PermanentTransferError, match=message) as caught,
    ):
        connect(QueueSettings(name="archive", url=url, idle=1))
    assert caught.value.scope is Scope.QUEUE


class Unmappable(io.BytesIO):
    """A file on a filesystem from which the kernel does not copy, as it finds out sooner or later."""

    def __init__(self, sent_before: int) -> None:
        super().__init__(CONTENT)
        self.left = sent_before

    def sendfile(self, connection: socket.socket, _size: int) -> int:
        if not self.left:
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        block = self.read(self.left)
        self.left = 0
        connection.sendall(block)
        return len(block)


@pytest.mark.parametrize("sent_before", [0, 100])
def test_what_the_kernel_cannot_copy_is_read(session: Transport, tmp_path: Path, sent_before: int) -> None:
    session.put(Unmappable(sent_before), "whole")
    assert (tmp_path / "whole").read_bytes() == CONTENT


def test_a_link_that_takes_little_at_a_time_takes_all(tmp_path: Path) -> None:
    class Narrow:
        taken = b""

        def send(self, data: memoryview) -> int:
            self.taken += data[:7]
            return len(data[:7])

        def setsockopt(self, *_option: object) -> None:
            pass

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_error: object) -> None:
            pass

    link = Narrow()
    _send(io.BytesIO(CONTENT), link)  # type: ignore[arg-type]
    assert link.taken == CONTENT
