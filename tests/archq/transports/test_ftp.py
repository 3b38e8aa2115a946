"""FTP: what only a server that misbehaves, or an unusual one, shows."""

from __future__ import annotations

import contextlib
import io
import select
import threading
from typing import TYPE_CHECKING, Self

import pytest

from archq.config import QueueSettings
from archq.errors import InputOutputError
from archq.transports import ftp
from archq.transports.accounts import connect
from archq.transports.base import (
    NotPermittedTransferError,
    PermanentTransferError,
    Scope,
    TemporaryTransferError,
)
from archq.transports.ftp import _send
from archq.transports.pipeline import run_together
from tests.servers import lying
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from archq.transports.base import Transport
    from archq.transports.pipeline import Pipeline
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
def test_a_server_that_does_not_resume_is_said_not_to_and_asked_on(session: Transport) -> None:
    with pytest.raises(NotPermittedTransferError, match="does not resume part: "):
        session.put(io.BytesIO(CONTENT), "part", offset=100)
    assert session.size("part") is None


def says_nothing_before_it_has_all(session: lying.FtpSession, name: str) -> None:
    assert session.passive
    with session.passive, session.passive.accept()[0] as data, session.opened(name) as file:
        while chunk := data.recv(1 << 16):
            file.write(chunk)
    session.say("150 Send it.")
    session.say("226 Complete.")


@answering(STOR=says_nothing_before_it_has_all)
def test_a_small_file_does_not_wait_to_be_told_to_begin(session: Transport, tmp_path: Path) -> None:
    session.put(io.BytesIO(CONTENT), "whole")
    session.put(io.BytesIO(), "empty")
    assert (tmp_path / "whole").read_bytes() == CONTENT
    assert (tmp_path / "empty").read_bytes() == b""
    with pytest.raises(TemporaryTransferError, match="cannot send large: no answer in time"):
        session.put(io.BytesIO(bytes(40_000)), "large")


@answering(STOR="200 All right.\r\n150 Send it.\r\n426 Something ended it.")
def test_a_server_that_says_more_than_it_should_is_heard_to_the_end(session: Transport) -> None:
    with pytest.raises(TemporaryTransferError, match=r"cannot send part: the server says 426 Something ended it\."):
        session.put(io.BytesIO(CONTENT), "part")


def refuse_and_close(session: lying.FtpSession, _name: str) -> None:
    assert session.passive
    lying.reset_by_peer(session.passive.accept()[0])
    session.say("553 Not here.")


@answering(STOR=refuse_and_close)
def test_who_is_refused_while_he_sends_hears_why_and_goes_on(session: Transport) -> None:
    for size in (0, 100, 1_000_000):
        with pytest.raises(NotPermittedTransferError, match=r"cannot send part: the server says 553 Not here\."):
            session.put(io.BytesIO(bytes(size)), "part")
    assert session.size("part") is None


def what_comes_first(session: lying.FtpSession, verb: str, argument: str) -> None:
    """Answer ``verb`` only when another command is there as well, and then that one too."""
    further, _, rest = session.lines.readline().decode().rstrip("\r\n").partition(" ")
    lying.HONEST[verb](session, argument)
    session.answer(further, rest)


def with_the_next(verb: str) -> Answer:
    return lambda session, argument: what_comes_first(session, verb, argument)


async def stored(pipeline: Pipeline, name: str) -> int | None:
    await pipeline.put(io.BytesIO(CONTENT), f".{name}")
    size = await pipeline.size(f".{name}")
    await pipeline.rename(f".{name}", name)
    return size


@answering(SIZE=lying.only_first(with_the_next("SIZE"), lying.FtpSession.size), RNFR=with_the_next("RNFR"))
def test_what_is_asked_of_one_file_goes_out_with_the_next_file(session: Transport, tmp_path: Path) -> None:
    pipeline = session.pipeline()
    assert run_together([stored(pipeline, "a"), stored(pipeline, "b")], pipeline.receive) == [len(CONTENT)] * 2
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == CONTENT


