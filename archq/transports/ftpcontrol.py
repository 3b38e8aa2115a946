"""The control connection of an FTP session: what is asked goes out together, and what is answered is read in bulk.

Every command is answered in its turn (RFC 959, section 5.4), so another may follow before the first was.  What a data
connection needs is never among those: some servers refuse PASV where more has come already.
"""

from __future__ import annotations

import ftplib
import os
import re
import socket
import ssl
from collections import deque

from archq.transports.pipeline import Answer
from archq.transports.sockets import discard_unsent, in_time, limit_sending

_RECEIVED = 1 << 12  # bytes
# Greetings of servers that forget commands which come before they have answered the last: those that lftp knows.
_FORGETFUL = re.compile(r"\b(Microsoft FTP|MadGoat|MikroTik)\b")


class ReusingTLS(ftplib.FTP_TLS):
    """FTPS whose data connections continue the control connection's TLS session: vsftpd demands it by default."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        """Begin a transfer as ftplib does, for what only it transfers: lists."""
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        return self.secured(connection), size

    def secured(self, connection: socket.socket) -> socket.socket:
        """Return ``connection`` as it is used: what goes over it is encrypted if the session is."""
        control = self.sock
        if self._prot_p and isinstance(control, ssl.SSLSocket):  # type: ignore[attr-defined]  # ftplib's own flag
            return self.context.wrap_socket(connection, server_hostname=self.host, session=control.session)
        return connection


class FtpControl:
    """A session that is logged in.  Errors are ftplib.Error, OSError or EOFError."""

    def __init__(self, ftp: ftplib.FTP) -> None:
        assert ftp.sock is not None
        self._ftp = ftp
        self._peer = ftp.sock.getpeername()
        self._unsent: list[str] = []
        self._asked: deque[tuple[Answer[str], str]] = deque()
        self._broken: Exception | None = None
        self._in_turn = bool(_FORGETFUL.search(ftp.welcome or ""))
        if ftp.file:
            ftp.file.close()
        ftp.file = _Lines(ftp.sock, ftp.encoding)  # type: ignore[assignment]  # as much of a file as ftplib uses

    def ask(self, command: str, expected: str = "2") -> Answer[str]:
        """Return the reply that will come to ``command``; it has to begin with one of the digits ``expected``."""
        answer: Answer[str] = Answer()
        if self._broken:
            answer.fail(self._broken)
        else:
            self.say(command)
            self._asked.append((answer, expected))
            if self._in_turn:
                self.receive()
        return answer

    def receive(self) -> bool:
        """Bring all answers that are to come; return False if there is none."""
        if not self._asked:
            return False
        try:
            self._catch_up()
        except Exception as error:
            self._break(error)
        return True

    def say(self, command: str) -> None:
        """Let ``command`` go out with what is asked next, the reply to which is read after its own."""
        if "\r" in command or "\n" in command:
            raise ValueError(f"a command of two lines: {command!r}")
        self._unsent.append(f"{command}\r\n")

    def flush(self) -> None:
        """Send what was said."""
        said, self._unsent = "".join(self._unsent).encode(self._ftp.encoding), []
        assert self._ftp.sock is not None
        if rest := said[self._written(said) :]:
            self._ftp.sock.sendall(rest)

    def _written(self, said: bytes) -> int:
        """Return how many bytes the kernel took at once: all, as a rule, and there is no time limit to look after."""
        assert self._ftp.sock is not None
        try:
            return 0 if self.is_secure or not said else os.write(self._ftp.sock.fileno(), said)
        except BlockingIOError:
            return 0

    def reply(self, expected: str = "2") -> str:
        """Return the next reply; raise it where it says that something went wrong, or is another's."""
        if self._broken:
            raise self._broken
        try:
            reply = self._ftp.getresp()
            if reply[0] not in expected:
                raise ftplib.error_reply(reply)
        except (ftplib.error_perm, ftplib.error_temp):
            raise
        except Exception as error:
            self._break(error)
            raise
        return reply

    def reply_to(self, command: str, expected: str = "2") -> str:
        """Return the reply to ``command`` at once, having brought the answers that others wait for."""
        if self._broken:
            raise self._broken
        self.say(command)
        self._catch_up()
        return self.reply(expected)

    def data_connection(self) -> socket.socket:
        """Return a new connection for one file, with a limit of the kernel for its beginning; see :meth:`ready`."""
        family = self._ftp.af
        if family == socket.AF_INET:
            port = ftplib.parse227(self.reply_to("PASV"))[1]  # not the address, which may be one behind a gateway
        else:
            port = ftplib.parse229(self.reply_to("EPSV"), self._peer)[1]
        connection = socket.socket(family)
        try:
            limit_sending(connection, self._ftp.timeout)
            with in_time():
                connection.connect((self._peer[0], port, *self._peer[2:]))
            discard_unsent(connection)
        except BaseException:
            connection.close()
            raise
        return connection

    def ready(self, connection: socket.socket) -> socket.socket:
        """Return a data connection for which the server waits as it is used: secured, with the usual time limit."""
        connection.settimeout(self._ftp.timeout)
        return self._ftp.secured(connection) if isinstance(self._ftp, ReusingTLS) else connection

    @property
    def is_secure(self) -> bool:
        """Whether data connections are encrypted."""
        return isinstance(self._ftp, ReusingTLS)

    def give_up(self) -> None:
        """Use the session no more: a file was broken off, and the next reply is about that."""
        self._break(ConnectionAbortedError("another file was broken off"))

    def _catch_up(self) -> None:
        """Send what was said, and bring the answers that somebody waits for."""
        self.flush()
        while self._asked:
            answer, expected = self._asked[0]
            try:
                reply = self.reply(expected)
            except (ftplib.error_perm, ftplib.error_temp) as error:
                self._asked.popleft()
                answer.fail(error)
            else:
                self._asked.popleft()
                answer.give(reply)

    def _break(self, error: Exception) -> None:
        """Answer everything with ``error``, now and from now on: the two sides are out of step."""
        self._broken, self._unsent = error, []
        while self._asked:
            self._asked.popleft()[0].fail(error)


class _Lines:
    """What comes over a connection, in lines: a file object of Python's does the same with much more work."""

    def __init__(self, connection: socket.socket, encoding: str) -> None:
        self._connection = connection
        self._encoding = encoding
        self._received = b""

    def readline(self, limit: int) -> str:
        """Return the next line, cut at ``limit`` bytes; "" at the end, where what is no whole line says nothing."""
        while not (end := self._received.find(b"\n") + 1) and len(self._received) < limit:
            received = self._connection.recv(_RECEIVED)
            if not received:
                return ""
            self._received += received
        end = min(end or limit, limit)
        line, self._received = self._received[:end], self._received[end:]
        return line.decode(self._encoding)

    def close(self) -> None:
        """Do nothing: the connection is ftplib's."""
