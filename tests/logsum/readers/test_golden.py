"""Lines as the formats' descriptions have them, from servers that are not at hand, and lines of every other kind."""

from __future__ import annotations

import gzip
import os
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from logsum.readers.ftplog import rotated
from tests.logsum.readers.conftest import name, read

if TYPE_CHECKING:
    from pathlib import Path


def log(tmp_path: Path, *lines: str, to: str = "log", at: str = "2026-11-21T00:00:00") -> Path:
    """Write a log that was last changed at ``at``, in UTC."""
    path = tmp_path / to
    content = "".join(f"{line}\n" for line in lines).encode("utf-8", "surrogateescape")
    path.write_bytes(gzip.compress(content) if to.endswith(".gz") else content)
    touch(path, at)
    return path


def touch(path: Path, at: str) -> None:
    seconds = datetime.fromisoformat(at).replace(tzinfo=UTC).timestamp()
    os.utime(path, (seconds, seconds))


XFERLOG = [
    ("wu-ftpd", "Thu Nov 20 03:14:29 2026 13 packrat.example.edu 3000 /incoming/{} b _ i r tdcin ftp 0 *", True),
    ("wu-ftpd, guest", "Thu Nov  5 03:14:29 2026 13 192.0.2.7 3000 /incoming/{} b _ i g tdcin ftp 0 *", True),
    ("vsftpd", "Thu Nov  5 03:14:29 2026 13 ::ffff:192.0.2.7 3000 /incoming/{} b _ i a user@ ftp 0 * c", True),
    ("a day that is not padded", "Thu Nov 5 03:14:29 2026 13 192.0.2.7 3000 /{} b _ i r tdcin ftp 0 * c", True),
    ("proftpd", "Thu Nov 05 03:14:29 2026 13 192.0.2.7 3000 /incoming/{} b _ i r tdcin sftp 1 tdcin i", False),
    ("a password with blanks", "Thu Nov 05 03:14:29 2026 13 ::1 3000 /x/{} b _ i a a b c d ftp 0 * c", True),
    ("a directory with blanks", "Thu Nov 05 03:14:29 2026 13 ::1 3000 /two b _ i r/{} b _ i r tdcin ftp 0 * c", True),
    ("a directory in raw bytes", "Thu Nov 05 03:14:29 2026 13 ::1 3000 /\udcff\udc85/{} b _ i r t ftp 0 * c", True),
    ("a carriage return", "Thu Nov 05 03:14:29 2026 13 ::1 3000 /{} b _ i r tdcin ftp 0 * c\r", True),
]


@pytest.mark.parametrize(("line", "complete"), [pytest.param(*one[1:], id=one[0]) for one in XFERLOG])
@pytest.mark.parametrize("temporary", [False, True])
def test_every_servers_xferlog_is_read(tmp_path: Path, line: str, complete: bool, temporary: bool) -> None:
    shown = f".{name('0a')}.part" if temporary else name("0a")
    found = read(log(tmp_path, line.format(shown)))
    assert (found.told, found.messages) == ([("0a", 3000, complete)], [])
    assert found.times[0][8:] in ("20T03:14:29Z", "05T03:14:29Z")
    assert found.uploads[0].seconds == 13


def test_no_second_is_one_second(tmp_path: Path) -> None:
    found = read(log(tmp_path, f"Thu Nov 20 03:14:29 2026 0 ::1 3000 /{name('0a')} b _ i r tdcin ftp 0 * c"))
    assert found.uploads[0].seconds == 1


@pytest.mark.parametrize(
    "line",
    [
        f"Thu Nov 20 03:14:29 2026 1 ::1 3000 /{name('0a')} b _ o r tdcin ftp 0 * c",
        f"Thu Nov 20 03:14:29 2026 1 ::1 3000 /{name('0a')} b _ d r tdcin ftp 0 * c",
        f"Thu Nov 20 03:14:29 2026 1 ::1 900 /{name('0a', kind='cf')} b _ i r tdcin ftp 0 * c",
        "Thu Nov 20 03:14:29 2026 1 ::1 900 /incoming/img0001.fits b _ i r tdcin ftp 0 * c",
        f"Thu Nov 20 03:14:29 2026 1 ::1 900 /x{name('0a')} {name('0a')}x b _ i r tdcin ftp 0 * c",
    ],
)
def test_what_is_no_upload_of_a_data_file_is_passed_over(tmp_path: Path, line: str) -> None:
    found = read(log(tmp_path, line))
    assert (found.told, found.messages) == ([], [])