def test_a_server_that_forgets_what_comes_too_early_is_asked_one_thing_at_a_time(tmp_path: Path) -> None:
    too_early: list[bool] = []

    def looking(verb: str) -> Answer:
        def look(session: lying.FtpSession, argument: str) -> None:
            too_early.append(bool(select.select([session.control], [], [], 0.05)[0]))
            lying.HONEST[verb](session, argument)

        return look

    greeting = {"CONNECT": "220 Microsoft FTP Service"}
    with lying.ftp_server(tmp_path, greeting | {verb: looking(verb) for verb in ("SIZE", "RNFR", "PASV")}) as url:
        session = connect(QueueSettings(name="archive", url=url, idle=1))
        pipeline = session.pipeline()
        assert run_together([stored(pipeline, "a"), stored(pipeline, "b")], pipeline.receive) == [len(CONTENT)] * 2
        session.close()
    assert too_early == [False] * 6


@answering(RNFR="550 No such file.", RNTO="503 What?")
def test_of_a_rename_that_failed_the_reason_is_told(session: Transport) -> None:
    with pytest.raises(PermanentTransferError, match=r"cannot rename a: the server says 550 No such file\."):
        session.rename("a", "b")
    assert session.size("b") is None


@answering(STOR=lying.only_first(lying.store_and_hang, lying.FtpSession.stor))
def test_after_a_reply_that_did_not_come_none_is_taken_for_another(session: Transport) -> None:
    pipeline = session.pipeline()
    first, second = run_together([stored(pipeline, "a"), stored(pipeline, "b")], pipeline.receive)
    assert str(first).endswith("cannot send .a: no answer in time")
    assert "cannot send .b: " in str(second)
    with pytest.raises(TemporaryTransferError):
        session.size(".a")


class Unreadable(io.BytesIO):
    """A copy in the spool on a disk that fails."""

    def read(self, _size: int | None = -1) -> bytes:
        raise InputOutputError("cannot read the spooled copy")


def test_a_copy_that_cannot_be_read_ends_the_session_which_is_out_of_step_then(session: Transport) -> None:
    with pytest.raises(InputOutputError, match="cannot read the spooled copy"):
        session.put(Unreadable(), "a")
    with pytest.raises(TemporaryTransferError, match="cannot send b: the connection was lost: another file was broken"):
        session.put(io.BytesIO(CONTENT), "b")


def test_a_reply_that_is_cut_short_is_none(tmp_path: Path) -> None:
    def cut_short(session: lying.FtpSession, _name: str) -> None:
        session.control.sendall(b"213 1")
        raise lying.EndOfSessionError

    with lying.ftp_server(tmp_path, {"SIZE": cut_short}) as url:
        session = connect(QueueSettings(name="archive", url=url, idle=1))
        with pytest.raises(TemporaryTransferError, match="cannot ask the size of a: the connection was lost"):
            session.size("a")
        session.close()


class _SentLate(io.BytesIO):
    """What is read only when the server has closed the data connection."""

    def __init__(self, closed: threading.Event) -> None:
        super().__init__(CONTENT)
        self._closed = closed

    def read(self, size: int | None = -1) -> bytes:
        assert self._closed.wait(20)
        return super().read(size)


def test_a_server_that_refuses_to_resume_faster_than_a_file_comes_is_understood(tmp_path: Path) -> None:
    closed = threading.Event()

    def refuse(session: lying.FtpSession, _name: str) -> None:
        assert session.passive
        lying.reset_by_peer(session.passive.accept()[0])
        closed.set()
        session.say("451 part: Append/Restart not permitted, try again")

    with lying.ftp_server(tmp_path, {"STOR": refuse}) as url:
        session = connect(QueueSettings(name="archive", url=url, idle=20))
        with pytest.raises(NotPermittedTransferError, match="does not resume part: "):
            session.put(_SentLate(closed), "part", offset=100)
        assert session.size("part") is None
        session.close()


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


