"""FTP and SFTP servers that fail, hang or lie in the way whose name they are told, at their first try or at every."""

from __future__ import annotations

import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

import paramiko
from paramiko.common import AUTH_FAILED, AUTH_SUCCESSFUL, OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED, OPEN_SUCCEEDED
from paramiko.sftp import CMD_CLOSE, SFTP_FAILURE, SFTP_OK, SFTP_PERMISSION_DENIED

from archq.demo.sftpserver import _Directory, _DropBox
from tests.servers import lying
from tests.servers.process import HOST

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from tests.servers.lying import Answer, FtpSession

HONEST = ""
DRIP = 0.05  # seconds between two blocks


@dataclass
class Mood:
    """How a server behaves now."""

    fault: str = HONEST
    every: bool = False
    struck: int = 0
    changed: threading.Event = field(default_factory=threading.Event)

    def become(self, fault: str, every: bool) -> int:
        """Change; return how often the last fault has struck.  Whatever hangs goes on, and ends."""
        struck, self.struck = self.struck, 0
        self.fault, self.every = fault, every
        changed, self.changed = self.changed, threading.Event()
        changed.set()
        return struck

    def strikes(self, fault: str) -> bool:
        """Say whether ``fault`` is to happen now."""
        if self.fault != fault or (self.struck and not self.every):
            return False
        self.struck += 1
        return True


# FTP: other answers to some commands.

FTP_FAULTS: dict[str, Mapping[str, Answer]] = {
    "hangs at connecting": {"CONNECT": lying.hang},
    "has too many clients": {"CONNECT": "421 Too many connections."},
    "cuts at connecting": {"CONNECT": lying.cut},
    "greets for ever": {"CONNECT": "220-Hello\r\n" * 5000},
    "hangs at login": {"PASS": lying.hang},
    "refuses login": {"PASS": "530 Login incorrect."},
    "resets at login": {"USER": lying.reset},
    "has no such directory": {"CWD": "550 No such directory."},
    "knows no passive mode": {"PASV": "502 Unknown.", "EPSV": "502 Unknown."},
    "tells a passive port that is none": {"PASV": "227 Here (127,0,0,1,300)"},
    "says nonsense": {"STOR": "xyz"},
    "answers without end": {"STOR": "1" * 20_000},
    "says 452": {"STOR": "452 Insufficient storage."},
    "says 550": {"STOR": "550 Permission denied."},
    "hangs at STOR": {"STOR": lying.hang},
    "resets at STOR": {"STOR": lying.reset},
    "is full in the middle": {"STOR": lying.store_part(1000, "452 Insufficient storage.")},
    "aborts in the middle": {"STOR": lying.store_part(1000, "426 Connection closed.")},
    "cuts in the middle": {"STOR": lying.store_part(1000, lying.cut)},
    "resets in the middle": {"STOR": lying.store_part(1000, lying.reset)},
    "hangs in the middle": {"STOR": lying.store_part(1000, lying.hang)},
    "truncates and says 226": {"STOR": lying.store_half_and_say_complete},
    "flips a byte and says 226": {"STOR": lying.store_flipped_and_say_complete},
    "drips": {
        "STOR": partial(lambda session, name: (session.receive(name, wait=DRIP, block=512), session.say("226 .")))
    },
    "dies before 226": {"STOR": lying.store_and_cut},
    "hangs before 226": {"STOR": lying.store_and_hang},
    "takes all and says 451": {"STOR": lying.store_and_refuse("451 Local error.")},
    "lies about SIZE": {"SIZE": "213 17"},
    "says nonsense about SIZE": {"SIZE": "213 many"},
    "hangs at SIZE": {"SIZE": lying.hang},
    "loses the reply to a rename": {"RNTO": lying.rename_and_cut},
    "hangs after a rename": {"RNTO": lying.rename_and_hang},
    "refuses to rename": {"RNTO": "550 Permission denied."},
    "fails to rename": {"RNTO": "451 Local error."},
    "cuts at QUIT": {"QUIT": lying.cut},
}
DROP_BOX: Mapping[str, Answer] = {
    "STOR": lying.store_new,
    **dict.fromkeys(("RNFR", "DELE", "SIZE", "REST"), "550 Permission denied."),
}