GOOD = f"Thu Nov 20 03:14:29 2026 1 ::1 3000 /{name('0a')} b _ i r tdcin ftp 0 * c"


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Thu Nov 20 03:14:29 2026",
        GOOD.replace("Nov 20", "Nov 31"),
        GOOD.replace("Nov", "Nox"),
        GOOD.replace("03:14", "25:14"),
        GOOD.replace("14:29", "14:61"),
        GOOD.replace(" 3000 ", " -1 "),
        GOOD.replace(" 3000 ", " 3000\t"),
        GOOD.replace(" 3000 ", f" {'9' * 30} "),
        GOOD.replace(" i ", " I "),
        "\udcff\udcfe\x01\x1b[2J",
    ],
)
def test_a_line_that_cannot_be_read_is_counted_and_told(tmp_path: Path, line: str) -> None:
    path = log(tmp_path, GOOD, line, GOOD)
    found = read(path)
    assert found.told == [("0a", 3000, True)] * 2
    assert found.messages == [f"{path}: 1 line skipped: cannot be read; the first is {shown(line)!r}"]


def shown(line: str) -> str:
    return line.encode("utf-8", "surrogateescape")[:80].decode("utf-8", "backslashreplace")


def vsftpd(what: str) -> str:
    return f"Fri Nov 20 03:14:29 2026 [pid 12] {what}"


def test_vsftpds_own_log_leaves_the_size_of_an_empty_file_out(tmp_path: Path) -> None:
    found = read(
        log(
            tmp_path,
            vsftpd('CONNECT: Client "::ffff:192.0.2.7"'),
            vsftpd('[tdcin] OK LOGIN: Client "::ffff:192.0.2.7", anon password "a, b"'),
            vsftpd(
                f'[tdcin] OK UPLOAD: Client "::ffff:192.0.2.7", "/a", b/{name("0a")}", 3072000 bytes, 1000.00Kbyte/sec'
            ),
            vsftpd(f'[tdcin] OK UPLOAD: Client "::ffff:192.0.2.7", "/{name("0b")}", 0.00Kbyte/sec'),
            vsftpd(f'[tdcin] FAIL UPLOAD: Client "::ffff:192.0.2.7", "/{name("0c")}", 0.00Kbyte/sec'),
            vsftpd(f'[tdcin] FAIL UPLOAD: Client "::ffff:192.0.2.7", "/{name("0d")}", 77 bytes, 0.00Kbyte/sec'),
            vsftpd(f'[tdcin] OK DOWNLOAD: Client "::ffff:192.0.2.7", "/{name("0d")}", 77 bytes, 5.00Kbyte/sec'),
            vsftpd(f'[tdcin] OK UPLOAD: Client "::ffff:192.0.2.7", "/{name("0e")}", 77 by'),
        )
    )
    assert found.told == [("0a", 3072000, True), ("0b", 0, True), ("0c", 0, False), ("0d", 77, False)]
    assert [one.seconds for one in found.uploads] == [3.0, 1.0, 1.0, 1.0]
    assert {(one.user, one.client) for one in found.uploads} == {("tdcin", "::ffff:192.0.2.7")}
    assert (
        "1 line skipped: cannot be read; the first is 'Fri Nov 20 03:14:29 2026 [pid 12] [tdcin] OK UPLOAD:"
        in (found.messages[0])
    )


@pytest.mark.parametrize(
    ("line", "told", "seconds"),
    [
        (f'192.0.2.7 UNKNOWN tdcin {{}} "STOR {name("0a")}" 226 3000', ("0a", 3000, True), None),
        (f'192.0.2.7 UNKNOWN tdcin {{}} "STOR {name("0a")}" 226 3000 12.345', ("0a", 3000, True), 12.345),
        (f'192.0.2.7 UNKNOWN tdcin {{}} "STOR {name("0a")}" 226 3000 0.000', ("0a", 3000, True), 0.001),
        (f'192.0.2.7 UNKNOWN tdcin {{}} "STOR .{name("0a")}.part" 426 77 -', ("0a", 77, False), None),
        (f'192.0.2.7 UNKNOWN two words {{}} "APPE a "b" 226 5/{name("0a")}" 550 -', ("0a", 0, False), None),
        (f'{{}} 192.0.2.7 tdcin "STOR {name("0a")}" 226 3000', ("0a", 3000, True), None),
        (f'192.0.2.7 - tdcin {{}} "PUT /a%20b/%2Eminicam{name("0a")[7:]}.part" 200 5', ("0a", 5, True), None),
    ],
)
def test_logs_in_a_web_servers_form_are_read(
    tmp_path: Path, line: str, told: tuple[str, int, bool], seconds: float | None
) -> None:
    path = log(tmp_path, line.format("[20/Nov/2026:03:14:29 -0700]"), '::1 - - [20/Nov/2026:03:14:30 +0000] "-" - -')
    found = read(path, zone="Europe/Berlin")
    assert (found.told, found.messages) == ([told], [])
    assert (found.times, found.uploads[0].seconds) == (["2026-11-20T10:14:29Z"], seconds)


