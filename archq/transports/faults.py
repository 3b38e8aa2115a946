"""The one table that decides about an error of a protocol library: will a later try help, and who has to wait.

The names we send are our own, plain ASCII and never used twice.  So when a server refuses one for good, it is not the
name but the directory, the account or the server that is wrong, and that concerns the whole queue.
"""

from __future__ import annotations

import contextlib
import errno
import ftplib
import os
import socket
import ssl
from typing import TYPE_CHECKING

from archq.errors import ArchqError
from archq.transports.base import (
    NotPermittedTransferError,
    PermanentTransferError,
    Scope,
    TemporaryTransferError,
    TransferError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# RFC 959 section 4.2 and RFC 2228: what a reply code means for us.
FTP_REPLIES: dict[str, tuple[type[TransferError], Scope]] = {
    "421": (TemporaryTransferError, Scope.QUEUE),  # service not available, closing
    "425": (TemporaryTransferError, Scope.FILE),  # cannot open data connection
    "426": (TemporaryTransferError, Scope.FILE),  # connection closed, transfer aborted
    "430": (PermanentTransferError, Scope.QUEUE),  # invalid user or password
    "431": (TemporaryTransferError, Scope.QUEUE),  # some security resource is unavailable
    "434": (TemporaryTransferError, Scope.QUEUE),  # requested host unavailable
    "450": (TemporaryTransferError, Scope.FILE),  # file unavailable, busy
    "451": (TemporaryTransferError, Scope.QUEUE),  # local error in processing: what most servers say of a full disk
    "452": (TemporaryTransferError, Scope.QUEUE),  # insufficient storage
    "500": (NotPermittedTransferError, Scope.QUEUE),  # command unrecognised
    "501": (PermanentTransferError, Scope.QUEUE),  # error in arguments
    "502": (NotPermittedTransferError, Scope.QUEUE),  # command not implemented
    "503": (PermanentTransferError, Scope.QUEUE),  # bad sequence
    "504": (PermanentTransferError, Scope.QUEUE),  # not implemented for that argument
    "530": (PermanentTransferError, Scope.QUEUE),  # not logged in
    "532": (PermanentTransferError, Scope.QUEUE),  # need account for storing files
    "533": (PermanentTransferError, Scope.QUEUE),  # protection level denied
    "534": (PermanentTransferError, Scope.QUEUE),  # policy requires TLS
    "535": (PermanentTransferError, Scope.QUEUE),  # failed security check
    "536": (PermanentTransferError, Scope.QUEUE),  # protection level not supported
    "550": (NotPermittedTransferError, Scope.QUEUE),  # file unavailable, no access
    "551": (PermanentTransferError, Scope.QUEUE),  # page type unknown
    "552": (TemporaryTransferError, Scope.QUEUE),  # storage allocation exceeded: heals when somebody makes room
    "553": (NotPermittedTransferError, Scope.QUEUE),  # name not allowed
}

_REFUSED_ERRNO = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
# How OpenSSL says that the two sides have no version or cipher in common.
_NO_COMMON_TLS = ("PROTOCOL_VERSION", "UNSUPPORTED_PROTOCOL", "HANDSHAKE_FAILURE", "NO_SHARED_CIPHER")
_RESOURCE_SHORTAGE = 4  # SSH_OPEN_RESOURCE_SHORTAGE, RFC 4254 section 5.1: the one refusal of a channel that passes
_FULL_ERRNO = frozenset({errno.ENOSPC, errno.EDQUOT})
_ABSENT = {errno.ENOENT: "no such file or directory there", errno.ENOTDIR: "not a directory there"}
_WORDS_OF_ABSENT = {"no such file", *(os.strerror(number).lower() for number in _ABSENT)}


def translate(error: Exception, what: str) -> TransferError:
    """Return the TransferError that ``error`` is; ``what`` says where and what was tried, without a password."""
    kind, scope, text = next(decide(error) for known, decide in _TABLE if isinstance(error, known))
    return kind(f"{what}: {text}", scope)


@contextlib.contextmanager
def told(what: str, scope: Scope | None = None) -> Iterator[None]:
    """Turn every error of a protocol library inside into a TransferError; ``scope`` overrules the table's.

    Errors of ours, those of reading the source among them, pass.
    """
    try:
        yield
    except ArchqError:
        raise
    except Exception as error:
        translated = translate(error, what)
        translated.scope = scope or translated.scope
        raise translated from error


Decision = tuple[type[TransferError], Scope, str]


def _ftp_reply(error: Exception) -> Decision:
    reply = " ".join(str(error).split())  # servers use several lines
    if isinstance(error, ftplib.error_perm | ftplib.error_temp):
        kind = PermanentTransferError if isinstance(error, ftplib.error_perm) else TemporaryTransferError
        return *FTP_REPLIES.get(reply[:3], (kind, Scope.QUEUE)), f"the server says {reply}"
    # A reply to something else, or none at all: a new session may be in step again.
    return TemporaryTransferError, Scope.FILE, f"an answer out of turn: {reply}"


def _certificate(error: Exception) -> Decision:
    text = getattr(error, "verify_message", "") or str(error)
    return PermanentTransferError, Scope.QUEUE, f"the server's certificate is not trusted: {text}"


def _tls(error: Exception) -> Decision:
    reason = getattr(error, "reason", None) or str(error)
    kind = PermanentTransferError if any(words in reason for words in _NO_COMMON_TLS) else TemporaryTransferError
    return kind, Scope.QUEUE, f"TLS failed: {reason}"


def _name_lookup(error: Exception) -> Decision:
    # Not permanent even for "unknown name": that is what many resolvers say while the link is down.
    text = getattr(error, "strerror", None) or str(error)
    return TemporaryTransferError, Scope.QUEUE, f"its address cannot be looked up: {text}"


def _system(error: Exception) -> Decision:
    number = getattr(error, "errno", None)
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    if number in _REFUSED_ERRNO:
        return NotPermittedTransferError, Scope.QUEUE, f"not permitted: {text}"
    if number in _FULL_ERRNO:
        return TemporaryTransferError, Scope.QUEUE, f"the disk there is full: {text}"
    if number in _ABSENT:
        is_told = text.rstrip(".").lower() in _WORDS_OF_ABSENT
        return PermanentTransferError, Scope.QUEUE, _ABSENT[number] if is_told else f"{_ABSENT[number]}: {text}"
    if number is None and "closed" not in text:
        # SFTP has one code, "failure", for a full disk as for much else; paramiko says "Socket is closed" likewise.
        return TemporaryTransferError, Scope.QUEUE, f"the server says {text}; its disk may be full"
    return TemporaryTransferError, Scope.FILE, text


def _timeout(_error: Exception) -> Decision:
    return TemporaryTransferError, Scope.FILE, "no answer in time"


def _refused(error: Exception) -> Decision:
    return TemporaryTransferError, Scope.QUEUE, f"nothing listens there: {getattr(error, 'strerror', None) or error}"


def _connection_ended(error: Exception) -> Decision:
    text = getattr(error, "strerror", None) or str(error) or "end of stream"
    return TemporaryTransferError, Scope.FILE, f"the connection was lost: {text}"


def _not_text(error: Exception) -> Decision:
    return TemporaryTransferError, Scope.QUEUE, f"not an answer of this protocol: {error}"


def ssh_decisions() -> list[tuple[type[Exception], Callable[[Exception], Decision]]]:
    """Return what to do about paramiko's errors, narrow ones first; called only where paramiko is in use."""
    import paramiko
    from paramiko.ber import BERException
    from paramiko.buffered_pipe import PipeTimeout
    from paramiko.hostkeys import InvalidHostKey
    from paramiko.packet import NeedRekeyException
    from paramiko.pkey import UnknownKeyType

    def refused(error: Exception) -> Decision:
        return PermanentTransferError, Scope.QUEUE, _ssh_text(error)

    def unreachable(error: Exception) -> Decision:
        return TemporaryTransferError, Scope.QUEUE, _ssh_text(error)

    def channel_refused(error: Exception) -> Decision:
        short = getattr(error, "code", None) == _RESOURCE_SHORTAGE
        return TemporaryTransferError if short else PermanentTransferError, Scope.QUEUE, _ssh_text(error)

    return [
        (paramiko.BadHostKeyException, refused),
        (UnknownKeyType, refused),
        (InvalidHostKey, refused),
        (BERException, refused),  # a key that is none
        (paramiko.PasswordRequiredException, refused),
        (paramiko.AuthenticationException, refused),
        (paramiko.ssh_exception.IncompatiblePeer, refused),
        (paramiko.ConfigParseError, refused),
        (paramiko.ssh_exception.CouldNotCanonicalize, refused),
        (paramiko.ChannelException, channel_refused),
        (paramiko.ssh_exception.NoValidConnectionsError, unreachable),
        (paramiko.ProxyCommandFailure, unreachable),
        (paramiko.SSHException, _connection_ended),
        (paramiko.SFTPError, _connection_ended),
        (NeedRekeyException, _connection_ended),
        (PipeTimeout, _timeout),
    ]


def _ssh_text(error: Exception) -> str:
    return str(error).strip().rstrip(".") or type(error).__name__


_TABLE: list[tuple[type[Exception], Callable[[Exception], Decision]]] = [
    (ftplib.Error, _ftp_reply),
    (ssl.SSLCertVerificationError, _certificate),
    (ssl.SSLEOFError, _connection_ended),
    (ssl.SSLZeroReturnError, _connection_ended),
    (ssl.SSLError, _tls),
    (socket.gaierror, _name_lookup),
    (socket.herror, _name_lookup),
    (TimeoutError, _timeout),
    (ConnectionRefusedError, _refused),
    (ConnectionError, _connection_ended),
    (EOFError, _connection_ended),
    (OSError, _system),
    (ValueError, _not_text),  # UnicodeDecodeError and ftplib's own parsing of replies
    (Exception, _not_text),
]


def know_ssh() -> None:
    """Put paramiko's errors into the table, once."""
    if _TABLE[0][0] is ftplib.Error:
        _TABLE[:0] = ssh_decisions()
