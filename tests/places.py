"""Every destination that the tests put files into: a directory, embedded servers and real ones, of both kinds."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import pytest

from archq.config import QueueSettings
from archq.demo.servers import DemoServer, ftp_server, sftp_server
from archq.transports.accounts import connect
from tests.conftest import DROP_BOXES, FULL_ACCOUNTS, OVER_TLS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager
    from pathlib import Path

    from archq.transports.base import Transport
    from tests.conftest import Fleet
    from tests.servers.process import RunningServer

    Start = Callable[[], AbstractContextManager[RunningServer]]

FULL, UPLOAD_ONLY = "full", "upload-only"


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A directory that files can be put into, seen from both sides."""

    name: str
    settings: QueueSettings
    incoming: Path
    kind: str = FULL
    server: RunningServer | None = None

    @property
    def scheme(self) -> str:
        return self.settings.url.partition(":")[0]

    @property
    def is_full(self) -> bool:
        return self.kind == FULL

    def connect(self) -> Transport:
        """Open a session; the server's certificate is trusted as one of the archive's authority would be."""
        with pytest.MonkeyPatch.context() as patch:
            if self.server and self.server.certificate:
                patch.setenv("SSL_CERT_FILE", str(self.server.certificate))
            return connect(self.settings)


def directory(path: Path) -> Place:
    path.mkdir(exist_ok=True)
    return Place(name=DIRECTORY, settings=QueueSettings(name="archive", url=f"file:{path}"), incoming=path)


def real(name: str, server: RunningServer, secrets: Path) -> Place:
    settings = QueueSettings(
        name="archive",
        url=server.url,
        idle=20,
        account=server.kind,
        password_file=password_file(secrets / name, server.password),
        key=text(server.key),
        known_hosts=text(server.known_hosts),
    )
    return Place(name=name, settings=settings, incoming=server.incoming, kind=server.kind, server=server)


def embedded(name: str, server: DemoServer, account: str, secrets: Path) -> Place:
    settings = QueueSettings(
        name="archive",
        url=server.url,
        idle=20,
        account=account,
        password_file=password_file(secrets / name, server.password),
        known_hosts=text(server.known_hosts),
    )
    return Place(name=name, settings=settings, incoming=server.incoming, kind=account)


def password_file(path: Path, password: str | None) -> str | None:
    if password is None:
        return None
    path.write_text(f"{password}\n")
    path.chmod(0o600)
    return str(path)


def text(path: Path | None) -> str | None:
    return None if path is None else str(path)


REAL: dict[str, Start] = {
    **{f"{name}, drop box": start for name, start in DROP_BOXES.items()},
    **{f"{name}, full": start for name, start in FULL_ACCOUNTS.items()},
    "vsftpd over TLS, full": OVER_TLS,
}
EMBEDDED = {
    "embedded ftp, full": partial(ftp_server, account=FULL),
    "embedded ftp, drop box": partial(ftp_server, account=UPLOAD_ONLY),
    "embedded sftp, full": partial(sftp_server, account=FULL),
    "embedded sftp, drop box": partial(sftp_server, account=UPLOAD_ONLY),
}
DIRECTORY = "file, full"
ALL = (DIRECTORY, *EMBEDDED, *REAL)
FULL_ONES = tuple(name for name in ALL if name.endswith("full"))
DROP_BOX_ONES = tuple(name for name in ALL if name.endswith("drop box"))


class Harbour:
    """The places of one test module, each made when first asked for."""

    def __init__(self, stack: ExitStack, fleet: Fleet, scratch: Callable[[str], Path]) -> None:
        self.stack = stack
        self.fleet = fleet
        self.scratch = scratch
        self.places: dict[str, Place] = {}
        self.sessions: dict[str, Transport] = {}

    def place(self, name: str) -> Place:
        """Give a place that answers; its incoming directory was empty when it was first asked for."""
        if name not in self.places:
            self.places[name] = self._made(name, self.scratch("place"))
        return self.places[name]

    def _made(self, name: str, scratch: Path) -> Place:
        kind = FULL if name.endswith("full") else UPLOAD_ONLY
        if name in REAL:
            return real(name, self.fleet.lend(REAL[name]), scratch)
        if name in EMBEDDED:
            return embedded(name, self.stack.enter_context(EMBEDDED[name](scratch)), kind, scratch)
        return directory(scratch / "incoming")

    def session(self, name: str) -> Transport:
        """Give a session that was used by other tests before, as connecting is slow."""
        if name not in self.sessions:
            self.sessions[name] = self.place(name).connect()
            self.stack.callback(self.sessions[name].close)
        return self.sessions[name]


@contextmanager
def harbour(fleet: Fleet, scratch: Callable[[str], Path]) -> Iterator[Harbour]:
    with ExitStack() as stack:
        yield Harbour(stack, fleet, scratch)
