"""What real servers allow, refuse and log: the facts that shipping and reporting build on."""

from __future__ import annotations

import ftplib
import os
import pwd
import re
import stat
import subprocess
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import paramiko
import pytest

from tests.requirements import require
from tests.servers.clients import connected, contents, cut_upload, ftp, sftp, store, trusting
from tests.servers.process import UPLOADER, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.servers.process import RunningServer

DATA = b"SIMPLE  =                    T" * 100
NAME = "minicam.01jd3v5t8n3q4r5s6t7v8w9x0y.1.df"
OTHER = "minicam.01jd3v5t8n3q4r5s6t7v8w9x0y.2.df"

# What each answers after NAME was stored whole.
VERBS = ("again", "resume", "APPE", "SIZE", "NLST", "RNFR", "DELE")
FTP_DROP_BOXES = {
    "vsftpd": ("553", "553", "550", "213", "550", "550", "550"),
    "proftpd": ("550", "550", "550", "550", "450", "550", "550"),
    "pureftpd": ("226", "550", "226", "213", "226", "550", "550"),
}
FTP_FULL_ACCOUNTS = ("vsftpd", "proftpd", "pureftpd")


def code(call: Callable[[], str]) -> str:
    """Give the number of a server's reply, be it a refusal or not."""
    try:
        return call()[:3]
    except ftplib.Error as error:
        return str(error)[:3]


def listed(client: ftplib.FTP) -> str:
    return client.retrlines("NLST", lambda _line: None)


def answers(client: ftplib.FTP) -> dict[str, str]:
    """Try all that a drop box may refuse, on a name that was stored before."""
    return {
        "again": code(lambda: store(client, NAME, b"again")),
        "resume": code(lambda: store(client, NAME, DATA[100:], offset=100)),
        "APPE": code(lambda: store(client, NAME, b"more", verb="APPE")),
        "SIZE": code(lambda: client.sendcmd(f"SIZE {NAME}")),
        "NLST": code(lambda: listed(client)),
        "RNFR": code(lambda: client.rename(NAME, OTHER)),
        "DELE": code(lambda: client.delete(NAME)),
    }


def said(log: Path, pattern: str) -> bool:
    """Wait for a line in a server's log that matches as a whole; servers write it when they have answered."""
    wanted = re.compile(pattern.encode())
    wait_until(
        lambda: log.exists() and any(wanted.fullmatch(line) for line in log.read_bytes().split(b"\n")),
        f"{log.name} says {pattern}",
    )
    return True


@pytest.fixture
def server(request: pytest.FixtureRequest) -> RunningServer:
    """The server whose fixture is the test's parameter."""
    found: RunningServer = request.getfixturevalue(request.param)
    return found


ftp_drop_boxes = pytest.mark.parametrize(
    ("server", "expected"),
    [pytest.param(f"{name}_drop_box", replies, id=name) for name, replies in FTP_DROP_BOXES.items()],
    indirect=["server"],
)
ftp_full_accounts = pytest.mark.parametrize(
    "server", [pytest.param(f"{name}_full", id=name) for name in FTP_FULL_ACCOUNTS], indirect=True
)


@ftp_drop_boxes
def test_an_ftp_drop_box_takes_a_new_name_and_answers_everything_else_as_known(
    server: RunningServer, expected: tuple[str, ...]
) -> None:
    assert server.kind == "upload-only"
    with ftp(server) as client:
        assert store(client, NAME, DATA).startswith("226")
        assert contents(server.incoming) == {NAME: DATA}
        assert answers(client) == dict(zip(VERBS, expected, strict=True))


@pytest.mark.parametrize("server", ["vsftpd_drop_box", "proftpd_drop_box"], indirect=True)
def test_a_strict_drop_box_keeps_the_first_upload_of_a_name(server: RunningServer) -> None:
    with ftp(server) as client:
        store(client, NAME, DATA)
        answers(client)
    assert contents(server.incoming) == {NAME: DATA}


def test_pureftpd_says_complete_to_a_second_upload_and_keeps_it_under_another_name(
    pureftpd_drop_box: RunningServer,
) -> None:
    with ftp(pureftpd_drop_box) as client:
        store(client, NAME, DATA)
        assert store(client, NAME, b"again").startswith("226")
    assert contents(pureftpd_drop_box.incoming) == {NAME: DATA, f"{NAME}.1": b"again"}


