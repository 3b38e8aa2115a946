"""What the real servers write about whole, empty, cut, refused and resumed uploads, and odd names between them."""

from __future__ import annotations

import ftplib
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

import pytest

from archq.instants import SECOND
from logsum.readers import commonlog, openssh, vsftpd, xferlog
from tests.logsum.readers.conftest import name, read
from tests.requirements import require
from tests.servers import proftpd as proftpd_server
from tests.servers import pureftpd as pureftpd_server
from tests.servers import sshd as sshd_server
from tests.servers import vsftpd as vsftpd_server
from tests.servers.clients import connected, cut_upload, ftp, sftp, store
from tests.servers.process import HOST_V6, UPLOADER, UnavailableError, wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import ModuleType

    import paramiko

    from tests.logsum.readers.conftest import Read
    from tests.servers.process import RunningServer

DATA = b"SIMPLE  =                    T" * 100
ODD_NAMES = ("two words.df", "gr\N{LATIN SMALL LETTER O WITH DIAERESIS}\N{LINE SEPARATOR}.df", 'ctl\x01\x1b".df')


def log_of(server: RunningServer, form: str) -> Path:
    require(form in server.logs, "without root, sshd logs to the system's own log")
    return server.logs[form]


def grown(log: Path, session: Callable[[], None], tmp_path: Path, *, to_tell: str) -> Path:
    """Return what ``session`` adds to a log, once it tells of the last upload: servers answer before they write."""
    before = log.stat().st_size if log.exists() else 0
    session()
    wait_until(lambda: to_tell.encode() in log.read_bytes()[before:], f"{log.name} tells of {to_tell}")
    added = tmp_path / log.name
    added.write_bytes(log.read_bytes()[before:])
    return added


def refused(step: Callable[[], object]) -> None:
    with suppress(ftplib.Error, OSError):
        step()


def ftp_session(server: RunningServer) -> None:
    """Do to a server what happens to one, from names that are none of ours to a client that vanishes."""
    with ftp(server) as client:
        client.encoding = "utf-8"
        store(client, name("0a"), DATA)
        store(client, name("0a", kind="cf"), b"archq=1\n")
        store(client, name("0b"), b"")
        for odd in ODD_NAMES:
            refused(partial(store, client, odd, b"odd"))
        refused(lambda: store(client, name("0a"), DATA))
        refused(lambda: client.retrbinary(f"RETR {name('0a')}", lambda _data: None))
        if server.kind == "full":
            part = f".{name('0c')}.part"
            store(client, part, DATA[:1000])
            store(client, part, DATA[1000:], offset=1000)
            client.rename(part, name("0c"))
    cut_upload(server, name("0d"), DATA[:1111])
    cut_upload(server, name("0e"), DATA[:2222], reset=True)
    with ftp(server) as client:
        store(client, name("0z"), DATA)


def sftp_session(server: RunningServer) -> None:
    with sftp(server) as client:
        write(client, name("0a"), DATA)
        write(client, name("0a", kind="cf"), b"archq=1\n")
        write(client, name("0b"), b"")
        for odd in (*ODD_NAMES, "a\nb", "back\\slash"):
            write(client, odd, b"odd")
        refused(lambda: write(client, name("0a"), DATA))
        refused(lambda: client.open(name("0a")).read())
        if server.kind == "full":
            part = f".{name('0c')}.part"
            write(client, part, DATA[:1000])
            with client.open(part, "r+") as file:
                file.seek(1000)
                file.write(DATA[1000:])
            client.rename(part, name("0c"))
        cut = client.open(name("0d"), "wx")
        cut.write(DATA[:1111])
        client.sock.close()
    with sftp(server) as client:
        write(client, name("0z"), DATA)


def write(client: paramiko.SFTPClient, path: str, data: bytes) -> None:
    with client.open(path, "wx") as file:
        file.write(data)


WHOLE = [("0a", 3000, True), ("0b", 0, True)]
PARTS = [("0c", 1000, True), ("0c", 2000, True)]
LAST = [("0z", 3000, True)]
REFUSED = [("0a", 0, False)]
# To these servers an upload that is cut is complete if the client just goes, and often if its connection is reset.
CUT = [("0d", 1111, True), ("0e", 2222, False)]