def test_what_a_failed_session_has_still_to_ask_never_comes(tmp_path: Path) -> None:
    ends: list[str] = []

    def listen_on(server: lying.FtpSession, _name: str) -> None:
        try:
            server.lines.read()
            ends.append("the end")
        except ConnectionResetError:
            ends.append("a reset")
        raise lying.EndOfSessionError

    with lying.ftp_server(tmp_path, {"STOR": listen_on}) as url:
        session = connect(QueueSettings(name="archive", url=url, idle=1))
        with pytest.raises(TemporaryTransferError, match="cannot send part: no answer in time"):
            session.put(io.BytesIO(CONTENT), "part")
        session.close()
        wait_until(lambda: bool(ends), "the server has heard the end")
    assert ends == ["a reset"]


class Closing:
    """A server that says that all is there, and then is busy closing the file until it is let go."""

    def __init__(self, sessions: int) -> None:
        self.done = threading.Event()
        self.heard: list[str] = []
        self.answers: dict[str, Answer] = {
            "CONNECT": self.noting("CONNECT", lying.at_most(sessions, "421 No more sessions.")),
            "STOR": self.store,
            "NOOP": self.noting("NOOP", lambda server, _argument: server.say("200 Well?")),
            "QUIT": self.noting("QUIT", lying.FtpSession.quit),
        }

    def noting(self, verb: str, answer: Callable[[lying.FtpSession, str], object]) -> Answer:
        def noted(server: lying.FtpSession, argument: str) -> None:
            self.heard.append(verb)
            answer(server, argument)

        return noted

    def store(self, server: lying.FtpSession, name: str) -> None:
        server.stor(name)
        self.done.wait(60)

    def close_when_another_session_was_refused(self) -> None:
        wait_until(lambda: self.heard == ["CONNECT", "CONNECT"], "another session is asked for")
        self.done.set()


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """What is large enough to be closed late."""
    monkeypatch.setattr(ftp, "_CLOSED_LATE", len(CONTENT))
    return CONTENT


def test_a_server_that_is_still_closing_a_large_file_is_asked_in_another_session(tmp_path: Path, large: bytes) -> None:
    server = Closing(sessions=2)
    with lying.ftp_server(tmp_path, server.answers) as url:
        session = connect(QueueSettings(name="archive", url=url, idle=1))
        session.put(io.BytesIO(large), "part")
        assert session.size("part") == len(large)
        assert server.heard == ["CONNECT", "CONNECT"]
        server.done.set()
        session.put(io.BytesIO(b"small"), "control")
        session.close()
        wait_until(lambda: server.heard.count("QUIT") == 2, "both sessions are left")
    assert (tmp_path / "part").read_bytes() == large
    assert (tmp_path / "control").read_bytes() == b"small"


def test_where_the_server_allows_no_other_session_the_first_is_waited_for(tmp_path: Path, large: bytes) -> None:
    server = Closing(sessions=1)
    with lying.ftp_server(tmp_path, server.answers) as url:
        session = connect(QueueSettings(name="archive", url=url, idle=60))
        closed = threading.Thread(target=server.close_when_another_session_was_refused)
        closed.start()
        session.put(io.BytesIO(large), "part")
        closed.join()
        assert session.size("part") == len(large)
        session.close()
    assert server.heard == ["CONNECT", "CONNECT", "NOOP", "QUIT"]


@pytest.mark.parametrize("reply", ["200 Well?", "550 Not for you.", "502 Unknown."])
def test_a_server_that_answers_is_asked_in_the_same_session(tmp_path: Path, large: bytes, reply: str) -> None:
    server = Closing(sessions=2)
    server.done.set()
    server.answers["NOOP"] = server.noting("NOOP", lambda session, _argument: session.say(reply))
    with lying.ftp_server(tmp_path, server.answers) as url:
        session = connect(QueueSettings(name="archive", url=url, idle=60))
        session.put(io.BytesIO(large), "part")
        session.put(io.BytesIO(large[1:]), "smaller")
        assert session.size("part") == len(large)
        assert session.size("smaller") == len(large) - 1
        session.close()
    assert server.heard == ["CONNECT", "NOOP", "QUIT"]


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