@contextmanager
def ftp(incoming: Path, upload_only: bool) -> Iterator[tuple[str, Callable[[str, bool], int]]]:
    """Serve by FTP; give the URL and what sets the fault."""
    mood = Mood()
    usual = {**lying.HONEST, **(DROP_BOX if upload_only else {})}
    answers = {verb: partial(_answer, mood, verb, usual) for verb in usual}
    with lying.ftp_server(incoming, answers) as url:
        yield url, mood.become


def _answer(mood: Mood, verb: str, usual: Mapping[str, Answer], session: FtpSession, argument: str) -> None:
    faults = FTP_FAULTS.get(mood.fault, {})
    answer = faults[verb] if verb in faults and mood.strikes(mood.fault) else usual[verb]
    session.end = mood.changed  # so that what hangs ends when the fault does
    if isinstance(answer, str):
        session.say(answer)
    else:
        answer(session, argument)


# SFTP: one function for each request, with the faults that it may have.

SFTP_FAULTS = (
    "is silent",
    "cuts at connecting",
    "has another host key",
    "hangs at login",
    "refuses login",
    "refuses a channel",
    "fails to open",
    "refuses to open",
    "hangs at opening",
    "cuts at opening",
    "fails a write",
    "hangs at a write",
    "cuts at a write",
    "resets at a write",
    "drops bytes and says ok",
    "flips a byte and says ok",
    "drips",
    "fails to close",
    "cuts at closing",
    "lies about the size",
    "hangs at the size",
    "loses the reply to a rename",
    "hangs after a rename",
    "fails to rename",
)


class _Login(paramiko.ServerInterface):
    def __init__(self, mood: Mood, transport: paramiko.Transport) -> None:
        self.mood = mood
        self.transport = transport

    def check_auth_password(self, username: str, password: str) -> int:
        if self.mood.strikes("hangs at login"):
            self.hang()
        return AUTH_FAILED if self.mood.strikes("refuses login") else AUTH_SUCCESSFUL

    def get_allowed_auths(self, username: str) -> str:
        return "password"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        refused = self.mood.strikes("refuses a channel")
        return OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED if refused else OPEN_SUCCEEDED

    def hang(self) -> None:
        self.mood.changed.wait()
        self.cut()

    def cut(self) -> None:
        self.transport.close()

    def reset(self) -> None:
        lying.reset_by_peer(self.transport.sock)
        self.cut()


class _Lying:
    """What both kinds of account do wrong."""

    def __init__(self, server: _Login, root: str) -> None:
        super().__init__(server, root)  # type: ignore[call-arg]
        self.login = server
        self.mood = server.mood

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> Any:
        for fault, do in (("hangs at opening", self.login.hang), ("cuts at opening", self.login.cut)):
            if self.mood.strikes(fault):
                do()
        if self.mood.strikes("fails to open"):
            return SFTP_FAILURE
        if self.mood.strikes("refuses to open"):
            return SFTP_PERMISSION_DENIED
        opened = super().open(path, flags, attr)  # type: ignore[misc]
        return opened if isinstance(opened, int) else _LyingFile(opened, self.login, self._real(path))  # type: ignore[attr-defined]

    def stat(self, path: str) -> Any:
        if self.mood.strikes("hangs at the size"):
            self.login.hang()
        facts = super().stat(path)  # type: ignore[misc]
        if isinstance(facts, paramiko.SFTPAttributes) and self.mood.strikes("lies about the size"):
            facts.st_size = 17
        return facts

    lstat = stat

    def rename(self, oldpath: str, newpath: str) -> Any:
        return self._renamed(super().rename, oldpath, newpath)  # type: ignore[misc]

    def posix_rename(self, oldpath: str, newpath: str) -> Any:
        return self._renamed(super().posix_rename, oldpath, newpath)  # type: ignore[misc]

    def _renamed(self, rename: Callable[[str, str], Any], oldpath: str, newpath: str) -> Any:
        if self.mood.strikes("fails to rename"):
            return SFTP_FAILURE
        done = rename(oldpath, newpath)
        for fault, do in (("loses the reply to a rename", self.login.cut), ("hangs after a rename", self.login.hang)):
            if self.mood.strikes(fault):
                do()
        return done