def sftpgo(sender: str, path: str, **more: object) -> str:
    extra = "".join(f',"{key}":{value}' for key, value in more.items())
    return (
        f'{{"level":"info","time":"2026-11-20T03:14:29.250","sender":"{sender}","local_addr":"127.0.0.1:2022",'
        f'"remote_addr":"192.0.2.7:40404","elapsed_ms":1500,"size_bytes":3000,"username":"tdcin",'
        f'"file_path":"{path}","connection_id":"SFTP_0","protocol":"SFTP"{extra}}}'
    )


def test_sftpgos_transfers_are_read_among_its_other_lines(tmp_path: Path) -> None:
    found = read(
        log(
            tmp_path,
            '{"level":"debug","time":"2026-11-20T03:14:29.000","sender":"service","message":"starting SFTPGo"}',
            sftpgo("Upload", f"/srv/a b\\u2028/{name('0a')}"),
            sftpgo("Upload", f"C:\\\\srv\\\\.{name('0b')}.part"),
            sftpgo("Upload", f"/srv/{name('0c')}", error='"lost"', ftp_mode='"passive"'),
            sftpgo("Download", f"/srv/{name('0d')}"),
            sftpgo("Upload", f"/srv/{name('0e', kind='cf')}"),
            '{"sender":"Upload","time":"2026-11-20T03:14:29.000"}',
            '{"sender":"Upload","tim',
            "[" * 100_000,
        ),
        zone="MST",
    )
    assert found.told == [("0a", 3000, True), ("0b", 3000, True), ("0c", 3000, False)]
    assert found.times[0] == "2026-11-20T10:14:29Z"
    assert found.uploads[0].ended % 10**9 == 250_000_000
    assert {(one.seconds, one.user, one.client) for one in found.uploads} == {(1.5, "tdcin", "192.0.2.7")}
    assert "3 lines skipped: cannot be read" in found.messages[0]


def session(stamp: str, *messages: str, pid: int = 77) -> list[str]:
    return [f"{stamp} packrat internal-sftp[{pid}]: {message}" for message in messages]


def opened(path: str, flags: str = "WRITE,CREATE,TRUNCATE,EXCL") -> str:
    return f'open "{path}" flags {flags} mode 0666'


def closed(path: str, written: int) -> str:
    return f'close "{path}" bytes read 0 written {written}'


def test_sessions_of_openssh_are_joined_by_their_process(tmp_path: Path) -> None:
    a, b = f"/in/{name('0a')}", f"/in/{name('0b')}"
    path = log(
        tmp_path,
        *session("Nov 20 03:14:00", "session opened for local user ann from [192.0.2.7]", opened(a)),
        *session("Nov 20 03:14:01", "session opened for local user bob from [2001:db8::7]", opened(b), pid=78),
        "Nov 20 03:14:02 packrat CRON[9]: (root) CMD (true)",
        "Nov 20 03:14:02 packrat kernel: x",
        *session("Nov 20 03:14:05", closed(b, 5), pid=78),
        *session("Nov 20 03:14:09", f"forced {closed(a, 3)}", "session closed for local user ann from [192.0.2.7]"),
        *session("Nov 20 03:14:10", "session opened for local user bob from [192.0.2.9]", opened(a), closed(a, 9)),
    )
    found = read(path)
    assert (found.told, found.messages) == ([("0b", 5, True), ("0a", 3, False), ("0a", 9, True)], [])
    assert [(one.user, one.client, one.seconds) for one in found.uploads] == [
        ("bob", "2001:db8::7", 4.0),
        ("ann", "192.0.2.7", 9.0),
        ("bob", "192.0.2.9", 1.0),
    ]


