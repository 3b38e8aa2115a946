"""FTP and FTPS (explicit TLS, RFC 4217) with ftplib."""

from __future__ import annotations

import contextlib
import ftplib
import select
import ssl
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from archq.errors import ArchqError
from archq.transports.base import UNWATCHED, NotPermittedTransferError, Scope, Stage, TransferError
from archq.transports.faults import told
from archq.transports.ftpcontrol import FtpControl, ReusingTLS
from archq.transports.pipeline import run
from archq.transports.sockets import discard_unsent, in_time, look_up, send_rest

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Coroutine, Iterator
    from typing import Any, BinaryIO, TypeVar

    from archq.transports.base import Watch
    from archq.transports.destination import Destination

    Result = TypeVar("Result")
    Begin = Callable[..., tuple[ftplib.FTP, float]]

_BLOCK = 1 << 18  # bytes
_EARLY = 1 << 14  # bytes: two of them the systems of both sides keep, whether anybody reads or not
_GOODBYE = 2.0  # seconds to wait for the answer to QUIT
_CLOSED_LATE = 1 << 26  # bytes: a smaller file is closed before anybody could have changed over
_HESITATION = 0.01  # seconds, beside the time that an answer needs

# How vsftpd, proftpd, pure-ftpd and pyftpdlib say that a file is not there.
_ABSENT = ("no such", "not exist", "not found", "could not get file size", "can't check", "not retrievable")


class FtpTransport:
    """A directory of an FTP server, binary and passive."""

    def __init__(
        self,
        destination: Destination,
        password: str,
        timeout: float | None,
        tls: ssl.SSLContext | None = None,
        watch: Watch = UNWATCHED,
    ) -> None:
        """Connect, log in and enter the directory.

        ``timeout`` (seconds) bounds each wait for an answer.  With ``tls`` nothing is said in the clear but the wish
        for it; without, an ftps destination is verified by the system's authorities.  Raise TransferError, its scope
        the queue.
        """
        self.label = str(destination)
        self._directory = _Directory(self.label, partial(_begun, destination, password, timeout, tls), watch)

    def pipeline(self) -> _Directory:
        """Return what takes the next question before it has answered the last."""
        return self._directory

    def _run(self, task: Coroutine[Any, None, Result]) -> Result:
        return run(task, self._directory.receive)

    def put(self, source: BinaryIO, name: str, *, offset: int = 0) -> None:
        """Send ``source`` as :class:`~archq.transports.base.Transport` says."""
        self._run(self._directory.put(source, name, offset=offset))

    def size(self, name: str) -> int | None:
        """Return the size of ``name`` in bytes, None if the server answers that it is not there."""
        return self._run(self._directory.size(name))

    def rename(self, old: str, new: str) -> None:
        """Rename ``old``; some servers replace ``new``."""
        self._run(self._directory.rename(old, new))

    def remove(self, name: str) -> None:
        """Remove ``name``; already gone is fine."""
        self._run(self._directory.remove(name))

    def names(self) -> list[str]:
        """Return the names in the directory; some servers leave hidden ones out."""
        with told(f"{self.label}: cannot list the directory"):
            try:
                return [name.rpartition("/")[2] for name in self._directory.ftp.nlst()]
            except ftplib.error_perm as error:
                if _says_absent(error):
                    return []
                raise
            finally:
                self._directory.ftp.voidcmd("TYPE I")  # lists are text, and the library has said so

    def modified(self, name: str) -> float:
        """Return when ``name`` was changed last by the server's clock, in seconds since 1970 (RFC 3659, MDTM)."""
        with told(f"{self.label}: cannot ask the time of {name}"):
            stamp = self._directory.ftp.voidcmd(f"MDTM {name}")[4:18]
            return datetime.strptime(stamp, "%Y%m%d%H%M%S").replace(tzinfo=UTC).timestamp()

    def may_rename(self) -> bool | None:
        """Return None: FTP servers give the same reply for a missing file and a forbidden command."""
        return None

    def is_alive(self) -> bool:
        """Return whether the server answers: it may have closed the session in silence, or with a 421 nobody read."""
        try:
            self._directory.ftp.voidcmd("NOOP")
        except ftplib.error_perm:
            return True  # it does not know the command, or allows a drop box none
        except Exception:
            return False
        return True

    def close(self) -> None:
        """End the session; a server that does not answer is left alone."""
        _leave(self._directory.ftp)


def _begun(
    destination: Destination, password: str, timeout: float | None, tls: ssl.SSLContext | None, watch: Watch = UNWATCHED
) -> tuple[ftplib.FTP, float]:
    """Return a session in the destination's directory, and how long its last answer took in seconds."""
    ftp = ReusingTLS(context=tls or tls_context()) if destination.scheme == "ftps" else ftplib.FTP()
    ftp.encoding = "utf-8"
    try:
        _connect(ftp, destination, timeout, watch)
        _log_in(ftp, destination, password, watch)
        return ftp, _enter(ftp, destination, watch)
    except BaseException:
        _leave(ftp)
        raise


