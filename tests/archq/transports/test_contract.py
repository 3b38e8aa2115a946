"""Every promise of ``transports/base.py``, once, for every transport, server and kind of account."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from archq.errors import InputOutputError
from archq.names import WireName, new_id
from archq.transports.base import (
    NotPermittedTransferError,
    PermanentTransferError,
    Scope,
    TemporaryTransferError,
    TransferError,
)
from archq.transports.pipeline import run_together
from tests import places
from tests.places import ALL, DIRECTORY, DROP_BOX_ONES, FULL_ONES, REAL, Harbour, Place, harbour, password_file
from tests.requirements import require
from tests.servers.keys import make_ssh_key

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archq.transports.base import Transport
    from tests.conftest import Fleet

CONTENT = bytes(range(256)) * 1200  # more than one block of any protocol

THAT_TELL_NO_SIZES = ("proftpd, drop box", "embedded ftp, drop box")
THAT_TELL_SIZES = tuple(name for name in ALL if name not in THAT_TELL_NO_SIZES)
THAT_KEEP_A_SECOND_UPLOAD_ELSEWHERE = "pureftpd, drop box"
THAT_REPLACE = tuple(name for name in FULL_ONES if "ftpd" in name or "embedded ftp" in name)  # FTP's STOR may
THAT_REFUSE_A_TAKEN_NAME = tuple(
    name for name in ALL if name not in (*THAT_REPLACE, THAT_KEEP_A_SECOND_UPLOAD_ELSEWHERE)
)
# Anonymous drop boxes take any password; Pure-FTPd thinks about a wrong one for five seconds.
THAT_REFUSE_OTHERS = (
    *(name for name in places.EMBEDDED),
    "vsftpd, full",
    "vsftpd over TLS, full",
    "proftpd, full",
    "sshd, full",
    "sshd, drop box",
)


@pytest.fixture(scope="module")
def ours(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    with harbour(fleet, tmp_path_factory.mktemp) as one:
        yield one


@pytest.fixture(params=ALL)
def place(request: pytest.FixtureRequest, ours: Harbour) -> Place:
    return ours.place(request.param)


@pytest.fixture
def session(place: Place, ours: Harbour) -> Transport:
    """A session that many tests use: each leaves it in good order."""
    return ours.session(place.name)


@pytest.fixture
def name() -> str:
    return str(WireName(instrument="minicam", id=new_id(), attempt=1))


def of(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("place", names, indirect=True)


def source(content: bytes = CONTENT, start: int = 0) -> io.BytesIO:
    file = io.BytesIO(content)
    file.seek(start)
    return file


def content(place: Place, name: str) -> bytes:
    return (place.incoming / name).read_bytes()


def test_what_is_put_is_there_whole_when_the_call_returns(place: Place, session: Transport, name: str) -> None:
    session.put(source(), name)
    assert content(place, name) == CONTENT


def test_a_source_is_sent_from_where_it_stands(place: Place, session: Transport, name: str) -> None:
    session.put(source(start=1000), name)
    assert content(place, name) == CONTENT[1000:]


def test_an_empty_file_can_be_put(place: Place, session: Transport, name: str) -> None:
    session.put(source(b""), name)
    assert content(place, name) == b""


def test_many_files_go_through_one_session(place: Place, session: Transport, name: str) -> None:
    for number in range(5):
        session.put(source(b"%d" % number), f"{name}.{number}")
    assert [content(place, f"{name}.{number}") for number in range(5)] == [b"0", b"1", b"2", b"3", b"4"]


def test_what_is_asked_of_files_side_by_side_is_answered_to_each(place: Place, session: Transport, name: str) -> None:
    pipeline = session.pipeline()

    async def stored(number: int) -> int | None:
        await pipeline.put(io.BytesIO(CONTENT[: number * 1000]), f"{name}.{number}")
        try:
            return await pipeline.size(f"{name}.{number}")
        except NotPermittedTransferError:
            return None

    sizes = run_together([stored(number) for number in range(40)], pipeline.receive)
    tells = place.name not in THAT_TELL_NO_SIZES
    assert sizes == [number * 1000 if tells else None for number in range(40)]
    assert all(content(place, f"{name}.{number}") == CONTENT[: number * 1000] for number in range(40))


@of(*FULL_ONES)
def test_renames_side_by_side_are_each_done_or_refused(place: Place, session: Transport, name: str) -> None:
    pipeline = session.pipeline()

    async def renamed(number: int) -> None:
        if number % 3:
            await pipeline.put(io.BytesIO(b"%d" % number), f"{name}.{number}.part")
        await pipeline.rename(f"{name}.{number}.part", f"{name}.{number}")

    outcomes = run_together([renamed(number) for number in range(9)], pipeline.receive)
    assert [isinstance(outcome, PermanentTransferError) for outcome in outcomes] == [True, False, False] * 3
    assert [content(place, f"{name}.{number}") for number in range(9) if number % 3] == [
        b"%d" % number for number in range(9) if number % 3
    ]


@of(*THAT_REFUSE_A_TAKEN_NAME)
def test_a_taken_name_is_refused_its_content_untouched_and_the_session_usable(
    place: Place, session: Transport, name: str
) -> None:
    session.put(source(), name)
    with pytest.raises(TransferError, match=name):
        session.put(source(b"other"), name)
    assert content(place, name) == CONTENT
    session.put(source(b"other"), f"{name}.2")
    assert content(place, f"{name}.2") == b"other"


@of(THAT_KEEP_A_SECOND_UPLOAD_ELSEWHERE)
def test_a_second_upload_of_a_name_leaves_the_first_as_it_is(place: Place, session: Transport, name: str) -> None:
    session.put(source(), name)
    session.put(source(b"other"), name)
    assert content(place, name) == CONTENT


@of(*FULL_ONES)
def test_an_upload_goes_on_at_an_offset(place: Place, session: Transport, name: str) -> None:
    session.put(source(CONTENT[:1000]), name)
    session.put(source(start=1000), name, offset=1000)
    assert content(place, name) == CONTENT


@of(*FULL_ONES)
def test_an_upload_that_lacked_its_end_only_is_left_as_it_is(place: Place, session: Transport, name: str) -> None:
    session.put(source(), name)
    session.put(source(b""), name, offset=len(CONTENT))
    assert content(place, name) == CONTENT


@of(*THAT_TELL_SIZES)
def test_the_size_of_a_file_is_told_and_none_for_one_that_is_not_there(
    place: Place, session: Transport, name: str
) -> None:
    assert session.size(name) is None
    session.put(source(), name)
    assert session.size(name) == len(CONTENT)


@of(*THAT_TELL_NO_SIZES)
def test_a_server_that_tells_no_sizes_is_said_not_to(place: Place, session: Transport, name: str) -> None:
    session.put(source(), name)
    with pytest.raises(NotPermittedTransferError, match=f"cannot ask the size of {name}: the server says 550 "):
        session.size(name)


@of(*FULL_ONES)
def test_a_rename_moves_the_file(place: Place, session: Transport, name: str) -> None:
    session.put(source(), f".{name}.part")
    session.rename(f".{name}.part", name)
    assert session.size(f".{name}.part") is None
    assert content(place, name) == CONTENT


@of(*FULL_ONES)
def test_a_rename_of_a_missing_file_is_an_error(place: Place, session: Transport, name: str) -> None:
    with pytest.raises(PermanentTransferError, match=f"cannot rename .{name}.part: "):
        session.rename(f".{name}.part", name)


@of(*DROP_BOX_ONES)
def test_a_drop_box_permits_no_renames(place: Place, session: Transport, name: str) -> None:
    session.put(source(), name)
    with pytest.raises(NotPermittedTransferError, match=f"cannot rename {name}: "):
        session.rename(name, f"{name}.2")
    assert content(place, name) == CONTENT


@of(*DROP_BOX_ONES)
def test_a_drop_box_permits_no_removals(place: Place, session: Transport, name: str) -> None:
    session.put(source(), name)
    with pytest.raises(NotPermittedTransferError, match=f"cannot remove {name}: "):
        session.remove(name)
    assert content(place, name) == CONTENT


@of(*FULL_ONES)
def test_a_removed_file_is_gone_and_may_be_removed_again(place: Place, session: Transport, name: str) -> None:
    session.put(source(), name)
    session.remove(name)
    assert not (place.incoming / name).exists()
    session.remove(name)


def test_an_account_says_whether_it_may_rename_and_leaves_nothing_behind(place: Place, session: Transport) -> None:
    before = os.listdir(place.incoming)
    assert session.may_rename() is (None if place.scheme in ("ftp", "ftps") else place.is_full)
    assert os.listdir(place.incoming) == before


def test_an_error_of_the_source_passes_as_it_is(place: Place, name: str) -> None:
    class Broken(io.RawIOBase):
        def read(self, size: int = -1) -> bytes:
            raise InputOutputError("the disk is gone")

    transport = place.connect()
    with pytest.raises(InputOutputError, match="the disk is gone"):
        transport.put(Broken(), name)
    transport.close()


def test_a_session_can_be_closed_twice(place: Place) -> None:
    transport = place.connect()
    transport.close()
    with open(os.devnull):  # takes the number of the first descriptor that became free
        transport.close()


def test_a_label_names_the_place_and_no_password(place: Place, session: Transport) -> None:
    assert session.label.startswith(f"{place.scheme}:")
    assert urlsplit(place.settings.url).path in session.label
    assert not (place.server and place.server.password) or place.server.password not in session.label


def test_a_missing_directory_is_the_queues_error_and_permanent(place: Place) -> None:
    elsewhere = replace(place.settings, url=f"{place.settings.url}/missing")
    with pytest.raises(PermanentTransferError, match="/missing: cannot enter the directory: ") as caught:
        replace(place, settings=elsewhere).connect()
    assert caught.value.scope is Scope.QUEUE


@of(*THAT_REFUSE_OTHERS)
def test_a_wrong_password_or_key_is_the_queues_error_and_permanent(place: Place, tmp_path: Path) -> None:
    make_ssh_key(tmp_path / "other_key")
    wrong = replace(
        place.settings,
        password_file=place.settings.password_file and password_file(tmp_path / "password", "a wrong one"),
        key=place.settings.key and str(tmp_path / "other_key"),
    )
    with pytest.raises(PermanentTransferError, match="cannot log in as ") as caught:
        replace(place, settings=wrong).connect()
    assert caught.value.scope is Scope.QUEUE
    assert "a wrong one" not in str(caught.value)


@of(DIRECTORY, *REAL)
def test_a_full_disk_there_is_the_queues_error_and_temporary(place: Place, name: str, tmp_path: Path) -> None:
    with small_disk(place):
        session = place.connect()
        with pytest.raises(TemporaryTransferError, match=f"cannot send {name}: |cannot write {name}: ") as caught:
            session.put(source(bytes(1_000_000)), name)
        assert caught.value.scope is Scope.QUEUE
        assert "\n" not in str(caught.value)
        session.close()


@contextmanager
def small_disk(place: Place) -> Iterator[None]:
    """Put a disk of 256 kB in the place of the incoming directory, as the server sees it."""
    server = place.server
    as_seen = ("nsenter", "-t", str(server.daemon.process.pid), "-m") if server and server.daemon.process else ()
    options = f"size=256k,mode=777,uid={server.uid}" if server else "size=256k"
    mount = (*as_seen, "mount", "-t", "tmpfs", "-o", options, "tmpfs", str(place.incoming))
    done = subprocess.run(mount, capture_output=True, text=True)
    require(done.returncode == 0, f"this account may not mount: {done.stderr}")
    try:
        yield
    finally:
        subprocess.run((*as_seen, "umount", "--lazy", str(place.incoming)), check=True)


# From here on sessions end, and servers too: no test below uses a session of another one.


@of(*REAL)
def test_a_session_that_is_cut_gives_a_temporary_error_and_can_be_closed(place: Place, name: str) -> None:
    server = place.server
    assert server

    class Cutting(io.RawIOBase):
        blocks = 0

        def read(self, size: int = -1) -> bytes:
            self.blocks += 1
            if self.blocks == 3:
                server.stop()
            return b"x" * size

    transport = place.connect()
    with pytest.raises(TemporaryTransferError, match=f"cannot send {name}: "):
        transport.put(Cutting(), name)
    transport.close()


@of(*REAL)
def test_a_server_that_is_down_is_the_queues_error_and_temporary(place: Place) -> None:
    assert place.server
    place.server.stop()
    with pytest.raises(TemporaryTransferError, match=r"cannot connect: .*refused") as caught:
        place.connect()
    assert caught.value.scope is Scope.QUEUE


@of(DIRECTORY)
def test_a_directory_that_was_taken_away_gives_an_error(place: Place, name: str) -> None:
    transport = place.connect()
    shutil.rmtree(place.incoming)
    with pytest.raises(TransferError, match="cannot write"):
        transport.put(source(), name)
    transport.close()