def test_pureftpd_says_complete_to_an_appended_upload_and_loses_the_earlier_one(
    pureftpd_drop_box: RunningServer,
) -> None:
    with ftp(pureftpd_drop_box) as client:
        store(client, NAME, DATA)
        assert store(client, NAME, b"more", verb="APPE").startswith("226")
    assert contents(pureftpd_drop_box.incoming) == {NAME: b"more"}


@ftp_full_accounts
def test_a_full_ftp_account_resumes_renames_lists_and_deletes(server: RunningServer) -> None:
    assert server.kind == "full"
    with ftp(server) as client:
        store(client, NAME, DATA[:1000])
        assert client.size(NAME) == 1000
        assert store(client, NAME, DATA[1000:], offset=1000).startswith("226")
        assert client.rename(NAME, OTHER).startswith("250")
        assert set(client.nlst()) - {".", ".."} == {OTHER}
        assert contents(server.incoming) == {OTHER: DATA}
        assert client.delete(OTHER).startswith("250")
    assert contents(server.incoming) == {}


@ftp_full_accounts
def test_a_full_ftp_account_lets_a_rename_replace_another_file(server: RunningServer) -> None:
    with ftp(server) as client:
        store(client, NAME, DATA)
        store(client, OTHER, b"in the way")
        assert client.rename(NAME, OTHER).startswith("250")
    assert contents(server.incoming) == {OTHER: DATA}


def test_uploads_belong_to_the_uploader_alone(drop_box: RunningServer) -> None:
    upload(drop_box, NAME)
    status = (drop_box.incoming / NAME).stat()
    assert (status.st_uid, stat.S_IMODE(status.st_mode)) == (drop_box.uid, 0o600)
    assert drop_box.uid != 0


# Not Pure-FTPd: it thinks about a wrong password for five seconds.
@pytest.mark.parametrize("server", ["vsftpd_full", "proftpd_full"], indirect=True)
def test_a_wrong_password_is_refused(server: RunningServer) -> None:
    with connected(server) as client, pytest.raises(ftplib.error_perm, match="530"):
        client.login(urlsplit(server.url).username or "", "wrong")


def test_a_server_can_go_away_and_come_back_at_the_same_address(full_account: RunningServer) -> None:
    upload(full_account, NAME)
    full_account.stop()
    with pytest.raises(OSError, match=r"refused|Unable to connect"):
        upload(full_account, OTHER)
    full_account.start()
    upload(full_account, OTHER)
    assert contents(full_account.incoming) == {NAME: DATA, OTHER: DATA}


def test_pureftpd_knows_its_user_still_when_the_system_has_changed_its_accounts(pureftpd_full: RunningServer) -> None:
    """Another file takes the place of /etc/passwd then, and whatever was mounted over the old one is gone."""
    before = os.stat("/etc/passwd").st_ino
    comment = "" if pwd.getpwnam(UPLOADER).pw_gecos else "uploads of tests"
    subprocess.run(["usermod", "-c", comment, UPLOADER], check=True)
    assert os.stat("/etc/passwd").st_ino != before
    upload(pureftpd_full, NAME)


@ftp_full_accounts
def test_an_ftp_server_that_goes_away_takes_its_sessions_along(server: RunningServer) -> None:
    with ftp(server) as client:
        server.stop()
        with pytest.raises((EOFError, ConnectionError)):
            client.voidcmd("NOOP")


def test_an_ssh_server_that_goes_away_takes_its_sessions_along(sshd_full: RunningServer) -> None:
    with sftp(sshd_full) as session:
        sshd_full.stop()
        with pytest.raises((paramiko.SSHException, EOFError, OSError)):
            session.listdir()


def test_an_sftp_drop_box_lets_exclusive_creation_fail_but_plain_writing_truncate(sshd_drop_box: RunningServer) -> None:
    with sftp(sshd_drop_box) as session:
        write(session, "wx", DATA)
        with pytest.raises(OSError, match="Failure"):
            write(session, "wx", b"again")
        assert session.stat(NAME).st_size == len(DATA)
        write(session, "r+", DATA[100:], offset=100)
        write(session, "a", b"more")
        assert contents(sshd_drop_box.incoming) == {NAME: DATA + b"more"}
        write(session, "w", b"")
    assert contents(sshd_drop_box.incoming) == {NAME: b""}


