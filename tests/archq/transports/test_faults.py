"""Every error that a protocol library can raise has a decision: will a later try help, and who has to wait."""

from __future__ import annotations

import errno
import ftplib
import os
import socket
import ssl
import sys
from typing import TYPE_CHECKING

import paramiko
import pytest
from paramiko.auth_strategy import AuthFailure, AuthResult
from paramiko.ber import BERException
from paramiko.buffered_pipe import PipeTimeout
from paramiko.hostkeys import InvalidHostKey
from paramiko.packet import NeedRekeyException
from paramiko.pkey import UnknownKeyType
from paramiko.ssh_exception import (
    BadAuthenticationType,
    CouldNotCanonicalize,
    IncompatiblePeer,
    MessageOrderError,
    NoValidConnectionsError,
    PartialAuthentication,
    UnableToAuthenticate,
)

from archq.errors import InputOutputError
from archq.transports import faults, sftp
from archq.transports.base import (
    NotPermittedTransferError,
    PermanentTransferError,
    Scope,
    TemporaryTransferError,
    TransferError,
)
from archq.transports.faults import told, translate

if TYPE_CHECKING:
    from collections.abc import Iterator

assert sftp  # with it the table knows paramiko's errors

TEMPORARY, PERMANENT, NOT_PERMITTED = TemporaryTransferError, PermanentTransferError, NotPermittedTransferError
FILE, QUEUE = Scope.FILE, Scope.QUEUE


def reply(text: str) -> ftplib.Error:
    return ftplib.error_perm(text) if text.startswith("5") else ftplib.error_temp(text)


def system(number: int) -> OSError:
    return OSError(number, os.strerror(number))


KEY = paramiko.ECDSAKey.generate()

