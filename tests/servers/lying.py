"""Servers that misbehave as real ones cannot be made to: they hang, cut, drip, fail late, or say what is not so."""

from __future__ import annotations

import contextlib
import io
import os
import socket
import struct
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

import paramiko
from paramiko.sftp import CMD_CLOSE, CMD_STATUS, SFTP_FAILURE, SFTP_NO_SUCH_FILE, SFTP_OK

from tests.servers.process import HOST

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    Answer = str | Callable[["FtpSession", str], object]

SMALL = 4096  # bytes a socket takes without being read
PROMPT = 0.2  # seconds within which a thread notices that its server ends


class EndOfSessionError(Exception):
    """The server, or this session of it, ends."""


class FtpSession:
    """One client's FTP session: honest, except for the verbs that have another answer in ``answers``."""

    def __init__(self, control: socket.socket, directory: Path, answers: Mapping[str, Answer], end: threading.Event):
        self.control = control
        self.lines = control.makefile("rb")
        self.directory = directory
        self.answers = answers
        self.end = end
        self.passive: socket.socket | None = None
        self.name = ""
        self.offset = 0
        self.at_end: list[Callable[[], object]] = []

    def serve(self) -> None:
        with contextlib.suppress(OSError, EndOfSessionError), self.control:
            self.answer("CONNECT", "")
            while line := self.lines.readline():
                verb, _, argument = line.decode().rstrip("\r\n").partition(" ")
                self.answer(verb.upper(), argument)
        for end in self.at_end:
            end()

    def answer(self, verb: str, argument: str) -> None:
        answer = self.answers.get(verb, HONEST.get(verb, "502 Unknown."))
        if isinstance(answer, str):
            self.say(answer)
        else:
            answer(self, argument)

    def say(self, reply: str) -> None:
        self.control.sendall(f"{reply}\r\n".encode())

    def hang(self) -> None:
        """Stay connected and say nothing more."""
        self.end.wait()
        raise EndOfSessionError

    def epsv(self, _argument: str) -> None:
        self.passive = socket.create_server((HOST, 0))
        self.passive.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        self.say(f"229 Here (|||{self.passive.getsockname()[1]}|)")

    def pasv(self, _argument: str) -> None:
        self.passive = socket.create_server((HOST, 0))
        self.passive.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, SMALL)
        high, low = divmod(self.passive.getsockname()[1], 256)
        self.say(f"227 Here ({HOST.replace('.', ',')},{high},{low})")

    def rest(self, argument: str) -> None:
        self.offset = int(argument)
        self.say("350 Send STOR.")

    def stor(self, argument: str) -> None:
        self.receive(argument)
        self.say("226 Complete.")

    def receive(self, name: str, *, wait: float = 0.0, most: int = 1 << 62, block: int = 1 << 16) -> None:
        """Store what comes, ``block`` bytes every ``wait`` seconds, ``most`` bytes of it; the rest is thrown away."""
        assert self.passive
        self.say("150 Send it.")
        with self.passive, self.passive.accept()[0] as data, self.opened(name) as file:
            while chunk := data.recv(block):
                file.write(chunk[: max(0, most - file.tell())])
                file.flush()
                if self.end.wait(wait) if wait else self.end.is_set():
                    raise EndOfSessionError

    def opened(self, name: str) -> BinaryIO:
        """Open a file where REST has said; a session that nobody listens to any more writes only where it stands."""
        file = open(os.open(self.directory / name, os.O_RDWR | os.O_CREAT, 0o644), "r+b")  # noqa: SIM115  # whoever called closes it
        file.truncate(self.offset)
        file.seek(self.offset)
        self.offset = 0
        return file

    def size(self, argument: str) -> None:
        path = self.directory / argument
        self.say(f"213 {path.stat().st_size}" if path.exists() else "550 No such file.")

    def rnfr(self, argument: str) -> None:
        self.name = argument
        self.say("350 And to?" if (self.directory / argument).exists() else "550 No such file.")

    def rnto(self, argument: str) -> None:
        (self.directory / self.name).rename(self.directory / argument)
        self.say("250 Done.")

    def dele(self, argument: str) -> None:
        path = self.directory / argument
        if not path.exists():
            self.say("550 No such file.")
            return
        path.unlink()
        self.say("250 Done.")

    def quit(self, _argument: str) -> None:
        self.say("221 Bye.")
        raise EndOfSessionError


