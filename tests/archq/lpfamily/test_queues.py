"""archq-lpstat, archq-cancel and archq-lpmove for requests of ours."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from archq.changes import hold_queue
from archq.config import load
from archq.spool import CANCELLED
from archq.spool.filestate import FileState, Phase
from archq.spool.queuestate import QueuePhase, QueueState
from tests.archq.lpfamily.conftest import DATA, identified

if TYPE_CHECKING:
    from tests.archq.lpfamily.conftest import Desk


def shown(desk: Desk, *words: str) -> list[str]:
    done = desk.run("archq-lpstat", *words)
    assert (done.stderr, done.returncode) == (b"", 0)
    return done.stdout.decode().split("\n")[:-1]


def listed(desk: Desk, *words: str) -> list[str]:
    return [line.split()[0] for line in shown(desk, *words)]


def test_lpstat_lists_size_and_user_in_lpstat_s_columns(desk: Desk, user: str) -> None:
    desk.submit()
    [line] = shown(desk, "-o", "archive")
    request, owner, size, *date = line.split()
    assert (request, owner, size) == ("archive-1", user, str(len(DATA)))
    assert abs(time.mktime(time.strptime(" ".join(date), "%a %b %d %H:%M:%S %Y")) - time.time()) < 60
    assert line[23:25] == f" {user[0]}"


def test_lpstat_lists_what_is_asked_for_once(desk: Desk, user: str) -> None:
    first, second = desk.submit(), desk.submit()
    moved = "backups-3"
    desk.run("archq-lpmove", desk.submit(), "backups")
    assert listed(desk) == listed(desk, "-o") == [first, second, moved]
    assert listed(desk, "-u") == listed(desk, "-u", f"nobody,{user}") == [first, second, moved]
    assert listed(desk, "-u", "nobody") == []
    assert listed(desk, "-o", "backups", "-u", user, second) == [moved, first, second]
    assert listed(desk, second) == listed(desk, "-o", second) == [second]
    assert listed(desk, "archive-3") == [moved]


def test_lpstat_lists_what_is_completed(desk: Desk) -> None:
    first, second = desk.submit(), desk.submit()
    desk.run("archq-cancel", first)
    assert listed(desk, "-W", "completed", "-o", "archive") == [first]
    assert listed(desk, "-W", "not-completed") == [second]
    assert listed(desk, "-Wall", "-o") == [second, first]


def test_lpstat_ranks_by_priority(desk: Desk) -> None:
    first, second = desk.submit(), desk.submit("-q", "90")
    assert [line.split()[:2] for line in shown(desk, "-R")] == [["0", second], ["1", first]]


def test_lpstat_says_why_a_request_waits(desk: Desk, user: str) -> None:
    request = desk.submit("-H", "hold")
    assert shown(desk, "-l")[1:] == [f"\tStatus: held by {user}", "\tAlerts: held", "\tqueued for archive"]
    assert shown(desk, "-l", request)[1] == f"\tStatus: held by {user}"


def test_lpstat_shows_a_held_queue_as_a_disabled_printer(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHQ_CONFIG", str(desk.home / "archq.toml"))
    hold_queue(load("archq"), desk.spool, "archive", "disk swap\x1b[31m")
    line, reason = shown(desk, "-p", "archive")
    assert line.startswith("printer archive disabled since ")
    assert (line[-2:], reason) == (" -", "\tdisk swap\\x1b[31m")


def test_lpstat_shows_the_trouble_of_a_destination(desk: Desk) -> None:
    trouble = QueueState(phase=QueuePhase.BLOCKED, since=10**18, reason="no such directory: /incoming")
    desk.spool.record_queue("archive", trouble)
    line, *details = shown(desk, "-l", "-p", "archive")
    assert line.startswith("printer archive is idle.  enabled since ")
    assert details == [
        "\tno such directory: /incoming",
        "\tDescription: archq's queue archive",
        "\tAlerts: blocked",
        f"\tConnection: file:{desk.home}/incoming",
    ]


def test_lpstat_shows_what_is_being_sent(desk: Desk) -> None:
    first, second = desk.submit(), desk.submit()
    now = time.time_ns()
    spool = desk.spool
    waits, goes = (spool.files("queued", identified(request))[0] for request in (first, second))
    spool.record(waits, FileState(phase=Phase.BEGUN, started=now - 10, failed=now, failures=1))
    spool.record(goes, FileState(phase=Phase.BEGUN, started=now, tries=1))
    assert shown(desk, "-p", "archive")[0].startswith("printer archive is idle.")
    with spool.own_queue("archive"):
        assert shown(desk, "-p", "archive")[0].startswith(f"printer archive now printing {second}.  enabled since ")


def test_lpstat_summarises(desk: Desk) -> None:
    desk.configure('default = "backups"')
    assert shown(desk, "-s") == [
        "system default destination: backups",
        f"device for archive: file:{desk.home}/incoming",
        f"device for backups: file:{desk.home}/backups",
    ]
    assert shown(desk, "-d", "-e") == ["system default destination: backups", "archive", "backups"]
    assert [line.split()[0] for line in shown(desk, "-a")] == ["archive", "backups"]


def test_cancel_takes_requests_and_the_oldest_of_a_queue(desk: Desk) -> None:
    requests = [desk.submit() for _number in range(4)]
    assert desk.run("archq-cancel", requests[2]).returncode == 0
    assert desk.run("archq-cancel", "archive").returncode == 0
    assert desk.queued() == [requests[1], requests[3]]
    assert desk.run("archq-cancel", "-a", "archive").returncode == 0
    assert desk.queued() == []
    assert desk.spool.find(identified(requests[0]))[0] == CANCELLED


def test_cancel_takes_all_of_a_user(desk: Desk, user: str) -> None:
    desk.submit()
    assert desk.run("archq-cancel", "-u", "nobody", "archive").returncode == 0
    assert desk.queued() == ["archive-1"]
    assert desk.run("archq-cancel", "-u", user).returncode == 0
    assert desk.queued() == []


def test_cancel_purges(desk: Desk) -> None:
    request = desk.submit()
    assert desk.run("archq-cancel", "-x", request).returncode == 0
    done = desk.run("archq-cancel", "-x", request)
    assert (done.stderr, done.returncode) == (b"archq-cancel: cancel-job failed: Job #1 does not exist.\n", 1)


def test_a_mistake_cancels_nothing(desk: Desk) -> None:
    request = desk.submit()
    done = desk.run("archq-cancel", request, "-Z")
    assert (done.stderr, done.returncode) == (b'archq-cancel: Error - unknown option "Z".\n', 1)
    assert desk.queued() == [request]


def test_lpmove_moves_a_request_or_a_queue(desk: Desk) -> None:
    first, _second = desk.submit(), desk.submit()
    assert desk.run("archq-lpmove", first, "backups").returncode == 0
    assert desk.queued() == ["backups-1", "archive-2"]
    assert desk.run("archq-lpmove", "archive", "backups").returncode == 0
    assert desk.queued() == ["backups-1", "backups-2"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("archive-1", "printer"), "archive-1 holds data, and 'printer' is no queue of archq (archive, backups)"),
        (
            ("printer-1", "archive"),
            "'printer-1' is no request or queue of archq (archive, backups), so it cannot go to one",
        ),
        (("archive-9", "backups"), "Job #9 does not exist."),
        (("archive-1", "archive"), "Error - archive-1 is in the queue archive already"),
    ],
)
def test_lpmove_keeps_data_and_prints_apart(desk: Desk, words: tuple[str, str], message: str) -> None:
    desk.submit()
    done = desk.run("archq-lpmove", *words)
    assert (done.stderr.decode(), done.returncode) == (f"archq-lpmove: {message}\n", 1)
    assert desk.queued() == ["archive-1"]
