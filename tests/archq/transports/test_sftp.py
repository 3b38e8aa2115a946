"""SFTP: no failed write passes for success."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from paramiko.sftp import SFTP_PERMISSION_DENIED

from archq.config import QueueSettings
from archq.transports import sftp
from archq.transports.accounts import connect
from archq.transports.base import (
    NotPermittedTransferError,
    PermanentTransferError,
    Scope,
    TemporaryTransferError,
    TransferError,
)
from archq.transports.sftpclient import _pieces
from tests.places import password_file, real
from tests.servers import lying
from tests.servers.lying import Failing

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.places import Place
    from tests.servers.process import RunningServer

BLOCK = 32_768  # bytes: one write request
MORE_THAN_A_WINDOW = 200 * BLOCK


@pytest.fixture
def place(sshd_full: RunningServer, tmp_path: Path) -> Place:
    return real("sshd, full", sshd_full, tmp_path)


def refused(settings: QueueSettings) -> str:
    """Return what is said when connecting fails for good."""
    with pytest.raises(PermanentTransferError) as caught:
        connect(settings).close()
    assert caught.value.scope is Scope.QUEUE
    return str(caught.value)


def test_a_file_of_many_writes_arrives_whole(place: Place) -> None:
    content = bytes(range(251)) * (MORE_THAN_A_WINDOW // 251)
    session = place.connect()
    session.put(io.BytesIO(content), "large.df")
    session.close()
    assert (place.incoming / "large.df").read_bytes() == content


def test_a_directory_that_is_a_file_is_refused(place: Place) -> None:
    (place.incoming / "file").write_bytes(b"")
    message = refused(replace(place.settings, url=f"{place.settings.url}/file"))
    assert message.endswith("cannot enter the directory: it is none")


@pytest.fixture
def failing(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[sftp.SftpTransport]:
    """A session with a server that fails as the parameter says."""
    with lying.sftp_server(request.param, tmp_path / "known_hosts") as url:
        settings = QueueSettings(
            name="archive",
            url=url,
            idle=20,
            password_file=password_file(tmp_path / "password", "any"),
            known_hosts=str(tmp_path / "known_hosts"),
        )
        session = connect(settings)
        assert isinstance(session, sftp.SftpTransport)
        yield session
        session.close()


def fails(*kinds: Failing) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("failing", kinds, indirect=True)


@fails(Failing())
def test_a_server_that_does_all_it_is_told_is_believed(failing: sftp.SftpTransport) -> None:
    failing.put(io.BytesIO(bytes(4 * BLOCK)), "whole.df")


@fails(Failing(write=0), Failing(write=2), Failing(write=3))
def test_no_failed_write_is_lost_not_even_the_last(failing: sftp.SftpTransport) -> None:
    with pytest.raises(TemporaryTransferError, match=r"cannot send half\.df: .*Failure"):
        failing.put(io.BytesIO(bytes(4 * BLOCK)), "half.df")


@fails(Failing(write=150))
def test_a_failed_write_ends_the_sending_of_a_large_file(failing: sftp.SftpTransport) -> None:
    source = io.BytesIO(bytes(400 * BLOCK))
    with pytest.raises(TemporaryTransferError, match=r"cannot send half\.df: .*Failure"):
        failing.put(source, "half.df")
    assert source.tell() < len(source.getvalue())


@fails(Failing(close=True))
def test_a_failure_told_at_closing_is_not_lost(failing: sftp.SftpTransport) -> None:
    with pytest.raises(TemporaryTransferError, match=r"cannot send half\.df: .*Failure"):
        failing.put(io.BytesIO(bytes(4 * BLOCK)), "half.df")


@fails(Failing(write=1, code=SFTP_PERMISSION_DENIED))
def test_a_write_that_is_not_permitted_is_permanent(failing: sftp.SftpTransport) -> None:
    with pytest.raises(NotPermittedTransferError, match=r"cannot send half\.df: not permitted: "):
        failing.put(io.BytesIO(bytes(4 * BLOCK)), "half.df")


@fails(Failing(write=1), Failing(close=True))
def test_what_may_have_a_gap_is_removed_for_it_would_be_taken_for_a_beginning(
    failing: sftp.SftpTransport, request: pytest.FixtureRequest
) -> None:
    with pytest.raises(TemporaryTransferError, match=r"cannot send half\.df\.part: .*Failure"):
        failing.put(io.BytesIO(bytes(4 * BLOCK)), "half.df.part")
    assert request.node.callspec.params["failing"].removed == ["/incoming/half.df.part"]


@fails(Failing(write=1, onwards=True))
def test_what_is_a_beginning_stays_to_be_resumed(failing: sftp.SftpTransport, request: pytest.FixtureRequest) -> None:
    with pytest.raises(TemporaryTransferError, match=r"cannot send half\.df\.part: .*Failure"):
        failing.put(io.BytesIO(bytes(4 * BLOCK)), "half.df.part")
    assert request.node.callspec.params["failing"].removed == []


@fails(Failing(write=1))
def test_a_session_goes_on_after_a_failed_write(failing: sftp.SftpTransport) -> None:
    with pytest.raises(TransferError):
        failing.put(io.BytesIO(bytes(100 * BLOCK)), "half.df")
    failing.put(io.BytesIO(b"one block"), "whole.df")


@fails(Failing())
def test_a_size_that_the_server_leaves_out_is_unknown_and_not_a_missing_file(failing: sftp.SftpTransport) -> None:
    with pytest.raises(NotPermittedTransferError, match=r"does not tell the size of there\.df"):
        failing.size("there.df")


@fails(Failing(terse=True))
def test_a_server_that_says_no_more_than_a_code_is_understood(failing: sftp.SftpTransport) -> None:
    failing.put(io.BytesIO(b"one block"), "whole.df")
    assert failing.size("absent.df") is None


@fails(Failing(terse=True, write=1))
def test_a_failure_without_a_word_is_one_of_the_server(failing: sftp.SftpTransport) -> None:
    with pytest.raises(TemporaryTransferError, match=r"cannot send half\.df: the server says status 4; its disk may"):
        failing.put(io.BytesIO(bytes(4 * BLOCK)), "half.df")


@pytest.mark.parametrize("sizes", [[], [1], [5, 5], [4, 1, 3], [20], [0, 12, 0, 1], [7, 13]])
def test_what_is_sent_together_goes_in_full_packets_and_a_last_one(sizes: list[int]) -> None:
    parts = [bytes([number]) * size for number, size in enumerate(sizes)]
    pieces = list(_pieces(parts, 5))
    assert b"".join(pieces) == b"".join(parts)
    assert all(len(piece) == 5 for piece in pieces[:-1])
    assert all(pieces)