def test_an_sftp_drop_box_refuses_to_list_rename_and_delete(sshd_drop_box: RunningServer) -> None:
    with sftp(sshd_drop_box) as session:
        write(session, "wx", DATA)
        for refused in (
            session.listdir,
            lambda: session.rename(NAME, OTHER),
            lambda: session.posix_rename(NAME, OTHER),
            lambda: session.remove(NAME),
        ):
            with pytest.raises(PermissionError, match="Permission denied"):
                refused()
    assert contents(sshd_drop_box.incoming) == {NAME: DATA}


def test_a_full_sftp_account_resumes_renames_lists_and_deletes(sshd_full: RunningServer) -> None:
    with sftp(sshd_full) as session:
        write(session, "wx", DATA[:1000])
        write(session, "r+", DATA[1000:], offset=1000)
        session.rename(NAME, OTHER)
        assert session.listdir() == [OTHER]
        assert contents(sshd_full.incoming) == {OTHER: DATA}
        session.remove(OTHER)
    assert contents(sshd_full.incoming) == {}


def test_sftp_renames_replace_only_when_asked_the_posix_way(sshd_full: RunningServer) -> None:
    with sftp(sshd_full) as session:
        write(session, "wx", b"in the way")
        session.rename(NAME, OTHER)
        write(session, "wx", DATA)
        with pytest.raises(OSError, match="Failure"):
            session.rename(NAME, OTHER)
        session.posix_rename(NAME, OTHER)
    assert contents(sshd_full.incoming) == {OTHER: DATA}


def test_vsftpd_logs_an_upload_in_both_of_its_formats(vsftpd_drop_box: RunningServer) -> None:
    with ftp(vsftpd_drop_box) as client:
        store(client, "two words.df", DATA)
        store(client, "empty.df", b"")
    stamp = r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}"
    xferlog, own = vsftpd_drop_box.logs["xferlog"], vsftpd_drop_box.logs["vsftpd"]
    place = re.escape(urlsplit(vsftpd_drop_box.url).path)
    assert said(xferlog, rf"{stamp} 1 127\.0\.0\.1 3000 {place}/two_words\.df b _ i a [^ ]+ ftp 0 \* c")
    user = rf"{stamp} \[pid \d+\] \[\w+\] OK UPLOAD: Client \"127\.0\.0\.1\""
    assert said(own, rf"{user}, \"{place}/two words\.df\", 3000 bytes, [\d.]+Kbyte/sec")
    assert said(own, rf"{user}, \"{place}/empty\.df\", 0\.00Kbyte/sec")


def test_proftpd_logs_an_upload_in_both_of_its_formats(proftpd_drop_box: RunningServer) -> None:
    with ftp(proftpd_drop_box) as client:
        store(client, "two words.df", DATA)
        store(client, "empty.df", b"")
    xferlog, extended = proftpd_drop_box.logs["xferlog"], proftpd_drop_box.logs["extendedlog"]
    place = re.escape(str(proftpd_drop_box.incoming))  # not as the client sees it
    stamp = r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d \d{4}"
    assert said(xferlog, rf"{stamp} 0 127\.0\.0\.1 3000 {place}/two_words\.df b _ i a [^ ]+ ftp 0 \* c")
    who = r"127\.0\.0\.1 UNKNOWN archqtest \[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    assert said(extended, rf'{who} "STOR two words\.df" 226 3000')
    assert said(extended, rf'{who} "STOR empty\.df" 226 0')


def test_proftpd_writes_a_line_for_a_deletion_into_its_transfer_log(proftpd_full: RunningServer) -> None:
    with ftp(proftpd_full) as client:
        store(client, NAME, DATA)
        client.delete(NAME)
    assert said(proftpd_full.logs["xferlog"], rf".* 3000 [^ ]+/{re.escape(NAME)} b _ d r archqtest ftp 0 \* c")


def test_an_anonymous_password_with_a_blank_gives_proftpds_line_a_field_more(proftpd_drop_box: RunningServer) -> None:
    with connected(proftpd_drop_box) as client:
        client.login(urlsplit(proftpd_drop_box.url).username or "", "two words")
        client.cwd("incoming")
        store(client, NAME, DATA)
    assert said(proftpd_drop_box.logs["xferlog"], rf".*/{re.escape(NAME)} b _ i a two words ftp 0 \* c")