FTP_LOGS = [
    ("vsftpd_drop_box", "xferlog", [*WHOLE, *REFUSED, *CUT, *LAST]),
    ("vsftpd_drop_box", "vsftpd", [*WHOLE, *REFUSED, *CUT, *LAST]),
    ("vsftpd_full", "xferlog", [*WHOLE, ("0a", 3000, True), *PARTS, *CUT, *LAST]),
    ("vsftpd_full", "vsftpd", [*WHOLE, ("0a", 3000, True), *PARTS, *CUT, *LAST]),
    ("proftpd_drop_box", "xferlog", [*WHOLE, *CUT, *LAST]),
    ("proftpd_drop_box", "extendedlog", [*WHOLE, *REFUSED, *CUT, *LAST]),
    ("proftpd_drop_box", "timed", [*WHOLE, *REFUSED, *CUT, *LAST]),
    ("proftpd_full", "timed", [*WHOLE, ("0a", 3000, True), *PARTS, *CUT, *LAST]),
    ("proftpd_full", "xferlog", [*WHOLE, ("0a", 3000, True), *PARTS, *CUT, *LAST]),
    ("proftpd_full", "extendedlog", [*WHOLE, ("0a", 3000, True), *PARTS, *CUT, *LAST]),
    ("pureftpd_drop_box", "clf", [*WHOLE, CUT[0], ("0e", 2222, True), *LAST]),
    ("pureftpd_full", "xferlog", [*WHOLE, ("0a", 3000, True), *PARTS, CUT[0], ("0e", 2222, True), *LAST]),
]


@pytest.mark.parametrize(("server", "form", "told"), [pytest.param(*one, id=f"{one[0]}-{one[1]}") for one in FTP_LOGS])
def test_the_logs_of_ftp_servers_tell_of_every_upload_of_ours_and_no_other(
    request: pytest.FixtureRequest, tmp_path: Path, server: str, form: str, told: list[tuple[str, int, bool]]
) -> None:
    place: RunningServer = request.getfixturevalue(server)
    begun = time.time_ns() // SECOND * SECOND
    log = grown(log_of(place, form), lambda: ftp_session(place), tmp_path, to_tell=name("0z"))
    found = read(log)
    assert (found.told, found.messages) == (told, [])
    assert all(begun <= one.ended <= time.time_ns() for one in found.uploads)
    assert {one.client for one in found.uploads} == {"127.0.0.1"}


@pytest.mark.parametrize(
    ("server", "told"),
    [
        ("sshd_drop_box", [*WHOLE, ("0d", 1111, False), *LAST]),
        ("sshd_full", [*WHOLE, *PARTS, ("0d", 1111, False), *LAST]),
    ],
)
def test_the_log_of_openssh_tells_of_every_upload_of_ours_and_no_other(
    request: pytest.FixtureRequest, tmp_path: Path, server: str, told: list[tuple[str, int, bool]]
) -> None:
    place: RunningServer = request.getfixturevalue(server)
    begun = time.time_ns() // SECOND * SECOND
    last = f'close "/incoming/{name("0z")}'
    log = grown(log_of(place, "openssh"), lambda: sftp_session(place), tmp_path, to_tell=last)
    found = read(log)
    assert (found.told, found.messages) == (told, [])
    assert all(begun <= one.ended <= time.time_ns() for one in found.uploads)
    assert {(one.user, one.client, one.seconds) for one in found.uploads} == {(UPLOADER, "127.0.0.1", 1.0)}


def test_an_anonymous_password_with_a_blank_does_not_hide_an_upload(
    proftpd_drop_box: RunningServer, tmp_path: Path
) -> None:
    def session() -> None:
        with connected(proftpd_drop_box) as client:
            client.login("ftp" if not proftpd_drop_box.kind else UPLOADER, "two words")
            client.cwd("incoming")
            store(client, name("0a"), DATA)

    found = read(grown(proftpd_drop_box.logs["xferlog"], session, tmp_path, to_tell=name("0a")))
    assert (found.told, found.messages) == ([("0a", 3000, True)], [])
    assert found.uploads[0].user == "two words"