def _connect(ftp: ftplib.FTP, destination: Destination, timeout: float | None, watch: Watch) -> None:
    look_up(destination.host, destination.port, str(destination), watch)
    watch.begin(Stage.CONNECT)
    with told(f"{destination}: cannot connect", Scope.QUEUE):
        ftp.connect(destination.host, destination.port, timeout=timeout)  # type: ignore[arg-type]  # None: none
        assert ftp.sock is not None
        discard_unsent(ftp.sock)
    if isinstance(ftp, ftplib.FTP_TLS):
        watch.begin(Stage.CERTIFICATE)
        with told(f"{destination}: cannot secure the connection", Scope.QUEUE):
            ftp.auth()
        watch.found(_described(ftp.sock))


def _log_in(ftp: ftplib.FTP, destination: Destination, password: str, watch: Watch) -> None:
    user = destination.user or "anonymous"
    watch.begin(Stage.LOG_IN)
    with told(f"{destination}: cannot log in as {user}", Scope.QUEUE):
        ftp.login(user, password)
        if isinstance(ftp, ftplib.FTP_TLS):
            ftp.prot_p()


def _enter(ftp: ftplib.FTP, destination: Destination, watch: Watch) -> float:
    """Enter the directory; return how long the last answer took in seconds."""
    watch.begin(Stage.DIRECTORY)
    with told(f"{destination}: cannot enter the directory", Scope.QUEUE):
        if destination.path:
            ftp.cwd(destination.path)
        begun = time.monotonic()
        ftp.voidcmd("TYPE I")  # once for all files, and SIZE means bytes only after it
        return time.monotonic() - begun


def _leave(ftp: ftplib.FTP) -> None:
    """End a session; a server that does not answer is left alone."""
    with contextlib.suppress(Exception):
        if ftp.sock is not None:
            ftp.sock.settimeout(_GOODBYE)
            ftp.voidcmd("QUIT")
            send_rest(ftp.sock)
    with contextlib.suppress(Exception):
        ftp.close()


class _Directory:
    """A directory of a server that is asked small things while it gets files: one file at a time on its connection."""

    def __init__(self, label: str, begin: Begin, watch: Watch) -> None:
        """``begin`` returns a session in the directory, and the time for an answer."""
        self.label = label
        self._begin = begin
        self._use(*begin(watch))

    def _use(self, ftp: ftplib.FTP, round_trip: float) -> None:
        self.ftp, self._round_trip = ftp, round_trip
        with told(f"{self.label}: cannot connect", Scope.QUEUE):
            self._control = FtpControl(ftp)

    def receive(self) -> bool:
        return self._control.receive()

    async def put(self, source: BinaryIO, name: str, *, offset: int = 0) -> None:
        with told(f"{self.label}: cannot send {name}"), self._control.data_connection() as connection:
            self._resume(name, offset)
            self._control.say(f"STOR {name}")
            try:
                sent = self._send(source, connection, name, offset)
            except TransferError:
                raise  # the server has answered: it resumes nothing
            except (TimeoutError, ArchqError):
                self._control.give_up()
                raise
            except OSError:
                # A server that refuses, or cannot write, closes the data connection, and says why on the other one.
                while self._control.reply("12").startswith("1"):
                    pass
                raise
            self._control.reply()
        if sent >= _CLOSED_LATE:
            self._go_on()

    def _go_on(self) -> None:
        """Go on in another session while this one cannot answer: vsftpd closes a file after it said that all is there.

        Where closing writes it to the disk (ext4 if it was truncated before, NFS), that takes a second for each
        gigabyte, and for a large file longer than we wait for an answer.
        """
        with contextlib.suppress(Exception):  # who asks next will meet the same
            self._control.say("NOOP")
            self._control.flush()
            if self._answers_soon() or not self._changes_over():
                self._control.reply()

    def _answers_soon(self) -> bool:
        assert self.ftp.sock is not None
        return bool(select.select([self.ftp.sock], [], [], _HESITATION + 3 * self._round_trip)[0])

    def _changes_over(self) -> bool:
        """Take another session if the server allows one more; return whether it did."""
        busy = self.ftp
        try:
            self._use(*self._begin())
        except TransferError:
            return False
        with contextlib.suppress(Exception):
            busy.putcmd("QUIT")
            assert busy.sock is not None
            send_rest(busy.sock)
        busy.close()
        return True

    def _resume(self, name: str, offset: int) -> None:
        if offset:
            with self._refusing_restart(name):
                self._control.reply_to(f"REST {offset}", "3")

    def _send(self, source: BinaryIO, connection: socket.socket, name: str, offset: int) -> int:
        """Send ``source`` to its end; return how many bytes that were."""
        self._control.flush()
        # Who waits to be told to begin waits for most of the time that a small file takes.
        early, is_all, lost = 0, False, None
        try:
            early, is_all = (0, False) if self._control.is_secure else _begin(source, connection)
        except ConnectionError as error:  # by a server that refuses, and says why on the other connection
            lost = error
        with self._refusing_restart(name) if offset else contextlib.nullcontext():
            if self._control.reply("12").startswith("2"):
                self._control.reply("1")  # some servers first say that the command is all right
        if lost:
            raise lost
        return early if is_all else early + _send(source, self._control.ready(connection))

    @contextlib.contextmanager
    def _refusing_restart(self, name: str) -> Iterator[None]:
        try:
            yield
        except ftplib.Error as error:
            if not _refuses_restart(error):
                raise
            raise NotPermittedTransferError(f"{self.label}: does not resume {name}: {error}", Scope.QUEUE) from error

    async def size(self, name: str) -> int | None:
        with told(f"{self.label}: cannot ask the size of {name}"):
            try:
                reply = await self._control.ask(f"SIZE {name}")
            except ftplib.error_perm as error:
                if _says_absent(error):
                    return None
                raise
            if not reply.startswith("213"):
                raise NotPermittedTransferError(f"{self.label}: does not tell the size of {name}", Scope.QUEUE)
            return int(reply[3:])

    async def rename(self, old: str, new: str) -> None:
        with told(f"{self.label}: cannot rename {old}"):
            # The second is refused where the first was: nothing was named to be renamed then.
            found, renamed = self._control.ask(f"RNFR {old}", "3"), self._control.ask(f"RNTO {new}")
            await found
            await renamed

    async def remove(self, name: str) -> None:
        with told(f"{self.label}: cannot remove {name}"):
            try:
                await self._control.ask(f"DELE {name}")
            except ftplib.error_perm as error:
                if not _says_absent(error) and not await self._is_absent(name):
                    raise

    async def _is_absent(self, name: str) -> bool:
        """Ask for the file itself: vsftpd says "Delete operation failed" whatever the reason."""
        with contextlib.suppress(TransferError):
            return await self.size(name) is None
        return False