@pytest.mark.parametrize(
    ("stamp", "time"),
    [
        ("Nov 20 03:14:29 packrat internal-sftp[77]:", "2026-11-20T10:14:29Z"),
        ("<38>Nov 20 03:14:29 packrat sftp-server[77]:", "2026-11-20T10:14:29Z"),
        ("Nov 20 03:14:29 internal-sftp[77]:", "2026-11-20T10:14:29Z"),
        ("2026-11-20T03:14:29.250000-07:00 packrat internal-sftp[77]:", "2026-11-20T10:14:29Z"),
        ("2026-11-20T10:14:29+0000 packrat internal-sftp[77]:", "2026-11-20T10:14:29Z"),
        ("<38>1 2026-11-20T10:14:29.000003Z packrat internal-sftp 77 - -", "2026-11-20T10:14:29Z"),
        ('1 2026-11-20T10:14:29Z packrat internal-sftp 77 - [x y="z"][a]', None),
        ('<38>1 2026-11-20T10:14:29Z packrat internal-sftp 77 - [x y="z"][a] \ufeff', "2026-11-20T10:14:29Z"),
    ],
)
def test_every_form_of_syslog_is_read(tmp_path: Path, stamp: str, time: str | None) -> None:
    path = f"/in/{name('0a')}"
    lines = [f"{stamp}{'' if stamp.endswith(chr(0xFEFF)) else ' '}{what}" for what in (opened(path), closed(path, 3))]
    found = read(log(tmp_path, *lines), zone="MST")
    assert found.times == ([time] if time else [])
    assert bool(found.messages) == (time is None)


def test_a_fraction_in_the_stamps_is_used(tmp_path: Path) -> None:
    path = f"/in/{name('0a')}"
    found = read(
        log(
            tmp_path,
            *session("2026-11-20T03:14:29.250000+00:00", opened(path)),
            *session("2026-11-20T03:14:29.750000+00:00", closed(path, 3)),
        )
    )
    assert found.uploads[0].seconds == 0.5


def test_a_file_that_was_named_only_after_it_was_written_counts(tmp_path: Path) -> None:
    path = log(
        tmp_path,
        *session("Nov 20 03:14:00", opened("/in/x.filepart"), closed("/in/x.filepart", 7)),
        *session("Nov 20 03:14:05", f'posix-rename old "/in/x.filepart" new "/in/{name("0a")}"'),
        *session("Nov 20 03:14:05", f'rename old "/in/{name("0a")}" new "/in/{name("0b")}"'),
    )
    assert read(path).told == [("0a", 7, True)]


def test_a_refused_opening_and_a_download_are_no_uploads(tmp_path: Path) -> None:
    a = f"/in/{name('0a')}"
    path = log(
        tmp_path,
        *session("Nov 20 03:14:00", opened(a), "sent status Failure", opened(a, "READ"), closed(a, 0)),
        *session("Nov 20 03:14:00", opened(a), "sent status Failure", closed(a, 0)),
    )
    found = read(path)
    assert (found.told, found.messages) == ([], [])


def test_escaped_names_are_read_as_what_they_are(tmp_path: Path) -> None:
    place = r"/a\\b\040c\n\303\266\M-C\M^A\^A\^?\"" + f"/{name('0a')}"
    assert read(log(tmp_path, *session("Nov 20 03:14:00", opened(place), closed(place, 3)))).told == [("0a", 3, True)]


@pytest.mark.parametrize(
    ("days", "written", "first", "last"),
    [
        (["Nov 20"], "2026-11-20T05:00:00", "2026-11-20", "2026-11-20"),
        (["Nov 20"], "2027-02-01T00:00:00", "2026-11-20", "2026-11-20"),
        (["Dec 31", "Jan  1"], "2027-01-01T05:00:00", "2026-12-31", "2027-01-01"),
        (["Dec 31", "Jan  1", "Dec 31", "Jan  1"], "2027-01-02T00:00:00", "2026-12-31", "2027-01-01"),
        (["Dec 31"], "2027-01-01T05:00:00", "2026-12-31", "2026-12-31"),
        (
            ["Nov 20", "Nov 21", "Feb  3", "Nov 20", "Nov 19", "Feb  1"],
            "2026-03-01T00:00:00",
            "2024-11-20",
            "2026-02-01",
        ),
        (["Feb 29", "Mar  1"], "2024-03-01T06:00:00", "2024-02-29", "2024-03-01"),
    ],
)
def test_the_year_follows_from_the_files_own_time_and_the_order_of_lines(
    tmp_path: Path, days: list[str], written: str, first: str, last: str
) -> None:
    path = f"/in/{name('0a')}"
    lines = [line for day in days for line in session(f"{day} 03:14:00", opened(path), closed(path, 3))]
    found = read(log(tmp_path, *lines, at=written))
    assert (found.times[0][:10], found.times[-1][:10], found.messages) == (first, last, [])


