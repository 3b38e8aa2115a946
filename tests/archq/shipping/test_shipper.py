"""A queue's shipper: everything arrives, nothing stops silently, and whatever hangs is ended."""

from __future__ import annotations

import contextlib
import errno
import gc
import hashlib
import os
import random
import re
import signal
import time
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archq.changes import release
from archq.control import IncompleteControlFileError, parse_control
from archq.errors import ExitStatus
from archq.instants import SECOND
from archq.names import WireName, parse_wire_name
from archq.shipping import queuehealth as queuehealth_module
from archq.shipping import shipper as shipper_module
from archq.shipping import worker as worker_module
from archq.shipping.queues import ship_once
from archq.shipping.schedule import BLOCKED_WAIT, FILE_FIRST_WAIT, FILE_LONGEST_WAIT
from archq.shipping.shipper import Shipper, after_failure, is_to_be_sent, number_that_counts
from archq.shipping.throttle import Throttle
from archq.shipping.worker import Delivered, Failure, Worker
from archq.spool import CANCELLED, QUEUED, SENT, RequestId, Spool, Ticket
from archq.spool.filestate import FileState, Phase
from archq.spool.queuestate import QueuePhase
from archq.spool.wakeup import Call, Wakeup, wake
from archq.transports.base import Scope
from tests.archq.instrument import Instrument
from tests.places import Place, real
from tests.servers import lying
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from archq.config import QueueSettings
    from tests.servers.lying import Answer
    from tests.servers.process import RunningServer

LARGE = bytes(range(256)) * 40_000  # bytes: more than the sockets between us and a server hold


def at_place(home: Path, place: Place) -> Instrument:
    """Give an instrument whose queue leads to ``place``."""
    settings = place.settings
    keys = {name: getattr(settings, name) for name in ("account", "password_file", "key", "known_hosts")}
    lines = [f'{name} = "{value}"' for name, value in keys.items() if value]
    return Instrument.at(home, url=settings.url, queue="\n".join(lines))


@contextlib.contextmanager
def at_lying_server(home: Path, answers: Mapping[str, Answer], *keys: str) -> Iterator[Instrument]:
    (home / "incoming").mkdir(exist_ok=True)
    with lying.ftp_server(home / "incoming", answers) as url:
        yield Instrument.at(home, url=url, queue="\n".join(keys))


def arrived(incoming: Path) -> Counter[str]:
    """Return how often each file's id arrived; every arrival must be whole."""
    found = Counter[str]()
    for name in filter(None, map(parse_wire_name, os.listdir(incoming))):
        if name == name.control:
            try:
                control = parse_control((incoming / str(name)).read_bytes())
            except IncompleteControlFileError:
                continue  # of a client that was killed: a sweeper leaves it alone
            data = (incoming / str(name.data)).read_bytes()
            assert control.checksum.digest == hashlib.sha256(data).hexdigest()
            found[name.id] += 1
    return found


def ids(instrument: Instrument, state: str) -> list[str]:
    spool = instrument.spool
    return [file.control.id for request in spool.requests(state) for file in spool.files(state, request)]


def state_of(instrument: Instrument, request: RequestId, part: int = 1) -> FileState:
    return instrument.spool.file(QUEUED, request, part).state


# Everything arrives.