def tls_context(authorities: str | None = None) -> ssl.SSLContext:
    """Return how to speak TLS: 1.2 at least, certificates and names verified.

    ``authorities`` is the path of a file with the certificates to trust (PEM) instead of the system's.  Raise OSError.
    """
    context = ssl.create_default_context(cafile=authorities)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _described(connection: socket.socket | None) -> str:
    if not isinstance(connection, ssl.SSLSocket):
        return ""
    certificate = connection.getpeercert() or {}
    return f"{connection.version()}, certificate valid until {certificate.get('notAfter', 'ever')}"


def _begin(source: BinaryIO, connection: socket.socket) -> tuple[int, bool]:
    """Send what comes first of ``source``, which the system keeps until it is wanted, and close if that was all.

    Return how many bytes that were, and whether it was all.
    """
    sent = 0
    for _ in range(2):
        block = source.read(_EARLY)
        if not block:
            send_rest(connection)
            connection.close()
            return sent, True
        with in_time():
            connection.sendall(block)
        sent += len(block)
    return sent, False


def _send(source: BinaryIO, connection: socket.socket) -> int:
    """Send ``source`` to its end, and end the connection; return how many bytes that were."""
    with connection:
        sent = _send_read(source, connection)
        if isinstance(connection, ssl.SSLSocket):
            connection.unwrap()  # the close_notify tells the server that nothing was cut off
        send_rest(connection)
    return sent


def _send_read(source: BinaryIO, connection: socket.socket) -> int:
    # Not sendfile: what the kernel copies by itself a server on a fast link does not find in the processor's cache, and
    # it takes a third longer than what has just been read.
    sent = 0
    while block := source.read(_BLOCK):
        rest = memoryview(block)
        sent += len(rest)
        while rest:  # not sendall, whose time limit is for the whole block: a slow link is no dead one
            rest = rest[connection.send(rest) :]
    return sent


def _refuses_restart(error: ftplib.Error) -> bool:
    """Tell whether a server resumes nothing: ProFTPD says "451 … Append/Restart not permitted, try again" even then."""
    return isinstance(error, ftplib.error_perm) or "restart" in str(error).lower()


def _says_absent(error: ftplib.error_perm) -> bool:
    """Tell whether a 550 says "not there": servers use that code for what they forbid, too."""
    text = str(error).lower()
    return text.startswith("550") and any(words in text for words in _ABSENT)