HONEST: dict[str, Answer] = {
    "CONNECT": "220 Hello.",
    "USER": "331 Password?",
    "PASS": "230 Welcome.",
    "CWD": "250 Done.",
    "TYPE": "200 Done.",
    "EPSV": FtpSession.epsv,
    "PASV": FtpSession.pasv,
    "REST": FtpSession.rest,
    "STOR": FtpSession.stor,
    "SIZE": FtpSession.size,
    "RNFR": FtpSession.rnfr,
    "RNTO": FtpSession.rnto,
    "DELE": FtpSession.dele,
    "QUIT": FtpSession.quit,
}


def hang(session: FtpSession, _argument: str) -> None:
    session.hang()


def cut(session: FtpSession, _argument: str) -> None:
    raise EndOfSessionError


def store_and_hang(session: FtpSession, name: str) -> None:
    session.receive(name)
    session.hang()


def store_and_cut(session: FtpSession, name: str) -> None:
    session.receive(name)
    raise EndOfSessionError


def store_slowly(session: FtpSession, name: str) -> None:
    session.receive(name, wait=0.05)
    session.say("226 Complete.")


def store_half_and_say_complete(session: FtpSession, name: str) -> None:
    session.receive(name, most=1000)
    session.say("226 Complete.")


def reset(session: FtpSession, _argument: str) -> None:
    """End the session as a firewall, or a server that has crashed, does."""
    session.lines.close()  # which would keep the connection open
    reset_by_peer(session.control)
    raise EndOfSessionError


