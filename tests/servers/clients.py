"""Plain clients of the test servers: ftplib and paramiko as they come, logged in and in the incoming directory."""

from __future__ import annotations

import ftplib
import io
import socket
import ssl
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import paramiko

from tests.servers.process import PATIENCE, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.servers.process import RunningServer


@contextmanager
def ftp(server: RunningServer, client: ftplib.FTP | None = None) -> Iterator[ftplib.FTP]:
    """Log in to an FTP server, over TLS if its URL says so."""
    with connected(server, client) as client:
        client.login(urlsplit(server.url).username or "", server.password or "")
        if isinstance(client, ftplib.FTP_TLS):
            client.prot_p()
        client.cwd(urlsplit(server.url).path)
        client.voidcmd("TYPE I")
        yield client


def connected(server: RunningServer, client: ftplib.FTP | None = None) -> ftplib.FTP:
    """Connect to an FTP server without logging in."""
    if client is None:
        client = ReusingTLS(context=trusting(server)) if server.certificate else ftplib.FTP()
    client.connect(urlsplit(server.url).hostname or "", urlsplit(server.url).port or 0, PATIENCE)
    return client


@contextmanager
def sftp(server: RunningServer) -> Iterator[paramiko.SFTPClient]:
    """Log in to an SSH server with the only key it takes; its own must be the known one."""
    with paramiko.SSHClient() as client:
        client.load_host_keys(str(server.known_hosts))
        client.connect(
            urlsplit(server.url).hostname or "",
            urlsplit(server.url).port or 0,
            urlsplit(server.url).username,
            key_filename=str(server.key),
            allow_agent=False,
            look_for_keys=False,
            timeout=PATIENCE,
        )
        with client.open_sftp() as session:
            session.chdir(urlsplit(server.url).path)
            yield session


def trusting(server: RunningServer) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(server.certificate))


def store(client: ftplib.FTP, name: str, data: bytes, *, verb: str = "STOR", offset: int | None = None) -> str:
    return client.storbinary(f"{verb} {name}", io.BytesIO(data), rest=offset)


def contents(incoming: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in incoming.iterdir()}


def cut_upload(server: RunningServer, name: str, data: bytes, *, reset: bool = False) -> None:
    """Begin an upload and vanish: all connections close at once, as the kernel does for a killed client."""
    with ftp(server) as client:
        connection = client.transfercmd(f"STOR {name}")
        connection.sendall(data)
        # Under whatever name: Pure-FTPd gives a file its own name at the end where it keeps every upload.
        wait_until(lambda: data in contents(server.incoming).values(), f"{name} has arrived so far")
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()
        client.close()


class ReusingTLS(ftplib.FTP_TLS):
    """FTP over TLS whose data connections continue the control connection's session, as careful servers require."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        assert isinstance(self.sock, ssl.SSLSocket)
        context: ssl.SSLContext = self.context
        return context.wrap_socket(connection, server_hostname=self.host, session=self.sock.session), size