class _LyingDirectory(_Lying, _Directory):
    pass


class _LyingDropBox(_Lying, _DropBox):
    pass


class _LyingFile(paramiko.SFTPHandle):
    """A file that a client has open; what goes wrong goes wrong at its first write."""

    def __init__(self, honest: Any, login: _Login, path: Path) -> None:
        super().__init__()
        self.honest = honest
        self.login = login
        self.path = path
        self.flipped = False

    def write(self, offset: int, data: Any) -> Any:
        mood = self.login.mood
        for fault, do in (
            ("hangs at a write", self.login.hang),
            ("cuts at a write", self.login.cut),
            ("resets at a write", self.login.reset),
        ):
            if mood.strikes(fault):
                do()
        if mood.strikes("fails a write"):
            return SFTP_FAILURE
        if mood.strikes("drops bytes and says ok"):
            self.honest.write(offset, bytes(data)[: len(data) // 2])
            return SFTP_OK
        if mood.strikes("drips"):
            time.sleep(DRIP * len(data) / 512)
        self.flipped = self.flipped or mood.strikes("flips a byte and says ok")
        return self.honest.write(offset, data)

    def read(self, offset: int, length: int) -> Any:
        return self.honest.read(offset, length)

    def stat(self) -> Any:
        return self.honest.stat()

    def chattr(self, attr: paramiko.SFTPAttributes) -> Any:
        return self.honest.chattr(attr)

    def close(self) -> None:
        self.honest.close()
        if self.flipped:
            lying.flip_a_byte(self.path)


class _Server(paramiko.SFTPServer):
    """paramiko's server always says that closing went well."""

    def _process(self, kind: int, number: int, message: paramiko.Message) -> None:
        login: _Login = self.server.login  # type: ignore[attr-defined]
        if kind == CMD_CLOSE and login.mood.strikes("fails to close"):
            self._send_status(number, SFTP_FAILURE)  # type: ignore[attr-defined]
            return
        if kind == CMD_CLOSE and login.mood.strikes("cuts at closing"):
            login.cut()
        super()._process(kind, number, message)  # type: ignore[misc]


@contextmanager
def sftp(incoming: Path, upload_only: bool, known_hosts: Path) -> Iterator[tuple[str, Callable[[str, bool], int]]]:
    """Serve by SFTP; give the URL and what sets the fault, and write the host's key to ``known_hosts``."""
    mood = Mood()
    keys = {wrong: paramiko.ECDSAKey.generate() for wrong in (False, True)}
    kind = _LyingDropBox if upload_only else _LyingDirectory

    def serve(connection: socket.socket, end: threading.Event) -> None:
        if mood.strikes("cuts at connecting"):
            connection.close()
            return
        if mood.strikes("is silent"):
            mood.changed.wait()
            connection.close()
            return
        transport = paramiko.Transport(connection)
        transport.add_server_key(keys[mood.strikes("has another host key")])
        transport.set_subsystem_handler("sftp", _Server, kind, str(incoming.parent))
        with suppress(Exception):
            transport.start_server(event=threading.Event(), server=_Login(mood, transport))

    with lying.serving(serve) as port:
        known_hosts.write_text(f"[{HOST}]:{port} {keys[False].get_name()} {keys[False].get_base64()}\n")
        yield f"sftp://tdcin@{HOST}:{port}/{incoming.name}", mood.become
