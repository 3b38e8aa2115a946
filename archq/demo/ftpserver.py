"""The FTP server process of a demonstration."""

from __future__ import annotations

import logging
import os
import socket
import time
from pathlib import Path
from typing import ClassVar

from pyftpdlib.authorizers import DummyAuthorizer
from pyftpdlib.handlers import FTPHandler
from pyftpdlib.servers import FTPServer

from archq.demo.hosting import INCOMING, UPLOAD_ONLY, Service, told
from archq.demo.xferlog import xferlog_line

EVERYTHING = "elradfmwMT"  # pyftpdlib's letters: e is CWD, l LIST and SIZE, w STOR, a APPE, d DELE, f RNFR


class _Session(FTPHandler):  # type: ignore[misc]  # pyftpdlib has no types
    """One client's session: refuses to store a name twice where it has to, and keeps an xferlog."""

    stores_once: ClassVar[bool]
    xferlog: ClassVar[Path]
    auth_failed_timeout = 0  # seconds; guessing is no danger here, waiting makes tests slow

    def ftp_STOR(self, file: str, mode: str = "w") -> str | None:  # noqa: N802  # pyftpdlib finds it by the command
        if self.stores_once and os.path.lexists(file):
            self._restart_position = 0  # else an earlier REST would strike the next upload
            self.respond("553 Could not create file.")
            return None
        stored: str | None = super().ftp_STOR(file, mode)
        return stored

    def log_transfer(
        self,
        cmd: str,  # noqa: ARG002  # pyftpdlib passes it
        filename: str,
        receive: bool,
        completed: bool,
        elapsed: float,
        bytes: int,  # noqa: A002  # pyftpdlib names it
    ) -> None:
        line = xferlog_line(
            ended=time.time(),
            seconds=elapsed,
            host=self.remote_ip,
            size=bytes,
            path=self.fs.fs2ftp(filename),
            incoming=receive,
            user=self.username,
            complete=completed,
        )
        with self.xferlog.open("a") as log:
            log.write(line)


def _authorizer(service: Service) -> DummyAuthorizer:
    authorizer = DummyAuthorizer()
    if service.account == UPLOAD_ONLY:
        authorizer.add_user(service.user, service.password, service.root, perm="e")
        authorizer.override_perm(service.user, os.path.join(service.root, INCOMING), "ew")
    else:
        authorizer.add_user(service.user, service.password, service.root, perm=EVERYTHING)
    return authorizer


def main() -> None:
    """Serve until standard input ends."""
    service = told()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    _Session.authorizer = _authorizer(service)
    _Session.stores_once = service.account == UPLOAD_ONLY
    _Session.xferlog = Path(service.state, "xferlog")
    FTPServer(socket.socket(fileno=service.listener), _Session).serve_forever(handle_exit=False)


if __name__ == "__main__":
    main()
