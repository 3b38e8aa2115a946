"""The SFTP server process of a demonstration."""

from __future__ import annotations

import functools
import hmac
import logging
import os
import socket
import stat
import threading
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import paramiko
from paramiko.common import (
    AUTH_FAILED,
    AUTH_SUCCESSFUL,
    OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED,
    OPEN_SUCCEEDED,
)
from paramiko.sftp import SFTP_OK, SFTP_PERMISSION_DENIED

from archq.demo.hosting import INCOMING, UPLOAD_ONLY, Service, told

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import ReadableBuffer

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


def _answering(method: Callable[Arguments, Answer]) -> Callable[Arguments, Answer | int]:
    """Answer with the protocol's status where ``method`` raises OSError."""

    @functools.wraps(method)
    def answer(*args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer | int:
        try:
            return method(*args, **kwargs)
        except OSError as error:
            return paramiko.SFTPServer.convert_errno(error.errno or 0)

    return answer


def _change(target: str | int, attributes: paramiko.SFTPAttributes) -> int:
    """Set what the client named; times last, because truncating changes them."""
    if attributes.st_mode is not None:
        os.chmod(target, stat.S_IMODE(attributes.st_mode))
    if attributes.st_size is not None:
        os.truncate(target, attributes.st_size)
    if attributes.st_atime is not None and attributes.st_mtime is not None:
        os.utime(target, (attributes.st_atime, attributes.st_mtime))
    return SFTP_OK


class _OpenFile(paramiko.SFTPHandle):
    """A file that a client has open."""

    def __init__(self, descriptor: int, flags: int) -> None:
        super().__init__(flags)
        self._descriptor = descriptor

    def close(self) -> None:
        os.close(self._descriptor)

    @_answering
    def read(self, offset: int, length: int) -> bytes | int:
        return os.pread(self._descriptor, length, offset)

    @_answering
    def write(self, offset: int, data: ReadableBuffer) -> int:
        rest = memoryview(data)
        while rest:
            written = os.pwrite(self._descriptor, rest, offset)
            rest, offset = rest[written:], offset + written
        return SFTP_OK

    @_answering
    def stat(self) -> paramiko.SFTPAttributes | int:
        return paramiko.SFTPAttributes.from_stat(os.fstat(self._descriptor))

    @_answering
    def chattr(self, attr: paramiko.SFTPAttributes) -> int:
        return _change(self._descriptor, attr)


class _Directory(paramiko.SFTPServerInterface):
    """A real directory, for an account that may do everything in it."""

    def __init__(self, server: paramiko.ServerInterface, root: str) -> None:
        super().__init__(server)
        self._root = root

    def _real(self, path: str) -> Path:
        # canonicalize() makes the path absolute and resolves "..", so none leads out of the root.
        return Path(self._root + self.canonicalize(path))

    @_answering
    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
        mode = 0o666 if attr.st_mode is None else stat.S_IMODE(attr.st_mode)
        return _OpenFile(os.open(self._real(path), flags | os.O_NOFOLLOW, mode), flags)

    @_answering
    def list_folder(self, path: str) -> list[paramiko.SFTPAttributes] | int:
        with os.scandir(self._real(path)) as entries:
            return [
                paramiko.SFTPAttributes.from_stat(entry.stat(follow_symlinks=False), entry.name) for entry in entries
            ]

    @_answering
    def stat(self, path: str) -> paramiko.SFTPAttributes | int:
        return paramiko.SFTPAttributes.from_stat(self._real(path).stat())

    @_answering
    def lstat(self, path: str) -> paramiko.SFTPAttributes | int:
        return paramiko.SFTPAttributes.from_stat(self._real(path).lstat())

    @_answering
    def remove(self, path: str) -> int:
        self._real(path).unlink()
        return SFTP_OK

    @_answering
    def rename(self, oldpath: str, newpath: str) -> int:
        # Version 3 of the protocol forbids to replace, and link(2) does not: OpenSSH does the same.
        self._real(newpath).hardlink_to(self._real(oldpath))
        self._real(oldpath).unlink()
        return SFTP_OK

    @_answering
    def posix_rename(self, oldpath: str, newpath: str) -> int:
        self._real(oldpath).replace(self._real(newpath))
        return SFTP_OK

    @_answering
    def mkdir(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        self._real(path).mkdir()
        return _change(str(self._real(path)), attr)

    @_answering
    def rmdir(self, path: str) -> int:
        self._real(path).rmdir()
        return SFTP_OK

    @_answering
    def chattr(self, path: str, attr: paramiko.SFTPAttributes) -> int:
        return _change(str(self._real(path)), attr)


def _refused(_self: object, *_arguments: object, **_keywords: object) -> int:
    return SFTP_PERMISSION_DENIED


class _DropBox(_Directory):
    """A real directory for an upload-only account: OpenSSH's internal-sftp with a list of permitted requests."""

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> paramiko.SFTPHandle | int:
        if os.path.dirname(self.canonicalize(path)) != f"/{INCOMING}" or not flags & (os.O_WRONLY | os.O_RDWR):
            return SFTP_PERMISSION_DENIED
        return super().open(path, flags, attr)

    list_folder = remove = rename = posix_rename = mkdir = rmdir = chattr = _refused


class _Login(paramiko.ServerInterface):
    """Lets one user in, by password or key."""

    def __init__(self, service: Service) -> None:
        self._service = service
        self._key = Path(service.state, "login_key.pub").read_text().split()

    def get_allowed_auths(self, username: str) -> str:  # noqa: ARG002  # paramiko passes it
        return "password,publickey"

    def check_auth_password(self, username: str, password: str) -> int:
        given, wanted = (f"{username}:{password}", f"{self._service.user}:{self._service.password}")
        return _auth_answer(hmac.compare_digest(given.encode(), wanted.encode()))

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return _auth_answer(username == self._service.user and [key.get_name(), key.get_base64()] == self._key)

    def check_channel_request(self, kind: str, chanid: int) -> int:  # noqa: ARG002  # paramiko passes it
        return OPEN_SUCCEEDED if kind == "session" else OPEN_FAILED_ADMINISTRATIVELY_PROHIBITED


def _auth_answer(known: bool) -> int:
    return AUTH_SUCCESSFUL if known else AUTH_FAILED


def _greet(connection: socket.socket, service: Service, host_key: paramiko.PKey) -> None:
    # paramiko answers in threads of its own; they end with the connection.
    transport = paramiko.Transport(connection)
    transport.add_server_key(host_key)
    directory = _DropBox if service.account == UPLOAD_ONLY else _Directory
    transport.set_subsystem_handler("sftp", paramiko.SFTPServer, directory, service.root)
    transport.start_server(event=threading.Event(), server=_Login(service))


def main() -> None:
    """Serve until standard input ends."""
    service = told()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    host_key = paramiko.ECDSAKey(filename=os.path.join(service.state, "host_key"))
    listener = socket.socket(fileno=service.listener)
    while True:
        connection, _address = listener.accept()
        _greet(connection, service, host_key)


if __name__ == "__main__":
    main()
