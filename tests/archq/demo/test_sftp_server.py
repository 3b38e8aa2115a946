"""The demonstration's SFTP server, seen by a plain SFTP client."""

from __future__ import annotations

import io
from contextlib import contextmanager
from typing import TYPE_CHECKING

import paramiko
import pytest

from archq.demo.servers import FULL, UPLOAD_ONLY, DemoServer, sftp_server

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONTENT = bytes(range(256)) * 1000


@pytest.fixture(scope="module")
def drop_box(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    with sftp_server(tmp_path_factory.mktemp("drop-box"), account=UPLOAD_ONLY) as server:
        yield server


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DemoServer]:
    with sftp_server(tmp_path_factory.mktemp("full"), account=FULL) as server:
        yield server


@contextmanager
def logged_in(
    server: DemoServer, *, by_key: bool = False, password: str | None = None
) -> Iterator[paramiko.SFTPClient]:
    with paramiko.SSHClient() as client:
        client.set_missing_host_key_policy(paramiko.RejectPolicy())
        client.load_host_keys(str(server.known_hosts))
        how = {"key_filename": str(server.key)} if by_key else {"password": password or server.password}
        client.connect(
            server.host, server.port, server.user, **how,
            allow_agent=False, look_for_keys=False, timeout=20, banner_timeout=20, auth_timeout=20,
        )  # fmt: skip
        with client.open_sftp() as sftp:
            yield sftp


def write(sftp: paramiko.SFTPClient, name: str, content: bytes = CONTENT, mode: str = "wx") -> None:
    with sftp.open(f"/incoming/{name}", mode) as file:
        file.set_pipelined(True)
        file.write(content)


@pytest.mark.parametrize("server", ["drop_box", "full"])
def test_an_upload_arrives_whole_and_its_size_is_told(server: str, request: pytest.FixtureRequest) -> None:
    there: DemoServer = request.getfixturevalue(server)
    with logged_in(there) as sftp:
        write(sftp, "whole.fits")
        assert sftp.stat("/incoming/whole.fits").st_size == len(CONTENT)
    assert (there.incoming / "whole.fits").read_bytes() == CONTENT


@pytest.mark.parametrize("server", ["drop_box", "full"])
def test_exclusive_creation_is_honoured_and_plain_writing_truncates(
    server: str, request: pytest.FixtureRequest
) -> None:
    there: DemoServer = request.getfixturevalue(server)
    with logged_in(there) as sftp:
        write(sftp, "once.fits")
        with pytest.raises(OSError, match="Failure"):
            write(sftp, "once.fits", b"other")
        assert (there.incoming / "once.fits").read_bytes() == CONTENT
        write(sftp, "once.fits", b"other", mode="w")
    assert (there.incoming / "once.fits").read_bytes() == b"other"


REFUSED: dict[str, Callable[[paramiko.SFTPClient], object]] = {
    "list": lambda sftp: sftp.listdir("/incoming"),
    "remove": lambda sftp: sftp.remove("/incoming/kept.fits"),
    "rename": lambda sftp: sftp.rename("/incoming/kept.fits", "/incoming/other.fits"),
    "posix_rename": lambda sftp: sftp.posix_rename("/incoming/kept.fits", "/incoming/other.fits"),
    "mkdir": lambda sftp: sftp.mkdir("/incoming/folder"),
    "rmdir": lambda sftp: sftp.rmdir("/incoming"),
    "chmod": lambda sftp: sftp.chmod("/incoming/kept.fits", 0o777),
    "read": lambda sftp: sftp.getfo("/incoming/kept.fits", io.BytesIO()),
    "write elsewhere": lambda sftp: sftp.putfo(io.BytesIO(CONTENT), "/beside.fits"),
}


@pytest.mark.parametrize("request_name", REFUSED)
def test_a_drop_box_denies_permission_for_everything_else(drop_box: DemoServer, request_name: str) -> None:
    (drop_box.incoming / "kept.fits").write_bytes(CONTENT)
    with logged_in(drop_box) as sftp, pytest.raises(PermissionError):
        REFUSED[request_name](sftp)
    assert (drop_box.incoming / "kept.fits").read_bytes() == CONTENT
    assert [path.name for path in drop_box.incoming.parent.iterdir()] == ["incoming"]


def test_a_full_account_lists_renames_and_removes(full: DemoServer) -> None:
    with logged_in(full) as sftp:
        write(sftp, ".new.part")
        sftp.rename("/incoming/.new.part", "/incoming/new.fits")
        assert "new.fits" in sftp.listdir("/incoming")
        sftp.posix_rename("/incoming/new.fits", "/incoming/newer.fits")
        sftp.utime("/incoming/newer.fits", (5, 7))
        assert (full.incoming / "newer.fits").stat().st_mtime == 7
        sftp.remove("/incoming/newer.fits")
        with pytest.raises(FileNotFoundError):
            sftp.stat("/incoming/newer.fits")


def test_only_a_posix_rename_replaces(full: DemoServer) -> None:
    with logged_in(full) as sftp:
        write(sftp, "old.fits", b"old")
        write(sftp, "present.fits", b"present")
        with pytest.raises(OSError, match="Failure"):
            sftp.rename("/incoming/old.fits", "/incoming/present.fits")
        assert (full.incoming / "present.fits").read_bytes() == b"present"
        sftp.posix_rename("/incoming/old.fits", "/incoming/present.fits")
    assert (full.incoming / "present.fits").read_bytes() == b"old"


def test_a_full_account_resumes_and_reads_back(full: DemoServer) -> None:
    with logged_in(full) as sftp:
        write(sftp, "half.fits", CONTENT[:5000])
        with sftp.open("/incoming/half.fits", "r+") as file:
            file.seek(5000)
            file.write(CONTENT[5000:])
        with sftp.open("/incoming/half.fits", "r") as file:
            assert file.read() == CONTENT


def test_no_path_leads_out_of_the_root(full: DemoServer) -> None:
    with logged_in(full) as sftp:
        assert sftp.listdir("/../..") == ["incoming"]
        with pytest.raises(FileNotFoundError):
            sftp.stat("/../host_key")


def test_the_key_logs_in_as_well_as_the_password(drop_box: DemoServer) -> None:
    with logged_in(drop_box, by_key=True) as sftp:
        write(sftp, "by-key.fits")
    assert (drop_box.incoming / "by-key.fits").read_bytes() == CONTENT


def test_a_wrong_password_is_refused(drop_box: DemoServer) -> None:
    with pytest.raises(paramiko.AuthenticationException), logged_in(drop_box, password="guess"):
        pass


def test_another_servers_host_key_is_not_this_ones(drop_box: DemoServer, full: DemoServer) -> None:
    known = paramiko.HostKeys(str(drop_box.known_hosts))
    other = paramiko.ECDSAKey(filename=str(full.incoming.parents[1] / "host_key"))
    assert not known.check(f"[{drop_box.host}]:{drop_box.port}", other)


def test_private_keys_are_their_owners_only(drop_box: DemoServer) -> None:
    assert drop_box.key
    assert drop_box.key.stat().st_mode & 0o077 == 0
    assert drop_box.key.with_name("host_key").stat().st_mode & 0o077 == 0