def test_a_deletion_is_no_upload(proftpd_full: RunningServer, tmp_path: Path) -> None:
    def session() -> None:
        with ftp(proftpd_full) as client:
            store(client, name("0a"), DATA)
            client.delete(name("0a"))
            store(client, name("0b"), DATA)

    log = grown(proftpd_full.logs["xferlog"], session, tmp_path, to_tell=name("0b"))
    assert b" b _ d r " in log.read_bytes()
    assert read(log).told == [("0a", 3000, True), ("0b", 3000, True)]


@pytest.mark.parametrize(("server", "form"), [("vsftpd_drop_box", "vsftpd"), ("proftpd_drop_box", "timed")])
def test_a_log_that_tells_more_than_seconds_is_believed(
    request: pytest.FixtureRequest, tmp_path: Path, server: str, form: str
) -> None:
    place: RunningServer = request.getfixturevalue(server)

    def session() -> None:
        with ftp(place) as client, client.transfercmd(f"STOR {name('0a')}") as connection:
            connection.sendall(DATA)
            time.sleep(0.5)
            connection.close()
            client.voidresp()

    log = grown(place.logs[form], session, tmp_path, to_tell=name("0a"))
    assert read(log).uploads[0].seconds == pytest.approx(0.7, abs=0.3)


def told_over_ipv6(server: RunningServer, form: str, tmp_path: Path) -> Read:
    session = openssh_over_ipv6 if server.url.startswith("sftp:") else ftp_over_ipv6
    return read(grown(log_of(server, form), partial(session, server), tmp_path, to_tell=name("0a")))


def ftp_over_ipv6(server: RunningServer) -> None:
    with ftp(server) as client:
        store(client, name("0a"), DATA)


def openssh_over_ipv6(server: RunningServer) -> None:
    with sftp(server) as client:
        write(client, name("0a"), DATA)
        write(client, "last", b"")


@pytest.mark.parametrize(
    ("server", "form"),
    [
        pytest.param(vsftpd_server, "xferlog", id="vsftpd, xferlog"),
        pytest.param(vsftpd_server, "vsftpd", id="vsftpd, its own"),
        pytest.param(proftpd_server, "xferlog", id="proftpd, xferlog"),
        pytest.param(proftpd_server, "extendedlog", id="proftpd, ExtendedLog"),
        pytest.param(pureftpd_server, "clf", id="pure-ftpd, clf"),
        pytest.param(sshd_server, "openssh", id="openssh"),
    ],
)
def test_uploads_over_ipv6_are_told_like_others(server: ModuleType, form: str, tmp_path: Path) -> None:
    try:
        with server.running("upload-only", host=HOST_V6) as place:
            found = told_over_ipv6(place, form, tmp_path)
    except UnavailableError as error:
        require(False, str(error))
    assert (found.told, found.messages) == ([("0a", 3000, True)], [])
    assert found.uploads[0].client == HOST_V6


@pytest.mark.parametrize(
    ("server", "form", "reader"),
    [
        ("vsftpd_drop_box", "xferlog", xferlog.Reader),
        ("vsftpd_drop_box", "vsftpd", vsftpd.Reader),
        ("proftpd_drop_box", "extendedlog", commonlog.Reader),
        ("pureftpd_drop_box", "clf", commonlog.Reader),
        ("sshd_drop_box", "openssh", openssh.Reader),
    ],
)
def test_every_line_of_a_real_log_is_one_that_its_reader_knows_and_no_other(
    request: pytest.FixtureRequest, server: str, form: str, reader: type[xferlog.Reader]
) -> None:
    place: RunningServer = request.getfixturevalue(server)
    log = log_of(place, form)
    (sftp_session if form == "openssh" else ftp_session)(place)
    wait_until(lambda: log.exists() and name("0z").encode() in log.read_bytes(), "the log tells of the session")
    lines = [line + b"\n" for line in log.read_bytes().split(b"\n")[:-1]]
    others = {xferlog.Reader, vsftpd.Reader, commonlog.Reader, openssh.Reader} - {reader}
    assert all(map(reader().recognizes, lines))
    assert not any(other().recognizes(line) for other in others for line in lines)