CASES: list[tuple[Exception, type[TransferError], Scope, str]] = [
    # FTP servers' words.
    (reply("421 Timeout."), TEMPORARY, QUEUE, "the server says 421 Timeout."),
    (reply("425 Can't open data connection."), TEMPORARY, FILE, "the server says 425"),
    (reply("426 Connection closed."), TEMPORARY, FILE, "the server says 426"),
    (reply("430 Invalid user or password."), PERMANENT, QUEUE, "the server says 430"),
    (reply("431 Need some security resource."), TEMPORARY, QUEUE, "the server says 431"),
    (reply("434 Host unavailable."), TEMPORARY, QUEUE, "the server says 434"),
    (reply("450 Busy."), TEMPORARY, FILE, "the server says 450"),
    (reply("451 Failure writing to local file."), TEMPORARY, QUEUE, "the server says 451 Failure writing"),
    (reply("452 Insufficient storage."), TEMPORARY, QUEUE, "the server says 452"),
    (reply("499 Something new."), TEMPORARY, QUEUE, "the server says 499"),
    (reply("500 Unknown command."), NOT_PERMITTED, QUEUE, "the server says 500"),
    (reply("501 Bad argument."), PERMANENT, QUEUE, "the server says 501"),
    (reply("502 Not implemented."), NOT_PERMITTED, QUEUE, "the server says 502"),
    (reply("503 Bad sequence."), PERMANENT, QUEUE, "the server says 503"),
    (reply("504 Not for that argument."), PERMANENT, QUEUE, "the server says 504"),
    (reply("522 Session reuse required."), PERMANENT, QUEUE, "the server says 522"),
    (reply("530 Login incorrect."), PERMANENT, QUEUE, "the server says 530"),
    (reply("532 Need account."), PERMANENT, QUEUE, "the server says 532"),
    (reply("533 Protection denied."), PERMANENT, QUEUE, "the server says 533"),
    (reply("534 Policy requires SSL."), PERMANENT, QUEUE, "the server says 534"),
    (reply("535 Failed security check."), PERMANENT, QUEUE, "the server says 535"),
    (reply("536 Protection level."), PERMANENT, QUEUE, "the server says 536"),
    (reply("550 Permission denied."), NOT_PERMITTED, QUEUE, "the server says 550"),
    (reply("551 Page type unknown."), PERMANENT, QUEUE, "the server says 551"),
    (reply("552 Quota exceeded."), TEMPORARY, QUEUE, "the server says 552"),
    (reply("553 Could not create file."), NOT_PERMITTED, QUEUE, "the server says 553"),
    (reply("599 Something new."), PERMANENT, QUEUE, "the server says 599"),
    (reply("451-Error during write\n451-aborted\n451 done"), TEMPORARY, QUEUE, "451-Error during write 451-aborted"),
    (ftplib.error_reply("213 77"), TEMPORARY, FILE, "an answer out of turn: 213 77"),
    (ftplib.error_proto("HTTP/1.1 400"), TEMPORARY, FILE, "an answer out of turn: HTTP/1.1 400"),
    (ftplib.Error("got more than 8192 bytes"), TEMPORARY, FILE, "an answer out of turn: got more than"),
    (EOFError(), TEMPORARY, FILE, "the connection was lost: end of stream"),
    (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid"), TEMPORARY, QUEUE, "not an answer of this protocol"),
    (ValueError("invalid literal for int()"), TEMPORARY, QUEUE, "not an answer of this protocol"),
    # TLS.
    (ssl.SSLCertVerificationError(1, "self-signed"), PERMANENT, QUEUE, "the server's certificate is not trusted"),
    (ssl.SSLEOFError(8, "EOF occurred"), TEMPORARY, FILE, "the connection was lost"),
    (ssl.SSLZeroReturnError(6, "closed"), TEMPORARY, FILE, "the connection was lost"),
    (ssl.SSLSyscallError(5, "broken"), TEMPORARY, QUEUE, "TLS failed"),
    (ssl.SSLWantReadError(2, "not done"), TEMPORARY, QUEUE, "TLS failed"),
    (ssl.SSLWantWriteError(3, "not done"), TEMPORARY, QUEUE, "TLS failed"),
    (ssl.SSLError(1, "[SSL: BAD_RECORD] bad record"), TEMPORARY, QUEUE, "TLS failed: "),
    (ssl.SSLError(1, "[SSL: UNSUPPORTED_PROTOCOL] no"), PERMANENT, QUEUE, "TLS failed: "),
    # The network.
    (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), TEMPORARY, QUEUE, "its address cannot be looked"),
    (socket.gaierror(socket.EAI_AGAIN, "Try again"), TEMPORARY, QUEUE, "its address cannot be looked up: Try again"),
    (socket.herror(1, "Unknown host"), TEMPORARY, QUEUE, "its address cannot be looked up: Unknown host"),
    (TimeoutError("timed out"), TEMPORARY, FILE, "no answer in time"),
    (system(errno.ETIMEDOUT), TEMPORARY, FILE, "no answer in time"),
    (system(errno.ECONNREFUSED), TEMPORARY, QUEUE, "Connection refused"),
    (system(errno.ECONNRESET), TEMPORARY, FILE, "the connection was lost: "),
    (system(errno.EPIPE), TEMPORARY, FILE, "the connection was lost: "),
    (system(errno.ECONNABORTED), TEMPORARY, FILE, "the connection was lost: "),
    (system(errno.ENETUNREACH), TEMPORARY, FILE, "Network is unreachable"),
    (system(errno.EHOSTUNREACH), TEMPORARY, FILE, "No route to host"),
    (system(errno.ENETDOWN), TEMPORARY, FILE, "Network is down"),
    (system(errno.EADDRNOTAVAIL), TEMPORARY, FILE, "Cannot assign requested address"),
    (system(errno.EMFILE), TEMPORARY, FILE, "Too many open files"),
    # Directories, here or mounted, and what SFTP's codes become in paramiko.
    (system(errno.EACCES), NOT_PERMITTED, QUEUE, "not permitted: Permission denied"),
    (system(errno.EPERM), NOT_PERMITTED, QUEUE, "not permitted: "),
    (system(errno.EROFS), NOT_PERMITTED, QUEUE, "not permitted: Read-only"),
    (system(errno.ENOSPC), TEMPORARY, QUEUE, "the disk there is full: No space left"),
    (system(errno.EDQUOT), TEMPORARY, QUEUE, "the disk there is full: "),
    (system(errno.ENOENT), PERMANENT, QUEUE, "cannot send x.df: no such file or directory there"),
    (system(errno.ENOTDIR), PERMANENT, QUEUE, "cannot send x.df: not a directory there"),
    (OSError(errno.ENOENT, "No such file"), PERMANENT, QUEUE, "cannot send x.df: no such file or directory there"),
    (OSError(errno.ENOENT, "it was purged"), PERMANENT, QUEUE, "no such file or directory there: it was purged"),
    (system(errno.EEXIST), TEMPORARY, FILE, "File exists"),
    (system(errno.EIO), TEMPORARY, FILE, "Input/output error"),
    (system(errno.ESTALE), TEMPORARY, FILE, "Stale file handle"),
    (system(errno.EFBIG), TEMPORARY, FILE, "File too large"),
    (OSError("Failure"), TEMPORARY, QUEUE, "the server says Failure; its disk may be full"),
    (OSError("Socket is closed"), TEMPORARY, FILE, "Socket is closed"),
    # SSH.
    (paramiko.BadHostKeyException("archive", KEY, KEY), PERMANENT, QUEUE, "Host key for server"),
    (paramiko.AuthenticationException("Authentication failed."), PERMANENT, QUEUE, "Authentication failed"),
    (BadAuthenticationType("Bad authentication type", ["publickey"]), PERMANENT, QUEUE, "Bad authentication type"),
    (AuthFailure(AuthResult(strategy=None)), PERMANENT, QUEUE, ""),
    (UnableToAuthenticate("no method left"), PERMANENT, QUEUE, "no method left"),
    (PartialAuthentication(["password"]), PERMANENT, QUEUE, "Partial authentication"),
    (paramiko.PasswordRequiredException("Private key file is encrypted"), PERMANENT, QUEUE, "encrypted"),
    (UnknownKeyType("ssh-new", b""), PERMANENT, QUEUE, "ssh-new"),
    (InvalidHostKey("a line", ValueError("no base64")), PERMANENT, QUEUE, "a line"),
    (IncompatiblePeer("no acceptable kex algorithm"), PERMANENT, QUEUE, "no acceptable kex algorithm"),
    (paramiko.ConfigParseError("Unparsable line"), PERMANENT, QUEUE, "Unparsable line"),
    (NoValidConnectionsError({("::1", 22): system(errno.ECONNREFUSED)}), TEMPORARY, QUEUE, "Unable to connect"),
    (paramiko.ProxyCommandFailure("ssh gate", "gone"), TEMPORARY, QUEUE, "ssh gate"),
    (paramiko.ChannelException(4, "Resource shortage"), TEMPORARY, QUEUE, "Resource shortage"),
    (paramiko.ChannelException(1, "Administratively prohibited"), PERMANENT, QUEUE, "Administratively prohibited"),
    (CouldNotCanonicalize("archive"), PERMANENT, QUEUE, "archive"),
    (MessageOrderError("out of order"), TEMPORARY, FILE, "the connection was lost: out of order"),
    (paramiko.SSHException("Error reading SSH protocol banner"), TEMPORARY, FILE, "was lost: Error reading"),
    (paramiko.SFTPError("Garbage packet received"), TEMPORARY, FILE, "the connection was lost: Garbage"),
    (PipeTimeout(), TEMPORARY, FILE, "no answer in time"),
    (BERException("unknown"), PERMANENT, QUEUE, "unknown"),
    (NeedRekeyException(), TEMPORARY, FILE, "the connection was lost"),
    # What nobody has foreseen.
    (KeyError("x"), TEMPORARY, QUEUE, "not an answer of this protocol"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("error", "kind", "scope", "words"), CASES, ids=[f"{type(case[0]).__name__}-{case[3][-25:]}" for case in CASES]
)
def test_an_error_is_decided_about(error: Exception, kind: type[TransferError], scope: Scope, words: str) -> None:
    decided = translate(error, "archive: cannot send x.df")
    assert (type(decided), decided.scope) == (kind, scope)
    assert str(decided).startswith("archive: cannot send x.df: ")
    assert words in str(decided)
    assert str(decided).isprintable()


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (system(errno.ENOENT), "no such file or directory there"),
        (OSError(errno.ENOENT, "No such file."), "no such file or directory there"),
        (system(errno.ENOTDIR), "not a directory there"),
    ],
)
def test_nothing_is_said_twice(error: OSError, words: str) -> None:
    assert str(translate(error, "archive: cannot send x.df")) == f"archive: cannot send x.df: {words}"


