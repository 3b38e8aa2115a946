"""FTP and SFTP servers for demonstrations and tests: on loopback, with one account, gone when their context ends."""

from __future__ import annotations

import secrets
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import paramiko

from archq.demo.hosting import FULL, INCOMING, LOOPBACK, UPLOAD_ONLY, Service, hosted, listening

if TYPE_CHECKING:
    import socket
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["FULL", "UPLOAD_ONLY", "DemoServer", "ftp_server", "sftp_server"]

USER = "tdcin"


@dataclass(frozen=True, slots=True, kw_only=True)
class DemoServer:
    """A running server: what a client needs to reach it, and where to look at what it did."""

    scheme: str
    port: int
    password: str
    incoming: Path  # the directory behind the URL's path
    log: Path  # what the server process prints
    known_hosts: Path | None = None  # SFTP: names the host key
    key: Path | None = None  # SFTP: private key that may log in, as the password may
    transfer_log: Path | None = None  # FTP: one xferlog line a transfer, in the local zone
    host: str = LOOPBACK
    user: str = USER

    @property
    def url(self) -> str:
        """The directory for uploads, as a queue's configuration has it."""
        return f"{self.scheme}://{self.user}@{self.host}:{self.port}/{INCOMING}"


@contextmanager
def ftp_server(directory: Path, *, account: str = UPLOAD_ONLY) -> Iterator[DemoServer]:
    """Serve ``directory/files`` by FTP; the server's own files are beside it.

    An upload-only account may CWD and STOR, a name once (553 the second time); all else about files is refused.
    """
    with listening() as listener:
        service = _service(directory, account, listener)
        server = DemoServer(
            scheme="ftp",
            port=listener.getsockname()[1],
            password=service.password,
            incoming=_incoming(directory),
            log=directory / "ftp-server.log",
            transfer_log=directory / "xferlog",
        )
        with hosted("archq.demo.ftpserver", service, server.log):
            listener.close()
            yield server


@contextmanager
def sftp_server(directory: Path, *, account: str = UPLOAD_ONLY) -> Iterator[DemoServer]:
    """Serve ``directory/files`` by SFTP; the server's own files are beside it, new host and login keys among them.

    An upload-only account may write and stat files in incoming (exclusively or not, as OpenSSH's would); all else is
    refused as not permitted.
    """
    with listening() as listener:
        service = _service(directory, account, listener)
        server = DemoServer(
            scheme="sftp",
            port=listener.getsockname()[1],
            password=service.password,
            incoming=_incoming(directory),
            log=directory / "sftp-server.log",
            known_hosts=directory / "known_hosts",
            key=directory / "login_key",
        )
        _make_keys(directory, server)
        with hosted("archq.demo.sftpserver", service, server.log):
            listener.close()
            yield server


def _service(directory: Path, account: str, listener: socket.socket) -> Service:
    return Service(
        root=str(_incoming(directory).parent),
        state=str(directory),
        account=account,
        user=USER,
        password=secrets.token_urlsafe(12),
        listener=listener.fileno(),
    )


def _incoming(directory: Path) -> Path:
    incoming = directory / "files" / INCOMING
    incoming.mkdir(parents=True, exist_ok=True)
    return incoming


def _make_keys(directory: Path, server: DemoServer) -> None:
    for name in ("host_key", "login_key"):
        key = paramiko.ECDSAKey.generate()
        key.write_private_key_file(str(directory / name))
        (directory / f"{name}.pub").write_text(f"{key.get_name()} {key.get_base64()}\n")
    name, base64 = (directory / "host_key.pub").read_text().split()
    (directory / "known_hosts").write_text(f"[{server.host}]:{server.port} {name} {base64}\n")