@pytest.mark.parametrize("server", ["vsftpd_drop_box", "sshd_drop_box", "sshd_full", "proftpd_full"])
def test_what_is_queued_arrives_and_its_copies_are_kept(
    server: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    running: RunningServer = request.getfixturevalue(server)
    instrument = at_place(tmp_path, real(server, running, tmp_path))
    instrument.submit("img0001.fits", "img0002.fits")
    instrument.submit("img0003.fits", options={"inst": "megacam"})
    done = instrument.archq("ship", "--once")
    assert (done.stdout, done.stderr) == ("", "")
    assert instrument.spool.requests(QUEUED) == []
    assert arrived(running.incoming) == dict.fromkeys(ids(instrument, SENT), 1)
    assert len(arrived(running.incoming)) == 3
    kept = [file for one in instrument.spool.requests(SENT) for file in instrument.spool.files(SENT, one)]
    assert [Path(file.data_path).read_bytes() for file in kept] == [b"light" * 100] * 3
    assert {file.state.phase for file in kept} == {Phase.SENT}


def test_what_was_cut_off_goes_from_its_beginning_where_nothing_is_resumed(
    proftpd_without_restarts: RunningServer, tmp_path: Path
) -> None:
    place = at_place(tmp_path, real("proftpd", proftpd_without_restarts, tmp_path))
    request = place.submit_content(LARGE)
    file = place.spool.file(QUEUED, request, 1)
    wire = WireName(instrument="minicam", id=file.control.id, attempt=1)
    part = proftpd_without_restarts.incoming / wire.part
    part.write_bytes(LARGE[:1_000_000])
    os.chown(part, proftpd_without_restarts.uid, proftpd_without_restarts.gid)
    place.spool.record(file, FileState(phase=Phase.WAITING, tries=1))
    assert place.archq("ship", "--once").stderr == ""
    assert arrived(proftpd_without_restarts.incoming) == {file.control.id: 1}
    assert {path.name.split(".")[2] for path in proftpd_without_restarts.incoming.iterdir()} == {"2"}


def test_there_may_be_nothing_to_ship(tmp_path: Path) -> None:
    done = Instrument.at(tmp_path).archq("ship", "--once")
    assert (done.stdout, done.stderr) == ("", "")


def test_a_queue_that_another_shipper_owns_is_left_to_it(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    instrument.submit()
    with instrument.spool.own_queue("archive"):
        assert instrument.archq("ship", "--once").stderr == ""
        assert instrument.arrivals() == []
    instrument.archq("ship", "--once")
    assert instrument.arrivals() == ["minicam.1"]


# What goes wrong.


def test_a_server_that_is_down_makes_the_queue_wait_until_it_is_back(
    vsftpd_drop_box: RunningServer, tmp_path: Path
) -> None:
    instrument = at_place(tmp_path, real("vsftpd", vsftpd_drop_box, tmp_path))
    request = instrument.submit()
    vsftpd_drop_box.stop()
    done = instrument.archq("ship", "--once", status=ExitStatus.TEMPORARY)
    assert re.fullmatch(
        r"archq: queue archive is waiting: ftp://\S+: cannot connect: nothing listens there: Connection refused\n",
        done.stderr,
    )
    assert instrument.spool.queue_state("archive").phase is QueuePhase.WAITING
    assert state_of(instrument, request) == FileState()
    assert "waiting: ftp://" in instrument.archq("status").stdout
    vsftpd_drop_box.start()
    assert instrument.archq("ship", "--once").stderr == ""
    assert len(arrived(vsftpd_drop_box.incoming)) == 1
    assert instrument.spool.queue_state("archive").phase is QueuePhase.WORKING


def test_a_wrong_password_blocks_the_queue_and_holds_no_file(vsftpd_drop_box: RunningServer, tmp_path: Path) -> None:
    place = real("vsftpd", vsftpd_drop_box, tmp_path)
    instrument = at_place(tmp_path, place)
    request = instrument.submit()
    assert place.settings.password_file
    password = Path(place.settings.password_file).read_text()
    Path(place.settings.password_file).write_text("a wrong one\n")
    done = instrument.archq("ship", "--once", status=ExitStatus.REFUSED)
    assert re.fullmatch(
        r"archq: queue archive is blocked: \S+ cannot log in as ftp: the server says 530.*\n", done.stderr
    )
    assert instrument.spool.queue_state("archive").phase is QueuePhase.BLOCKED
    assert not state_of(instrument, request).held
    Path(place.settings.password_file).write_text(password)
    assert instrument.archq("ship", "--once").stderr == ""
    assert len(arrived(vsftpd_drop_box.incoming)) == 1


@pytest.mark.parametrize("typo_first", [True, False])
def test_one_requests_own_mistake_does_not_stop_the_others(
    vsftpd_drop_box: RunningServer, tmp_path: Path, typo_first: bool
) -> None:
    instrument = at_place(tmp_path, real("vsftpd", vsftpd_drop_box, tmp_path))
    wishes = [{"options": {"rempath": "/incomming-private"}}, {}]
    requests = [instrument.submit(**one) for one in (wishes if typo_first else wishes[::-1])]
    typo = requests[0 if typo_first else 1]
    done = instrument.archq("ship", "--once", status=ExitStatus.SOME_FAILED)
    assert f"{typo} (img0001.fits): failed: " in done.stderr
    assert instrument.spool.requests(QUEUED) == [typo]
    assert len(arrived(vsftpd_drop_box.incoming)) == 1
    assert instrument.spool.queue_state("archive").phase is QueuePhase.WORKING
    shown = "".join(instrument.archq(*words).stdout for words in (("status",), ("log",), ("status", "--json")))
    assert "incomming-private" not in f"{shown}{done.stderr}"


@pytest.mark.parametrize("bad_one", [0, 1])
def test_a_file_that_the_server_refuses_does_not_stop_a_run_from_cron(tmp_path: Path, bad_one: int) -> None:
    refused: list[str] = []

    def picky(session: lying.FtpSession, name: str) -> None:
        if any(one in name for one in refused):
            session.say("552 Too large for this account.")
        else:
            session.stor(name)

    with at_lying_server(tmp_path, {"STOR": picky}, 'account = "upload-only"', "connections = 1") as instrument:
        requests = [instrument.submit() for _ in range(3)]
        refused.append(instrument.spool.file(QUEUED, requests[bad_one], 1).control.id)
        done = instrument.archq("ship", "--once", status=ExitStatus.SOME_FAILED)
    assert f"{requests[bad_one]} (img0001.fits): failed: " in done.stderr
    assert instrument.spool.requests(QUEUED) == [requests[bad_one]]
    assert len(arrived(tmp_path / "incoming")) == 2


def test_damaged_records_of_one_request_do_not_stop_the_others(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    requests = [instrument.submit() for _ in range(4)]
    places = [Path(instrument.spool.place(QUEUED, str(request))) for request in requests]
    os.truncate(places[0] / "1.cf", 100)
    (places[1] / "request").write_text("nonsense\n")
    (places[2] / "1.df").unlink()
    done = instrument.archq("ship", "--once", status=ExitStatus.SOME_FAILED)
    assert len(arrived(tmp_path / "incoming")) == 1
    assert instrument.spool.requests(SENT) == requests[3:]
    assert f"archq: {requests[0]}: its records in the spool are damaged (no complete check= line yet)" in done.stderr
    assert f"archq: {requests[1]}: its records in the spool are damaged (not a key=value pair" in done.stderr
    assert f"archq: {requests[2]} (img0001.fits): held: the spool's copy cannot be used: " in done.stderr


def test_a_request_that_has_lost_its_files_was_not_sent(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    requests = [instrument.submit("img0001.fits", "img0002.fits"), instrument.submit()]
    place = Path(instrument.spool.place(QUEUED, str(requests[0])))
    (place / "2.cf").unlink()
    some = instrument.archq("ship", "--once", status=ExitStatus.SOME_FAILED)
    assert f"archq: {requests[0]}: its records in the spool are damaged (1 of its 2 files are there)" in some.stderr
    (place / "1.cf").unlink()
    none = instrument.archq("ship", "--once", status=ExitStatus.SOME_FAILED)
    assert f"archq: {requests[0]}: its records in the spool are damaged (none of its files is there)" in none.stderr
    assert instrument.spool.requests(QUEUED) == requests[:1]


def test_damage_is_told_once(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    os.truncate(instrument.spool.place(QUEUED, str(instrument.submit()), "1.cf"), 100)
    complaints: list[str] = []
    shipper = Shipper(instrument.spool, instrument.config.queues["archive"], complain=complaints.append)
    for _ in range(3):
        shipper._scan()
    assert len(complaints) == 1


def test_a_spool_that_takes_no_record_is_told_of_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))

    instrument = Instrument.at(tmp_path)
    requests = [instrument.submit() for _ in range(3)]
    monkeypatch.setattr(Spool, "tell", full)
    trouble = f"cannot write to the spool {instrument.spool.root}: File too large"
    assert shipped(instrument.spool, instrument) == (ExitStatus.DONE, [trouble])
    assert instrument.spool.requests(SENT) == requests


@pytest.mark.parametrize(
    "refusal", ["421 Too many connections from your address.", "530 Sorry, the maximum number of clients is connected."]
)
def test_a_server_that_takes_few_connections_gets_no_more_and_all_files(tmp_path: Path, refusal: str) -> None:
    answers: dict[str, Answer] = {"CONNECT": lying.at_most(2, refusal), "STOR": a_moment_later}
    with at_lying_server(tmp_path, answers, 'account = "upload-only"', "connections = 5") as instrument:
        instrument.submit(*(f"img000{number}.fits" for number in range(12)))
        assert instrument.archq("ship", "--once").stderr == ""
    assert len(arrived(tmp_path / "incoming")) == 12
    assert instrument.spool.requests(QUEUED) == []


def test_where_connecting_takes_no_time_several_connections_are_made_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shipper_module, "CONNECTING", 3600.0)
    greeted: list[lying.FtpSession] = []
    stored: list[str] = []

    def greet(session: lying.FtpSession, _argument: str) -> None:
        greeted.append(session)
        session.say("220 Hello.")

    def store(session: lying.FtpSession, name: str) -> None:
        stored.append(name)
        if len(stored) > 2:
            wait_until(lambda: len(greeted) == 3, "all connections are made")
        session.stor(name)

    answers: dict[str, Answer] = {"CONNECT": greet, "STOR": store}
    with at_lying_server(tmp_path, answers, 'account = "upload-only"', "connections = 3") as instrument:
        instrument.submit(*(f"img{number:04}.fits" for number in range(30)))
        assert shipped(instrument.spool, instrument) == (ExitStatus.DONE, [])
    assert len(greeted) == 3
    assert len(arrived(tmp_path / "incoming")) == 30


def a_moment_later(session: lying.FtpSession, name: str) -> None:
    session.receive(name, wait=0.05)
    session.say("226 Complete.")


def test_a_server_that_takes_no_connection_at_all_makes_the_queue_wait(tmp_path: Path) -> None:
    with at_lying_server(tmp_path, {"CONNECT": "421 Too many connections."}, "connections = 5") as instrument:
        requests = [instrument.submit() for _ in range(6)]
        done = instrument.archq("ship", "--once", status=ExitStatus.TEMPORARY)
    assert done.stderr.count("\n") == 1
    assert "archq: queue archive is waiting: ftp://" in done.stderr
    assert [state_of(instrument, request) for request in requests] == [FileState()] * 6


def test_a_session_that_the_server_gave_up_while_it_was_idle_is_no_file_s_fault(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(worker_module, "MAY_BE_GONE", 0.0)
    sessions: list[lying.FtpSession] = []

    def give_up_the_first(session: lying.FtpSession, _argument: str) -> None:
        sessions.append(session)
        if len(sessions) == 1:
            session.say("421 Timeout.")
            raise lying.EndOfSessionError
        session.say("200 Here.")

    answers: dict[str, Answer] = {"NOOP": give_up_the_first}
    with at_lying_server(tmp_path, answers, 'account = "upload-only"', "connections = 1") as instrument:
        for _ in range(4):
            instrument.submit()
        assert shipped(instrument.spool, instrument) == (ExitStatus.DONE, [])
    assert len(sessions) > 1
    assert len(arrived(tmp_path / "incoming")) == 4


def test_the_queue_is_free_for_the_next_run_while_a_worker_still_says_goodbye(tmp_path: Path) -> None:
    with at_lying_server(tmp_path, {"QUIT": lying.hang}, 'account = "upload-only"') as instrument:
        for _ in range(3):
            request = instrument.submit()
            assert ship_once(instrument.config, "archive", complain=print) == ExitStatus.DONE
            assert instrument.spool.find(request)[0] == SENT


# Many small files.


def test_many_small_files_go_together_and_a_bad_one_among_them_waits_alone(tmp_path: Path) -> None:
    bad: list[str] = []

    def picky(session: lying.FtpSession, name: str) -> None:
        if any(one in name for one in bad):
            lying.cut(session, name)
        session.stor(name)

    with at_lying_server(tmp_path, {"STOR": picky}, 'account = "upload-only"', "connections = 1") as instrument:
        request = instrument.submit(*(f"img{number:04}.fits" for number in range(40)))
        bad.append(instrument.spool.file(QUEUED, request, 25).control.id)
        done = instrument.archq("ship", "--once", status=ExitStatus.SOME_FAILED)
    assert done.stderr.count("\n") == 1
    assert f"archq: {request} (img0024.fits): failed: ftp://" in done.stderr
    assert len(arrived(tmp_path / "incoming")) == 39
    states = [file.state for file in instrument.spool.files(QUEUED, request)]
    assert Counter(state.phase for state in states) == {Phase.SENT: 39, Phase.WAITING: 1}
    assert states[24].failures == 1
    assert instrument.archq("log", str(request)).stdout.count(" sent ") == 39


def test_a_file_that_hangs_among_others_is_ended_and_they_get_through(tmp_path: Path) -> None:
    bad: list[str] = []

    def hanging(session: lying.FtpSession, name: str) -> None:
        if any(one in name for one in bad):
            lying.hang(session, name)
        session.stor(name)

    with at_lying_server(tmp_path, {"STOR": hanging}, 'account = "upload-only"', "connections = 1") as instrument:
        names = [f"img{number:04}.fits" for number in range(12)]
        request = instrument.submit(*names, options={"maxftp": "1"})
        bad.append(instrument.spool.file(QUEUED, request, 6).control.id)
        done = instrument.archq("ship", "--once", status=ExitStatus.SOME_FAILED)
    assert done.stderr.count("\n") == 1
    assert f"archq: {request} (img0005.fits): failed: maxftp=1: not delivered within 1 s" in done.stderr
    assert set(arrived(tmp_path / "incoming")) == set(ids(instrument, QUEUED)) - set(bad)


def test_a_long_queue_is_looked_at_bit_by_bit_and_all_of_it_arrives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument = Instrument.at(tmp_path)
    monkeypatch.setattr(shipper_module, "HORIZON", 4)
    requests = [instrument.submit() for _ in range(15)]
    shipper = Shipper(instrument.spool, instrument.config.queues["archive"], complain=print)
    shipper._scan()
    assert len(shipper._agenda) == 4
    instrument.submit_content(b"light", priority=50)
    urgent = instrument.submit_content(b"light", priority=51)
    later = RequestId(urgent.number - 1, "archive")
    shipper._look_again([Call(later, is_new=True), Call(urgent, is_new=True)])
    assert len(shipper._agenda) == 5
    first = shipper._agenda.take(time.time_ns())
    assert first
    assert first.request == urgent
    assert shipped(instrument.spool, instrument) == (ExitStatus.DONE, [])
    assert instrument.spool.requests(SENT) == [*requests, later, urgent]
    assert len(arrived(tmp_path / "incoming")) == 17


def test_an_urgent_request_far_back_in_a_long_queue_goes_first_after_a_restart(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument = Instrument.at(tmp_path, queue="connections = 1")
    monkeypatch.setattr(shipper_module, "HORIZON", 4)
    monkeypatch.setattr(shipper_module, "GLANCES", 10)
    requests = [instrument.submit_content(b"light", priority=90 if number in (9, 23) else 50) for number in range(25)]
    shipper = Shipper(instrument.spool, instrument.config.queues["archive"], complain=print)
    order, sent = [], shipper._sent
    monkeypatch.setattr(shipper, "_sent", lambda candidate: order.append(candidate.request) or sent(candidate))
    assert shipper.ship_once() is ExitStatus.DONE
    assert order[0] == requests[9]
    assert order.index(requests[23]) < 5
    assert sorted(order) == sorted(requests)
    assert len(arrived(tmp_path / "incoming")) == 25


def test_what_is_urgent_is_looked_for_once_in_what_a_long_queue_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument = Instrument.at(tmp_path)
    monkeypatch.setattr(shipper_module, "HORIZON", 4)
    requests = [instrument.submit_content(b"light", priority=90) for _ in range(20)]
    shipper = Shipper(instrument.spool, instrument.config.queues["archive"], complain=print)
    shipper._scan()
    shipper._look_for_urgent()
    assert len(shipper._agenda) == 8  # and no more, as all are urgent
    for _ in range(3):
        assert shipper._agenda.take(time.time_ns())
    looked_at: list[RequestId] = []
    ticket = instrument.spool.ticket
    monkeypatch.setattr(Spool, "ticket", lambda _spool, state, one: looked_at.append(one) or ticket(state, one))
    shipper._scan()
    shipper._look_for_urgent()
    assert looked_at == [one for request in requests[8:11] for one in (request, request)]
    monkeypatch.undo()
    assert shipped(instrument.spool, instrument) == (ExitStatus.DONE, [])
    assert instrument.spool.requests(SENT) == requests


# What hangs.


@pytest.mark.parametrize(
    "answers",
    [
        {"CONNECT": lying.hang},
        {"USER": lying.hang},
        {"PASV": lying.hang},
        {"STOR": lying.hang},
        {"STOR": lying.store_and_hang},
        {"STOR": lying.store_slowly},
        {"SIZE": lying.hang},
    ],
    ids=["greeting", "login", "data connection", "go-ahead", "last reply", "drip", "size"],
)
def test_maxftp_ends_whatever_hangs_and_the_next_file_goes_on(tmp_path: Path, answers: dict[str, Answer]) -> None:
    [(verb, answer)] = answers.items()
    once = {verb: lying.only_first(answer, lying.HONEST[verb])}
    with at_lying_server(tmp_path, once, 'account = "upload-only"', "connections = 1") as instrument:
        (tmp_path / "data").mkdir(exist_ok=True)
        first = instrument.submit_content(LARGE, options={"maxftp": "1"})
        instrument.submit_content(b"light")
        done = instrument.archq("ship", "--once", status=ExitStatus.SOME_FAILED)
    assert re.search(
        rf"archq: {first} \(img0001.fits\): failed: maxftp=1: not delivered within 1 s, \S+ k?M?B of 10.2 MB were sent",
        done.stderr,
    )
    assert instrument.spool.requests(QUEUED) == [first]
    assert len(arrived(tmp_path / "incoming")) == 1


def test_a_file_that_maxftp_cannot_fit_is_held_after_the_second_time_and_says_what_to_do(tmp_path: Path) -> None:
    with at_lying_server(tmp_path, {"STOR": lying.store_slowly}, 'account = "upload-only"') as instrument:
        request = instrument.submit_content(LARGE, options={"maxftp": "1"})
        first = instrument.archq("ship", "--once", status=ExitStatus.SOME_FAILED)
        assert f"{request} (img0001.fits): failed: maxftp=1: " in first.stderr
        assert not state_of(instrument, request).held
        second = instrument.archq("ship", "--once", status=ExitStatus.SOME_FAILED)
        wanted = (
            rf"{request} \(img0001.fits\): held: 10.2 MB at \S+ [kM]?B/s needs about \d+ s, maxftp is 1: "
            rf"archq alter {request} -o maxftp=0\n"
        )
        assert re.search(wanted, second.stderr)
        assert state_of(instrument, request).held
        assert instrument.archq("ship", "--once").stderr == ""
        assert re.search(
            rf"held.*\n *10.2 MB at .*archq alter {request} -o maxftp=0", instrument.archq("status").stdout
        )


def test_what_can_be_resumed_is_not_held_but_gets_through_bit_by_bit(tmp_path: Path) -> None:
    slowly = lying.only_first(lying.store_slowly, lying.only_first(lying.store_slowly, lying.FtpSession.stor))
    with at_lying_server(tmp_path, {"STOR": slowly}, 'account = "full"') as instrument:
        request = instrument.submit_content(LARGE, options={"maxftp": "1"})
        for _ in range(2):
            instrument.archq("ship", "--once", status=ExitStatus.SOME_FAILED)
            assert not state_of(instrument, request).held
        instrument.archq("alter", str(request), "-o", "maxftp=0")
        instrument.archq("ship", "--once")
    assert len(arrived(tmp_path / "incoming")) == 1
    [data] = (tmp_path / "incoming").glob("*.df")
    assert data.read_bytes() == LARGE


def test_what_a_full_account_may_not_resume_is_held_as_soon_as_that_is_known(tmp_path: Path) -> None:
    answers = {"STOR": lying.store_slowly, "REST": "502 No REST here."}
    with at_lying_server(tmp_path, answers, 'account = "full"') as instrument:
        request = instrument.submit_content(LARGE, options={"maxftp": "1"})
        for tries in (1, 2):
            instrument.archq("ship", "--once", status=ExitStatus.SOME_FAILED)
            assert (state_of(instrument, request).held, state_of(instrument, request).tries >= tries) == (False, True)
        instrument.archq("ship", "--once", status=ExitStatus.SOME_FAILED)
        held = state_of(instrument, request)
    assert held.held
    assert re.search(rf"needs about \d+ s, maxftp is 1: archq alter {request} -o maxftp=0", held.reason)
    assert len(list((tmp_path / "incoming").iterdir())) == 1  # what earlier tries have left was removed


def test_without_a_maxftp_the_idle_limit_ends_what_says_nothing(tmp_path: Path) -> None:
    with at_lying_server(tmp_path, {"STOR": lying.store_and_hang}, "maxftp = 0", "idle = 1") as instrument:
        request = instrument.submit()
        done = instrument.archq("ship", "--once", status=ExitStatus.SOME_FAILED)
    assert f"{request} (img0001.fits): failed: " in done.stderr
    assert done.stderr.endswith("no answer in time (idle=1 s)\n")


def test_a_server_that_hangs_before_anything_is_sent_makes_the_queue_wait(tmp_path: Path) -> None:
    with at_lying_server(tmp_path, {"PASS": lying.hang, "QUIT": lying.hang}, "maxftp = 0", "idle = 1") as instrument:
        request = instrument.submit()
        done = instrument.archq("ship", "--once", status=ExitStatus.TEMPORARY)
    assert re.fullmatch(r"archq: queue archive is waiting: .*: no answer in time \(idle=1 s\)\n", done.stderr)
    assert state_of(instrument, request) == FileState()


class Clock:
    """The time, as the shipper sees it, of a machine on which it can be set."""

    def __init__(self) -> None:
        self.ahead = 0.0  # seconds

    def time_ns(self) -> int:
        return time.time_ns() + round(self.ahead * SECOND)

    def __getattr__(self, name: str) -> object:
        return getattr(time, name)


def test_a_clock_that_is_set_back_delays_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    instrument = Instrument.at(tmp_path, url=f"file:{tmp_path}/later")
    request, clock = instrument.submit(), Clock()
    for module in (shipper_module, queuehealth_module):
        monkeypatch.setattr(module, "time", clock)
    monkeypatch.setattr(shipper_module, "BEAT_EVERY", 0.05)
    clock.ahead = 86_400.0
    queue, beats = instrument.config.queues["archive"], []
    with instrument.spool.own_queue("archive"), contextlib.closing(Wakeup(instrument.spool, "archive")) as wakeup:
        shipper = Shipper(instrument.spool, queue, complain=lambda _line: None)

        def beat() -> QueueSettings:
            beats.append(instrument.spool.queue_state("archive").phase)
            if beats[-1] is QueuePhase.BLOCKED and clock.ahead:
                (tmp_path / "later").mkdir()
                clock.ahead = 0.0
            if len(beats) > 100 or not instrument.spool.requests(QUEUED):
                shipper.stop()
            return queue

        shipper.follow(wakeup, beat=beat)
    assert instrument.spool.requests(SENT) == [request]


# People, and other processes.


def test_what_is_cancelled_while_it_is_sent_does_not_arrive(tmp_path: Path) -> None:
    with at_lying_server(tmp_path, {"STOR": lying.store_slowly}, 'account = "upload-only"') as instrument:
        request = instrument.submit_content(LARGE[:300_000])
        shipping = instrument.begin("ship", "--once")
        wait_for(lambda: list((tmp_path / "incoming").glob("*.df")))
        instrument.archq("cancel", str(request))
        _output, errors = shipping.communicate(timeout=60)
    assert (shipping.returncode, errors) == (0, "")
    assert instrument.spool.requests(CANCELLED) == [request]
    assert arrived(tmp_path / "incoming") == {}


def wait_for(true: Callable[[], object]) -> None:
    deadline = time.monotonic() + 30
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class CancellingSpool(Spool):
    """Somebody cancels a request in the very moment in which it was sent."""

    def tell(self, event: str, facts: Mapping[str, str]) -> None:
        super().tell(event, facts)
        if event == "sent":
            request = RequestId.parse(facts["request"])
            assert request
            self.move(request, QUEUED, CANCELLED)


def test_a_cancel_that_comes_when_all_is_sent_disturbs_nobody(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    instrument.submit()
    spool = CancellingSpool(instrument.config.spool)
    assert shipped(spool, instrument) == (ExitStatus.DONE, [])
    assert spool.requests(QUEUED) == []


def shipped(spool: Spool, instrument: Instrument) -> tuple[ExitStatus, list[str]]:
    complaints: list[str] = []
    with spool.own_queue("archive"):
        status = Shipper(spool, instrument.config.queues["archive"], complain=complaints.append).ship_once()
    return status, complaints


class RedirectingSpool(Spool):
    """Somebody sends the request ``number`` elsewhere, of which the shipper has not heard yet when it takes it up."""

    number = 0
    elsewhere = ""

    def tell(self, event: str, *facts: Mapping[str, str]) -> None:
        super().tell(event, *facts)
        request = RequestId(self.number, "archive")
        if event == "sent" and request in self.requests(QUEUED):
            self.alter(QUEUED, request, replace(self.ticket(QUEUED, request), rempath=self.elsewhere))


@pytest.mark.parametrize("number", [2, 3])
def test_what_is_sent_elsewhere_in_the_last_moment_goes_there_and_takes_nothing_along(
    tmp_path: Path, number: int
) -> None:
    instrument = Instrument.at(tmp_path, queue="connections = 1")
    for _ in range(3):  # the first goes alone, the others together
        instrument.submit()
    spool = RedirectingSpool(instrument.config.spool)
    spool.number, spool.elsewhere = number, str(tmp_path / "other")
    redirected = spool.file(QUEUED, RequestId(number, "archive"), 1).control.id
    assert shipped(spool, instrument) == (ExitStatus.DONE, [])
    assert list(arrived(tmp_path / "other")) == [redirected]
    assert len(arrived(tmp_path / "incoming")) == 2


class ChangingSpool(Spool):
    """Something happens to the last of three requests in the very moment in which it is given to a worker."""

    happens: Callable[[Path], object]
    looks = 0

    def ticket(self, state: str, request: RequestId) -> Ticket:
        ticket = super().ticket(state, request)
        if request.number == 3:
            self.looks += 1
            if self.looks == 2:  # at the first it was taken up
                self.happens(Path(self.place(QUEUED, str(request))))
        return ticket


def test_what_goes_away_from_among_others_in_the_last_moment_disturbs_none_of_them(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path, queue="connections = 1")
    requests = [instrument.submit() for _ in range(3)]  # the first goes alone, the others together
    spool = ChangingSpool(instrument.config.spool)
    spool.happens = lambda _place: spool.move(requests[2], QUEUED, CANCELLED)
    assert shipped(spool, instrument) == (ExitStatus.DONE, [])
    assert spool.requests(SENT) == requests[:2]
    assert spool.queue_state("archive").phase is QueuePhase.WORKING


def test_what_is_damaged_among_others_in_the_last_moment_is_held_alone(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path, queue="connections = 1")
    requests = [instrument.submit() for _ in range(3)]
    spool = ChangingSpool(instrument.config.spool)
    spool.happens = lambda place: os.truncate(place / "1.cf", 100)
    status, [complaint] = shipped(spool, instrument)
    assert status == ExitStatus.SOME_FAILED
    assert complaint.startswith(f"{requests[2]}: its records in the spool are damaged (no complete check= line yet)")
    assert (spool.requests(SENT), spool.requests(QUEUED)) == (requests[:2], requests[2:])


def test_what_was_configured_while_a_file_was_on_its_way_holds_from_the_next_one_on(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path, queue="connections = 1")
    for _ in range(3):
        instrument.submit_content(LARGE[:300_000])
    now, spool = instrument.config.queues["archive"], instrument.spool
    old, new = replace(now, rate_limit=150_000), replace(now, url=f"file:{tmp_path}/other")
    deadline = time.monotonic() + 30

    def beat() -> QueueSettings:
        if not spool.requests(QUEUED) or time.monotonic() > deadline:
            shipper.stop()
        is_begun = os.listdir(tmp_path / "incoming")
        return new if is_begun else old

    with spool.own_queue("archive"), contextlib.closing(Wakeup(spool, "archive")) as wakeup:
        shipper = Shipper(spool, old, complain=lambda _line: None)
        shipper.follow(wakeup, beat=beat)
    assert (len(arrived(tmp_path / "incoming")), len(arrived(tmp_path / "other"))) == (1, 2)


def test_a_change_that_found_no_room_to_be_told_is_noticed_all_the_same(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    held, spool = instrument.submit(when="hold"), instrument.spool
    beats, deadline = 0, time.monotonic() + 20

    def beat() -> QueueSettings:
        nonlocal beats
        beats += 1
        if beats == 1:  # it knows by now that the request is held
            for number in range(10_000):
                wake(spool, "archive", RequestId(1000 + number, "archive"), is_new=True)
            release(spool, held)
        if spool.requests(SENT) or time.monotonic() > deadline:
            shipper.stop()
        return settings

    settings = instrument.config.queues["archive"]
    with spool.own_queue("archive"), contextlib.closing(Wakeup(spool, "archive")) as wakeup:
        shipper = Shipper(spool, settings, complain=lambda _line: None)
        shipper.follow(wakeup, beat=beat)
    assert spool.requests(SENT) == [held]


def children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_running(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def test_an_idle_worker_that_is_killed_is_replaced(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    following = instrument.begin("ship", "--follow", "-d", "archive")
    try:
        for number in range(1, 4):
            instrument.submit()
            wait_for(lambda number=number: len(instrument.spool.requests(SENT)) == number)
            for worker in children(following.pid):
                os.kill(worker, signal.SIGKILL)
    finally:
        following.terminate()
        _output, errors = following.communicate(timeout=30)
    assert (following.returncode, errors) == (0, "")
    assert len(arrived(tmp_path / "incoming")) == 3


def test_a_worker_that_cannot_be_given_its_first_file_does_not_outlive_that(tmp_path: Path, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.ENOBUFS, os.strerror(errno.ENOBUFS))

    instrument = Instrument.at(tmp_path)
    instrument.submit()
    before = set(children(os.getpid()))  # of other tests, which end meanwhile
    monkeypatch.setattr(Worker, "start", refuse)
    with pytest.raises(OSError, match="No buffer space"):
        shipped(instrument.spool, instrument)
    assert set(children(os.getpid())) <= before


def test_a_worker_whose_session_is_ended_ends_whatever_others_do(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    queue, throttle = instrument.config.queues["archive"], Throttle(None)
    first, second = (Worker(instrument.spool, queue, throttle) for _ in range(2))
    first.retire()
    wait_for(lambda: not first.is_alive())
    assert second.is_alive()
    second.kill()


def test_a_worker_that_is_started_leaves_nothing_that_is_never_collected(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    before = gc.get_freeze_count()
    worker = Worker(instrument.spool, instrument.config.queues["archive"], Throttle(None))
    assert gc.get_freeze_count() == before
    worker.kill()


def test_a_worker_says_goodbye_though_the_lock_cannot_be_closed(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    worker = Worker(instrument.spool, instrument.config.queues["archive"], Throttle(None), lock=1 << 30)  # none at all
    worker.retire()
    wait_for(lambda: not worker.is_alive())
    assert worker._process.exitcode == 0


@pytest.mark.parametrize("answers", [True, False], ids=["a server that answers", "a server that does not"])
def test_a_shipper_that_ends_says_goodbye_and_leaves_no_process(tmp_path: Path, answers: bool) -> None:
    heard: list[str] = []

    def goodbye(server: lying.FtpSession, _argument: str) -> None:
        heard.append("QUIT")
        if not answers:
            server.hang()
        server.say("221 Goodbye.")

    with at_lying_server(tmp_path, {"QUIT": goodbye}) as instrument:
        instrument.submit()
        before = set(children(os.getpid()))
        assert shipped(instrument.spool, instrument) == (ExitStatus.DONE, [])
        assert set(children(os.getpid())) <= before
    assert heard == ["QUIT"]


class NoMoreProcessesError(BlockingIOError):
    """What fork(2) says at a limit of processes: EAGAIN, as if somebody else had a lock."""


def test_a_machine_without_a_process_left_is_not_taken_for_another_shipper(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left() -> int:
        raise NoMoreProcessesError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    instrument = Instrument.at(tmp_path)
    request = instrument.submit()
    monkeypatch.setattr(os, "fork", none_left)
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    with pytest.raises(NoMoreProcessesError):
        ship_once(instrument.config, None, complain=lambda _line: None)
    monkeypatch.undo()
    assert instrument.spool.requests(QUEUED) == [request]


def test_a_worker_that_is_killed_at_work_costs_no_file(tmp_path: Path) -> None:
    slow_once = lying.only_first(lying.store_slowly, lying.FtpSession.stor)
    with at_lying_server(tmp_path, {"STOR": slow_once}, 'account = "upload-only"') as instrument:
        request = instrument.submit_content(LARGE)
        shipping = instrument.begin("ship", "--once")
        wait_for(lambda: list((tmp_path / "incoming").glob("*.df")))
        [worker] = children(shipping.pid)
        os.kill(worker, signal.SIGKILL)
        _output, errors = shipping.communicate(timeout=60)
        assert shipping.returncode == ExitStatus.SOME_FAILED
        assert errors == f"archq: {request} (img0001.fits): failed: its worker died (exit status -9)\n"
        instrument.archq("ship", "--once")
    assert len(arrived(tmp_path / "incoming")) == 1


@pytest.fixture(params=["file, full", "file, drop box", "vsftpd_drop_box", "sshd_full"])
def destination(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Instrument, Path]:
    """An instrument, and the directory into which its files go."""
    if request.param.startswith("file"):
        account = "full" if request.param.endswith("full") else "upload-only"
        return Instrument.at(tmp_path, queue=f'account = "{account}"'), tmp_path / "incoming"
    server: RunningServer = request.getfixturevalue(request.param)
    return at_place(tmp_path, real(request.param, server, tmp_path)), server.incoming


def test_whenever_the_shipper_is_killed_everything_arrives(destination: tuple[Instrument, Path]) -> None:
    instrument, incoming = destination
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    for number in range(12):
        instrument.submit_content(chance.randbytes(300_000), name=f"img{number:04}.fits")
    wanted = set(ids(instrument, QUEUED))
    kills, patience = 0, 0.02  # seconds: a run that never gets far enough is given more
    while instrument.spool.requests(QUEUED) and kills < 25:
        shipper = os.fork()
        if shipper == 0:
            with contextlib.suppress(BaseException):
                shipped(instrument.spool, instrument)
            os._exit(0)
        time.sleep(chance.uniform(0.0, patience))
        os.kill(shipper, signal.SIGKILL)
        os.waitpid(shipper, 0)
        kills, patience = kills + 1, patience * 1.1
        wait_for(lambda: free(instrument))
    instrument.archq("ship", "--once")
    assert set(ids(instrument, SENT)) == wanted
    assert set(arrived(incoming)) == wanted
    states = [file.state for one in instrument.spool.requests(SENT) for file in instrument.spool.files(SENT, one)]
    assert {state.phase for state in states} == {Phase.SENT}
    assert not [name for name in os.listdir(incoming) if name.endswith(".part")]


def free(instrument: Instrument) -> bool:
    """Tell whether nobody owns the queue: the workers of a killed shipper die a moment after it."""
    try:
        with instrument.spool.own_queue("archive"):
            return True
    except BlockingIOError:
        return False


# What a failure does to a file (pure).

NOW = 1_800_000_000 * SECOND


def failed(
    state: FileState,
    scope: Scope = Scope.FILE,
    *,
    permanent: bool = False,
    tmp_path: Path,
    rate: float = 0.0,
    altered: int = 0,
) -> FileState:
    instrument = Instrument.at(tmp_path)
    file = instrument.spool.file(QUEUED, instrument.submit(), 1)
    failure = Failure(message="it broke", scope=scope, permanent=permanent)
    return after_failure(replace(file, state=state), failure, NOW, 0.5, rate=rate, maxftp=600.0, altered=altered)


def test_of_several_failures_none_counts_whose_fault_they_are_nobody_knows() -> None:
    file, queue = (Failure(message="it broke", scope=scope, permanent=False) for scope in (Scope.FILE, Scope.QUEUE))
    sent = Delivered(wire="", name="", part="", tries=1, seconds=0.0)
    assert number_that_counts([sent, sent]) is None
    assert number_that_counts([sent, file]) == 1
    assert number_that_counts([file, sent, file]) is None
    assert number_that_counts([queue] * 3) == 0
    assert number_that_counts([sent, file, queue, queue]) == 2


def test_a_file_that_failed_waits_longer_each_time_but_not_for_ever(tmp_path: Path) -> None:
    waits, state = [], FileState()
    for _ in range(14):
        state = failed(state, tmp_path=tmp_path)
        waits.append((state.next_try - NOW) / SECOND)
    assert waits[:4] == [FILE_FIRST_WAIT, 2 * FILE_FIRST_WAIT, 4 * FILE_FIRST_WAIT, 8 * FILE_FIRST_WAIT]
    assert waits == sorted(waits)
    assert waits[-1] == FILE_LONGEST_WAIT
    assert (state.failures, state.reason, state.held) == (14, "it broke", False)


def test_only_a_file_that_cannot_succeed_is_held(tmp_path: Path) -> None:
    assert failed(FileState(), Scope.FILE, permanent=True, tmp_path=tmp_path).held
    assert not failed(FileState(), Scope.FILE, permanent=False, tmp_path=tmp_path).held


def test_a_requests_own_mistake_is_tried_again_now_and_then(tmp_path: Path) -> None:
    state = failed(FileState(), Scope.REQUEST, permanent=True, tmp_path=tmp_path)
    assert not state.held
    assert state.next_try - NOW == BLOCKED_WAIT * SECOND


def test_two_expiries_that_moved_hold_a_file_that_cannot_be_resumed(tmp_path: Path) -> None:
    first = failed(FileState(), rate=50.0, tmp_path=tmp_path)
    assert (first.expiries, first.held) == (1, False)
    between = failed(first, tmp_path=tmp_path)
    assert (between.expiries, between.held) == (1, False)
    second = failed(between, rate=50.0, tmp_path=tmp_path)
    assert (second.expiries, second.held) == (2, True)
    assert re.fullmatch(
        r"500 B at 50 B/s needs about 10 s, maxftp is 600: archq alter archive-\d+ -o maxftp=0", second.reason
    )


def test_expiries_from_before_a_request_was_altered_do_not_count(tmp_path: Path) -> None:
    held = failed(failed(FileState(), rate=50.0, tmp_path=tmp_path), rate=50.0, tmp_path=tmp_path)
    first = failed(held, rate=50.0, tmp_path=tmp_path, altered=NOW + 1)
    assert (first.expiries, first.held) == (1, False)
    second = failed(first, rate=50.0, tmp_path=tmp_path)
    assert (second.expiries, second.held) == (2, True)


def ticket(**changes: object) -> Ticket:
    return Ticket(user="observer", title="x", queued=NOW, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("state", "asked", "sent"),
    [
        (FileState(), ticket(), True),
        (FileState(), ticket(hold="by observer"), False),
        (FileState(held=True, failed=NOW), ticket(), False),
        (FileState(held=True, failed=NOW), ticket(altered=NOW + 1), True),
        (FileState(held=True, failed=NOW), ticket(altered=NOW - 1), False),
        (FileState(failed=NOW, failures=3), ticket(), True),
    ],
)
def test_a_file_waits_for_a_connection_unless_somebody_holds_it(state: FileState, asked: Ticket, sent: bool) -> None:
    assert is_to_be_sent(state, asked) is sent