def test_the_year_of_a_rotated_log_is_bound_by_the_next_one(tmp_path: Path) -> None:
    path = f"/in/{name('0a')}"
    for to, day in (("log.2.gz", "Nov  1"), ("log.1", "Jun  1"), ("log", "Jan  1")):
        log(tmp_path, *session(f"{day} 03:14:00", opened(path), closed(path, 3)), to=to, at="2027-01-02T00:00:00")
    assert [time[:10] for time in read(tmp_path / "log").times] == ["2025-11-01", "2026-06-01", "2027-01-01"]


def xfer(stamp: str, letters: str) -> str:
    return f"{stamp} 1 ::1 3000 /{name(letters)} b _ i r tdcin ftp 0 * c"


def test_rotated_logs_are_read_oldest_first_whatever_they_are_called(tmp_path: Path) -> None:
    for to in ("xferlog-20261119.gz", "xferlog.10", "xferlog.2.gz", "xferlog.1", "xferlog", "xferlog-20261120"):
        log(tmp_path, xfer("Fri Nov 20 03:14:29 2026", "0a"), to=to)
    for to in ("xferlog.save", "xferlog-old", "xferlog.1.bak", "xferlogs"):
        log(tmp_path, "nothing of ours", to=to)
    found = [path.rpartition("/")[2] for path in rotated(str(tmp_path / "xferlog"))]
    assert found == [
        *("xferlog.10", "xferlog.2.gz", "xferlog.1"),
        *("xferlog-20261119.gz", "xferlog-20261120", "xferlog"),
    ]
    assert len(read(tmp_path / "xferlog").uploads) == 6


def test_a_size_that_nothing_has_is_not_added_up(tmp_path: Path) -> None:
    path = log(tmp_path, sftpgo("Upload", f"/srv/{name('0a')}", size_bytes=-1), sftpgo("Upload", f"/srv/{name('0b')}"))
    found = read(path)
    assert [told[0] for told in found.told] == ["0b"]
    assert found.messages[0].startswith(f"{path}: 1 line skipped: cannot be read; the first is ")


def test_sftpgos_own_rotation_is_known(tmp_path: Path) -> None:
    elders = ["sftpgo-2026-11-19T03-14-15.123.log.gz", "sftpgo-2026-11-20T03-14-15.123.log"]
    for to in (*elders, "sftpgo.log", "sftpgo-old.log"):
        log(tmp_path, sftpgo("Upload", f"/{name('0a')}"), to=to)
    assert rotated(str(tmp_path / "sftpgo.log")) == [str(tmp_path / one) for one in (*elders, "sftpgo.log")]


def test_the_repeated_hour_is_settled_by_file_order_over_a_rotation_too(tmp_path: Path) -> None:
    log(tmp_path, xfer("Sun Nov  1 00:59:59 2026", "0a"), xfer("Sun Nov  1 01:59:59 2026", "0b"), to="xferlog.1")
    path = log(
        tmp_path,
        xfer("Sun Nov  1 01:00:01 2026", "0c"),
        xfer("Sun Nov  1 01:59:59 2026", "0d"),
        xfer("Sun Nov  1 02:00:00 2026", "0e"),
        to="xferlog",
    )
    assert read(path, zone="America/New_York").times == [
        "2026-11-01T04:59:59Z",
        "2026-11-01T05:59:59Z",
        "2026-11-01T06:00:01Z",
        "2026-11-01T06:59:59Z",
        "2026-11-01T07:00:00Z",
    ]


def test_a_small_step_back_is_no_second_pass_of_the_hour(tmp_path: Path) -> None:
    path = log(tmp_path, xfer("Sun Nov  1 01:30:00 2026", "0a"), xfer("Sun Nov  1 01:29:58 2026", "0b"))
    assert read(path, zone="America/New_York").times == ["2026-11-01T05:30:00Z", "2026-11-01T05:29:58Z"]


def test_each_rotated_log_is_told_apart_by_itself(tmp_path: Path) -> None:
    path = f"/in/{name('0b')}"
    log(tmp_path, xfer("Fri Nov 20 03:14:29 2026", "0a"), to="log.1")
    log(tmp_path, *session("Nov 20 03:15:00", opened(path), closed(path, 3)), to="log")
    assert read(tmp_path / "log").told == [("0a", 3000, True), ("0b", 3, True)]


def test_a_log_of_nobody_is_left_out_and_told(tmp_path: Path) -> None:
    path = log(tmp_path, "once upon a time", "there was a server")
    found = read(path)
    assert found.uploads == []
    assert found.messages == [f"{path}: not a log of any known server, left out; it begins with 'once upon a time'"]


def test_an_empty_log_tells_nothing(tmp_path: Path) -> None:
    found = read(log(tmp_path))
    assert (found.uploads, found.messages) == ([], [])