def exceptions_of(*modules: str) -> Iterator[type[Exception]]:
    """Yield every exception class that the loaded modules below ``modules`` define themselves."""
    for name, module in list(sys.modules.items()):
        if name.partition(".")[0] in modules:
            for found in vars(module).values():
                if isinstance(found, type) and issubclass(found, Exception) and found.__module__ == name:
                    yield found


@pytest.mark.parametrize("known", sorted(set(exceptions_of("ftplib", "paramiko", "ssl")), key=str))
def test_no_error_of_the_libraries_is_left_to_the_catch_all(known: type[Exception]) -> None:
    first = next(kind for kind, _decide in faults._TABLE if issubclass(known, kind))
    assert first is not Exception


@pytest.mark.parametrize("known", sorted(set(exceptions_of("ftplib", "paramiko", "ssl")), key=str))
def test_every_error_of_the_libraries_is_a_case_here(known: type[Exception]) -> None:
    assert any(isinstance(case[0], known) for case in CASES)


def test_ours_pass_and_theirs_are_translated_with_their_cause() -> None:
    with pytest.raises(InputOutputError, match=r"^the disk$"), told("archive"):
        raise InputOutputError("the disk")
    with pytest.raises(TemporaryTransferError, match=r"^archive: no answer in time$") as caught, told("archive"):
        raise TimeoutError
    assert isinstance(caught.value.__cause__, TimeoutError)


def test_where_an_error_happens_can_overrule_whom_it_concerns() -> None:
    with pytest.raises(TemporaryTransferError) as caught, told("archive", Scope.QUEUE):
        raise TimeoutError
    assert caught.value.scope is Scope.QUEUE


def test_an_interrupt_is_no_error_of_the_destination() -> None:
    with pytest.raises(KeyboardInterrupt), told("archive"):
        raise KeyboardInterrupt
