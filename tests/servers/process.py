"""A server in the foreground on loopback: started, waited for, and stopped again."""

from __future__ import annotations

import functools
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

HOST = "127.0.0.1"
HOST_V6 = "::1"
UPLOADER = "archqtest"
PASSWORD = "only-for-tests"
PASSWORD_HASH = (
    "$6$archqtest$q.1zZnC/qI1wTP0PyBXfteq5TOKo0p3931nMBMgU9DJd.gQ9XObg4uSbZzbh8mbx8egQZfskOWiyRb6YDLXv41"  # by crypt(3)
)
# Outside the range of ports that outgoing connections take, and wide: closed data connections linger for a minute each.
PASSIVE_PORTS = (10000, 29999)
PATIENCE = 20  # seconds
AS_ROOT = os.geteuid() == 0

Kind = Literal["full", "upload-only"]


class UnavailableError(Exception):
    """A real server cannot be had on this machine, and why."""


# A test run that is killed takes its servers with it (but not ProFTPD: the kernel forgets this request when a
# process changes its user).  The thread that starts a server must live as long as the server should.
WITH_US = ("setpriv", "--pdeathsig", "KILL")


class Daemon:
    """A program that listens on a port of loopback and can be stopped and started again."""

    def __init__(
        self, command: Sequence[str], *, port: int, output: Path, environment: Mapping[str, str], host: str = HOST
    ) -> None:
        self.command = command
        self.host = host
        self.port = port
        self.output = output
        self.environment = environment
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Return once the port answers, at once if it does; raise RuntimeError with the server's own words if never."""
        if self.process and self.process.poll() is None:
            return
        with self.output.open("ab") as output:
            self.process = subprocess.Popen(
                (*WITH_US, *self.command), stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=self.environment
            )
        try:
            wait_until(self._answers, "its port answers")
        except (OSError, RuntimeError) as error:
            self._kill()
            raise RuntimeError(f"{self.command[0]}: {error}\n{self.output.read_text(errors='replace')}") from error

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self.stop()

    def _answers(self) -> bool:
        assert self.process is not None
        if self.process.poll() is not None:
            raise RuntimeError(f"ended with status {self.process.returncode} instead of listening")
        return listens(self.port, self.host)

    def stop(self) -> None:
        """End the server and its sessions as a power cut would; once stopped, nothing happens."""
        if self.process:
            self._kill()
            # A dying session may still hold it.
            wait_until(lambda: not listens(self.port, self.host), "its port is closed")

    def _kill(self) -> None:
        assert self.process is not None
        with suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGSTOP)  # so that no session begins meanwhile
        for pid in list(family(self.process.pid)):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.process.wait()
        self.process = None


def listens(port: int, host: str = HOST) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as client:
        client.settimeout(PATIENCE)
        return client.connect_ex((host, port)) == 0


def in_url(host: str) -> str:
    """Write an address as URLs have it."""
    return f"[{host}]" if ":" in host else host


def family(pid: int) -> Iterator[int]:
    """Yield a process and all that descend from it: sshd's sessions leave its process group."""
    yield pid
    with suppress(FileNotFoundError, ProcessLookupError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            yield from family(int(child))


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningServer:
    """A server that answers, and what a client and a test need to know about it."""

    url: str  # with the user, without the password; its path is the client's
    kind: Kind
    incoming: Path  # where uploads land on this machine
    uid: int  # the uploader's
    gid: int
    daemon: Daemon
    password: str | None = None
    key: Path | None = None  # the client's private key
    known_hosts: Path | None = None
    certificate: Path | None = None  # what a client over TLS trusts
    logs: Mapping[str, Path] = field(default_factory=dict)  # by format

    def stop(self) -> None:
        """Take the server away; ``start`` brings it back at the same port."""
        self.daemon.stop()

    def start(self) -> None:
        """Bring a stopped server back."""
        self.daemon.start()

    def renew(self) -> None:
        """Put an empty incoming directory in the place of the used one, whatever sessions still do to that."""
        shutil.rmtree(self.set_aside(), ignore_errors=True)

    def set_aside(self) -> Path:
        """Put an empty incoming directory in the place of the used one; return where that is now."""
        used = Path(tempfile.mkdtemp(dir=self.incoming.parents[1])) / "incoming"
        self.incoming.rename(used)
        make_incoming(self.incoming, self.uid, self.gid)
        return used


def make_incoming(incoming: Path, uid: int, gid: int) -> None:
    incoming.mkdir()
    if AS_ROOT:
        os.chown(incoming, uid, gid)


def free_port() -> int:
    """Find a port on which nothing listens."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def wait_until(claim: Callable[[], bool], meaning: str) -> None:
    """Return when ``claim`` holds; raise TimeoutError when it does not for too long."""
    end = time.monotonic() + PATIENCE
    while not claim():
        if time.monotonic() > end:
            raise TimeoutError(f"waited {PATIENCE} seconds in vain until {meaning}")
        time.sleep(0.02)


@contextmanager
def served_directory(user: pwd.struct_passwd) -> Iterator[Path]:
    """Lend a directory for one server's files, with ``root/incoming`` in it, where ``user`` may write.

    Where we are root, its parents belong to root and to nobody else: sshd takes no other for a chroot.
    """
    home = Path(tempfile.mkdtemp(prefix="archq-servers-", dir="/var/lib" if AS_ROOT else None))
    try:
        home.chmod(0o755)
        (home / "root").mkdir(mode=0o755)
        make_incoming(home / "root" / "incoming", user.pw_uid, user.pw_gid)
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


def path_for_clients(home: Path) -> str:
    """Give the path of a served directory's incoming as sessions see it: only root can confine them."""
    return "/incoming" if AS_ROOT else f"{home}/root/incoming"


def uploader() -> pwd.struct_passwd:
    """Name the unprivileged user to whom uploads belong: one for tests where we are root, else ourselves."""
    return system_user(UPLOADER) if AS_ROOT else pwd.getpwuid(os.geteuid())


def require_root(server: str) -> None:
    if not AS_ROOT:
        raise UnavailableError(f"only root can start {server} for another user and confine its sessions")


@functools.cache
def system_user(name: str) -> pwd.struct_passwd:
    """Look a system user up, making one that is missing."""
    with suppress(KeyError):
        return pwd.getpwnam(name)
    # The home must exist for vsftpd.  A password that is "*" fits nothing, while useradd's "!" would be a locked
    # account to sshd, which then refuses keys as well.
    command = ("useradd", "-r", "-M", "-d", "/", "-s", "/usr/sbin/nologin", "-p", "*", name)
    done = subprocess.run(command, capture_output=True, text=True)
    with suppress(KeyError):  # a second test run may have been faster
        return pwd.getpwnam(name)
    raise UnavailableError(f"cannot make the user {name}: {done.stderr.strip()}")
