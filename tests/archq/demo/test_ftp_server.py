"""The demonstration's FTP server, seen by a plain FTP client."""

from __future__ import annotations

import ftplib
import io
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from archq.demo.servers import FULL, UPLOAD_ONLY, DemoServer, ftp_server
from archq.demo.xferlog import xferlog_line

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CONTENT = bytes(range(256)) * 1000


@pytest.fixture(scope="module")
def drop_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    with ftp_server(tmp_path_factory.mktemp("drop-box"), account=UPLOAD_ONLY) as server:
        yield server


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    with ftp_server(tmp_path_factory.mktemp("full"), account=FULL) as server:
        yield server


@contextmanager
def logged_in(server: DemoServer) -> Iterator[ftplib.FTP]:
    """A client in incoming; when it has said goodbye, the server has logged what it did."""
    with ftplib.FTP(timeout=20) as client:
        client.connect(server.host, server.port)
        client.login(server.user, server.password)
        client.cwd("incoming")
        yield client


def store(client: ftplib.FTP, name: str, content: bytes = CONTENT, **how: int) -> str:
    return client.storbinary(f"STOR {name}", io.BytesIO(content), **how)


@pytest.mark.parametrize("server", ["drop_box", "full"])
def test_an_upload_arrives_whole(server: str, request: pytest.FixtureRequest) -> None:
    there: DemoServer = request.getfixturevalue(server)
    with logged_in(there) as client:
        assert store(client, "whole.fits").startswith("226")
    assert (there.incoming / "whole.fits").read_bytes() == CONTENT


def test_a_drop_box_takes_a_name_once_even_to_resume(drop_box: DemoServer) -> None:
    with logged_in(drop_box) as client:
        store(client, "once.fits")
        with pytest.raises(ftplib.error_perm, match=r"^553 Could not create file"):
            store(client, "once.fits", b"other")
        with pytest.raises(ftplib.error_perm, match=r"^553"):
            store(client, "once.fits", b"other", rest=100)
        store(client, "next.fits")
    assert (drop_box.incoming / "once.fits").read_bytes() == CONTENT
    assert (drop_box.incoming / "next.fits").read_bytes() == CONTENT


@pytest.mark.parametrize(
    "command",
    ["RNFR kept.fits", "DELE kept.fits", "SIZE kept.fits", "MDTM kept.fits", "MKD folder", "SITE CHMOD 777 kept.fits"],
)
def test_a_drop_box_refuses_every_other_command_about_files(drop_box: DemoServer, command: str) -> None:
    (drop_box.incoming / "kept.fits").write_bytes(CONTENT)
    with logged_in(drop_box) as client:
        client.voidcmd("TYPE I")
        with pytest.raises(ftplib.error_perm, match=r"^550 Not enough privileges"):
            client.sendcmd(command)
    assert (drop_box.incoming / "kept.fits").read_bytes() == CONTENT


@pytest.mark.parametrize("command", ["LIST", "NLST", "MLSD", "RETR kept.fits", "APPE kept.fits"])
def test_a_drop_box_neither_lists_nor_gives_nor_appends(drop_box: DemoServer, command: str) -> None:
    (drop_box.incoming / "kept.fits").write_bytes(CONTENT)
    with logged_in(drop_box) as client, pytest.raises(ftplib.error_perm, match=r"^550 Not enough privileges"):
        client.ntransfercmd(command)


def test_a_drop_box_is_the_incoming_directory_only(drop_box: DemoServer) -> None:
    with logged_in(drop_box) as client, pytest.raises(ftplib.error_perm, match=r"^550"):
        store(client, "/beside.fits")
    assert [path.name for path in drop_box.incoming.parent.iterdir()] == ["incoming"]


def test_a_full_account_lists_sizes_renames_and_deletes(full: DemoServer) -> None:
    with logged_in(full) as client:
        store(client, ".new.fits.part")
        client.rename(".new.fits.part", "new.fits")
        assert client.size("new.fits") == len(CONTENT)
        assert "new.fits" in client.nlst()
        client.delete("new.fits")
    assert not (full.incoming / "new.fits").exists()


def test_a_full_account_resumes_an_upload(full: DemoServer) -> None:
    with logged_in(full) as client:
        store(client, "half.fits", CONTENT[:5000])
        store(client, "half.fits", CONTENT[5000:], rest=5000)
    assert (full.incoming / "half.fits").read_bytes() == CONTENT


def test_a_wrong_password_is_refused(drop_box: DemoServer) -> None:
    with ftplib.FTP(timeout=20) as client:
        client.connect(drop_box.host, drop_box.port)
        with pytest.raises(ftplib.error_perm, match=r"^530"):
            client.login(drop_box.user, "guess")


def test_every_upload_has_its_line_in_the_transfer_log(tmp_path: Path) -> None:
    with ftp_server(tmp_path) as server:
        with logged_in(server) as client:
            store(client, "one.fits")
            store(client, "empty.fits", b"")
        assert server.transfer_log
        lines = server.transfer_log.read_text().splitlines()
    tails = [line[25:].partition(" ")[2] for line in lines]
    assert tails == [
        "127.0.0.1 256000 /incoming/one.fits b _ i r tdcin ftp 0 * c",
        "127.0.0.1 0 /incoming/empty.fits b _ i r tdcin ftp 0 * c",
    ]
    for line in lines:
        assert abs(time.mktime(time.strptime(line[:24], "%a %b %d %H:%M:%S %Y")) - time.time()) < 3600


def test_a_line_of_the_transfer_log_is_as_wu_ftpd_writes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "MST7")
    time.tzset()
    try:
        line = xferlog_line(
            ended=1793964000.4, seconds=0.2, host="127.0.0.1", size=9, path="/incoming/a b.fits",
            incoming=True, user="tdcin", complete=False,
        )  # fmt: skip
    finally:
        monkeypatch.undo()
        time.tzset()
    assert line == "Fri Nov  6 04:20:00 2026 1 127.0.0.1 9 /incoming/a_b.fits b _ i r tdcin ftp 0 * i\n"