def reset_by_peer(connection: socket.socket) -> None:
    """Let the other side see "connection reset by peer"."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def store_part(most: int, then: Answer) -> Callable[[FtpSession, str], None]:
    """Take ``most`` bytes, end the data connection, and go on with ``then``."""

    def store(session: FtpSession, name: str) -> None:
        assert session.passive
        session.say("150 Send it.")
        with session.passive, session.passive.accept()[0] as data, session.opened(name) as file:
            while file.tell() < most and (chunk := data.recv(min(SMALL, most - file.tell()))):
                file.write(chunk)
        if isinstance(then, str):
            session.say(then)
        else:
            then(session, name)

    return store


def store_flipped_and_say_complete(session: FtpSession, name: str) -> None:
    session.receive(name)
    flip_a_byte(session.directory / name)
    session.say("226 Complete.")


def flip_a_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def store_and_refuse(reply: str) -> Callable[[FtpSession, str], None]:
    """Take all of it, and say that it failed."""

    def store(session: FtpSession, name: str) -> None:
        session.receive(name)
        session.say(reply)

    return store


def rename_and_cut(session: FtpSession, name: str) -> None:
    """Do it, and lose the reply."""
    (session.directory / session.name).rename(session.directory / name)
    raise EndOfSessionError


def rename_and_hang(session: FtpSession, name: str) -> None:
    (session.directory / session.name).rename(session.directory / name)
    session.hang()


def store_new(session: FtpSession, name: str) -> None:
    """Take a name once, as drop boxes do."""
    if (session.directory / name).exists():
        session.say("553 Could not create file.")
    else:
        session.stor(name)


def at_most(sessions: int, refusal: str) -> Callable[[FtpSession, str], None]:
    """Greet so many sessions at once, and refuse the others."""
    places = threading.Semaphore(sessions)

    def greet(session: FtpSession, _argument: str) -> None:
        if not places.acquire(blocking=False):
            session.say(refusal)
            raise EndOfSessionError
        session.at_end.append(places.release)
        session.say("220 Hello.")

    return greet


def only_first(answer: Answer, otherwise: Answer) -> Callable[[FtpSession, str], None]:
    """Give ``answer`` once, then ``otherwise``."""
    answers = iter([answer])

    def give(session: FtpSession, argument: str) -> None:
        chosen = next(answers, otherwise)
        if isinstance(chosen, str):
            session.say(chosen)
        else:
            chosen(session, argument)

    return give


@contextmanager
def serving(serve: Callable[[socket.socket, threading.Event], None]) -> Iterator[int]:
    """Call ``serve`` in a thread for every connection to the port that this gives."""
    end = threading.Event()
    with socket.create_server((HOST, 0), backlog=64) as listener:
        listener.settimeout(PROMPT)
        accepting = threading.Thread(target=_accept, args=(listener, serve, end))
        accepting.start()
        try:
            yield listener.getsockname()[1]
        finally:
            end.set()
            accepting.join()


def _accept(
    listener: socket.socket, serve: Callable[[socket.socket, threading.Event], None], end: threading.Event
) -> None:
    while not end.is_set():
        with contextlib.suppress(TimeoutError):
            connection, _address = listener.accept()
            connection.settimeout(None)
            threading.Thread(target=serve, args=(connection, end), daemon=True).start()


@contextmanager
def ftp_server(directory: Path, answers: Mapping[str, Answer]) -> Iterator[str]:
    """Serve ``directory`` by FTP, with other ``answers`` to some commands; give the URL."""

    def serve(connection: socket.socket, end: threading.Event) -> None:
        FtpSession(connection, directory, answers, end).serve()

    with serving(serve) as port:
        yield f"ftp://tdcin@{HOST}:{port}/incoming"


@contextmanager
def silent_server() -> Iterator[int]:
    """Accept connections and say nothing."""

    def serve(connection: socket.socket, end: threading.Event) -> None:
        with connection:
            end.wait()

    with serving(serve) as port:
        yield port


@dataclass(frozen=True, slots=True, kw_only=True)
class Failing:
    """What an SFTP server fails to do: the write number ``write`` (from 0), or to close."""

    write: int | None = None
    onwards: bool = False  # and all that come behind it
    close: bool = False
    code: int = SFTP_FAILURE
    terse: bool = False  # says nothing beside the code, as in versions before the third
    removed: list[str] = field(default_factory=list)  # what was removed at its client's wish


class _Handle(paramiko.SFTPHandle):
    def __init__(self, failing: Failing) -> None:
        super().__init__()
        self.failing = failing
        self.writes = 0
        self.content = io.BytesIO()

    def write(self, offset: int, data: Any) -> int:
        self.writes += 1
        number, failing = self.writes - 1, self.failing.write
        if number == failing or (self.failing.onwards and failing is not None and number > failing):
            return self.failing.code
        self.content.seek(offset)
        self.content.write(data)
        return SFTP_OK

    def close(self) -> None:
        """Keep what was written."""


class _Interface(paramiko.SFTPServerInterface):
    def __init__(self, server: paramiko.ServerInterface, failing: Failing) -> None:
        super().__init__(server)
        self.failing = failing

    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        """Answer, as the protocol allows, without saying anything about what is there."""
        return SFTP_NO_SUCH_FILE if path.endswith("/absent.df") else paramiko.SFTPAttributes()

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle:
        return _Handle(self.failing)

    def remove(self, path: str) -> int:
        self.failing.removed.append(path)
        return int(SFTP_OK)


class _Server(paramiko.SFTPServer):
    """paramiko's server always says that closing went well."""

    failing: ClassVar[Failing]

    def _process(self, kind: int, number: int, message: paramiko.Message) -> None:
        if kind == CMD_CLOSE and self.server.failing.close:  # type: ignore[attr-defined]
            self._send_status(number, self.server.failing.code)  # type: ignore[attr-defined]
        else:
            super()._process(kind, number, message)

    def _send_status(self, number: int, code: int, desc: str | None = None) -> None:
        if not self.server.failing.terse:  # type: ignore[attr-defined]
            super()._send_status(number, code, desc)
            return
        message = paramiko.Message()
        message.add_int(number)
        message.add_int(code)
        self._send_packet(CMD_STATUS, message)


class _AnyLogin(paramiko.ServerInterface):
    def check_auth_password(self, username: str, password: str) -> int:
        return paramiko.common.AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.common.OPEN_SUCCEEDED


@contextmanager
def sftp_server(failing: Failing, known_hosts: Path) -> Iterator[str]:
    """Serve SFTP that fails as it is told; give the URL, and write the host key to ``known_hosts``."""
    host_key = paramiko.ECDSAKey.generate()

    def serve(connection: socket.socket, end: threading.Event) -> None:
        transport = paramiko.Transport(connection)
        transport.add_server_key(host_key)
        transport.set_subsystem_handler("sftp", _Server, partial(_Interface, failing=failing))
        with contextlib.suppress(Exception):
            transport.start_server(server=_AnyLogin())
            end.wait()
        transport.close()

    with serving(serve) as port:
        known_hosts.write_text(f"[{HOST}]:{port} {host_key.get_name()} {host_key.get_base64()}\n")
        yield f"sftp://tdcin@{HOST}:{port}/incoming"