def test_pureftpd_logs_an_upload_as_a_web_server_would(pureftpd_drop_box: RunningServer) -> None:
    with ftp(pureftpd_drop_box) as client:
        store(client, "two words.df", DATA)
    place = re.escape(str(pureftpd_drop_box.incoming))
    stamp = r"\[\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]"
    assert said(pureftpd_drop_box.logs["clf"], rf'127\.0\.0\.1 - ftp {stamp} "PUT {place}/two%20words\.df" 200 3000')


def test_pureftpd_logs_an_upload_as_xferlog_with_its_own_service_flag(pureftpd_full: RunningServer) -> None:
    with ftp(pureftpd_full) as client:
        store(client, "two words.df", DATA)
    place = re.escape(str(pureftpd_full.incoming))
    stamp = r"\w{3} \w{3} \d\d \d\d:\d\d:\d\d \d{4}"
    assert said(
        pureftpd_full.logs["xferlog"],
        rf"{stamp} 0 127\.0\.0\.1 3000 {place}/two_words\.df b _ i r archqtest ftp 1 \* c",
    )


# What each says of half a file, after a client that was killed and after a connection that was reset.
CUT_UPLOADS = [
    pytest.param("vsftpd_drop_box", "xferlog", r".* {size} .* \* c", r".* {size} .* \* i", id="vsftpd"),
    pytest.param("proftpd_drop_box", "extendedlog", r".* 226 {size}", r".* 426 {size}", id="proftpd"),
    pytest.param("pureftpd_drop_box", "clf", r".* 200 {size}", r".* 200 {size}", id="pureftpd"),
]


@pytest.mark.parametrize(("server", "log", "killed", "reset"), CUT_UPLOADS, indirect=["server"])
def test_half_a_file_stays_and_is_logged_as_complete_when_its_client_is_killed(
    server: RunningServer, log: str, killed: str, reset: str
) -> None:
    cut_upload(server, NAME, DATA[:1234])
    assert said(server.logs[log], killed.format(size=1234))
    cut_upload(server, OTHER, DATA[:2345], reset=True)
    assert said(server.logs[log], reset.format(size=2345))
    assert contents(server.incoming) == {NAME: DATA[:1234], OTHER: DATA[:2345]}


def test_openssh_logs_an_upload_and_one_that_was_cut(sshd_drop_box: RunningServer) -> None:
    require("openssh" in sshd_drop_box.logs, "without root, sshd logs to the system's own log")
    with sftp(sshd_drop_box) as session:
        write(session, "wx", DATA)
        cut = session.open(OTHER, "wx")
        cut.write(b"half")
        session.sock.close()
    log = sshd_drop_box.logs["openssh"]
    process = r"\w{3} [ \d]\d \d\d:\d\d:\d\d \w+ internal-sftp\[\d+\]:"
    name = re.escape(f"/incoming/{NAME}")
    assert said(log, rf"{process} session opened for local user archqtest from \[127\.0\.0\.1\]")
    assert said(log, rf'{process} open "{name}" flags WRITE,CREATE,TRUNCATE,EXCL mode 0666')
    assert said(log, rf'{process} close "{name}" bytes read 0 written 3000')
    assert said(log, rf'{process} forced close "{re.escape(f"/incoming/{OTHER}")}" bytes read 0 written 4')


def test_vsftpd_over_tls_wants_the_control_connections_session_for_data(vsftpd_tls: RunningServer) -> None:
    with ftp(vsftpd_tls) as client:
        assert store(client, NAME, DATA).startswith("226")
    with (
        ftp(vsftpd_tls, ftplib.FTP_TLS(context=trusting(vsftpd_tls))) as client,
        pytest.raises(ftplib.error_perm, match="522 SSL connection failed: session reuse required"),
    ):
        store(client, OTHER, DATA)


def test_vsftpd_over_tls_takes_no_password_in_the_clear(vsftpd_tls: RunningServer) -> None:
    with connected(vsftpd_tls, ftplib.FTP()) as client, pytest.raises(ftplib.error_perm, match=r"530 .*encryption"):
        client.login("ftp", "seen by all")


def write(session: paramiko.SFTPClient, mode: str, data: bytes, *, offset: int = 0) -> None:
    with session.open(NAME, mode) as file:
        if offset:
            file.seek(offset)
        file.write(data)


def upload(server: RunningServer, name: str) -> None:
    if server.url.startswith("sftp:"):
        with sftp(server) as session, session.open(name, "wx") as file:
            file.write(DATA)
    else:
        with ftp(server) as client:
            store(client, name, DATA)
