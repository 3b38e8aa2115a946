"""The spool: numbers are never given twice, what is in it belongs to its owner or its group, and dead drafts go."""

from __future__ import annotations

import contextlib
import grp
import os
import stat
import time
import traceback
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archq import durable
from archq.changes import cancel
from archq.errors import ArchqError, ExitStatus, MalformedError, NoInputError
from archq.names import checked_id
from archq.shipping.queues import ship_once
from archq.shipping.shipper import Shipper
from archq.spool import BUILDING, CANCELLED, DEAD_WRITER_AGE, JOURNAL, QUEUED, SENT, RequestId, Spool
from archq.spool.filestate import Phase
from archq.status import report
from archq.submission import submit
from archq.transferlog import parse_outcome
from archq.transports.file import FileTransport
from tests.archq.instrument import Instrument
from tests.requirements import require
from tests.servers.process import AS_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

# Loaded before an account needs it that may not read where it lies.
TRANSPORT = FileTransport


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(str(tmp_path / "spool"))


def in_processes(*tasks: Callable[[], object]) -> None:
    """Run each task in a process of its own, all at once; each must succeed."""
    children = []
    for task in tasks:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                task()
                status = 0
            except BaseException:
                traceback.print_exc()
            os._exit(status)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * len(children)


# Numbers.


def test_numbers_count_up_from_one(spool: Spool) -> None:
    assert [spool.next_number() for _ in range(3)] == [1, 2, 3]
    assert Spool(spool.root).next_number() == 4


def test_no_number_is_given_twice_to_processes_at_once(spool: Spool, tmp_path: Path) -> None:
    def take(name: str) -> None:
        own = Spool(spool.root)
        (tmp_path / name).write_text("".join(f"{own.next_number()}\n" for _ in range(50)))

    names = ["a", "b", "c"]
    in_processes(*((lambda name=name: take(name)) for name in names))
    given = sorted(int(line) for name in names for line in (tmp_path / name).read_text().splitlines())
    assert given == list(range(1, 151))


@pytest.mark.parametrize(
    "torn", [b"", b"0000", b"0000000000000000000", b"\0" * 21, b"garbage\n", b"0000000000000000\0\0\0\0\n", b"9" * 40]
)
def test_a_torn_count_goes_on_behind_all_requests_that_are_there(spool: Spool, torn: bytes) -> None:
    for state, number in ((QUEUED, 7), (SENT, 9), (CANCELLED, 8)):
        os.mkdir(spool.place(state, str(RequestId(number, "archive"))))
    Path(spool.place("sequence")).write_bytes(torn)
    assert [spool.next_number() for _ in range(2)] == [10, 11]


def test_a_lost_count_too(spool: Spool) -> None:
    os.mkdir(spool.place(SENT, "archive-41"))
    assert spool.next_number() == 42


def test_a_spool_has_one_id_for_ever_whoever_asks_first(spool: Spool, tmp_path: Path) -> None:
    def ask(name: str) -> None:
        (tmp_path / name).write_text(Spool(spool.root).id)

    in_processes(*((lambda name=name: ask(name)) for name in "abcd"))
    assert {(tmp_path / name).read_text() for name in "abcd"} == {checked_id(spool.id)}


# Requests.


@pytest.mark.parametrize(
    ("text", "request_id"),
    [
        ("archive-17", RequestId(17, "archive")),
        ("a-b_C-1", RequestId(1, "a-b_C")),
        ("archive-0", None),
        ("archive-017", None),
        ("archive", None),
        ("-1", None),
        ("archive-1\n", None),
        ("../archive-1", None),
        ("archive-1.new", None),
    ],
)
def test_a_request_id_is_read_or_it_is_none(text: str, request_id: RequestId | None) -> None:
    assert RequestId.parse(text) == request_id
    assert request_id is None or str(request_id) == text


def test_requests_are_listed_oldest_first_and_strangers_are_passed_over(spool: Spool) -> None:
    for name in ("archive-10", "archive-9", "other-3", "notes.txt", ".hidden"):
        os.mkdir(spool.place(QUEUED, name))
    assert [str(one) for one in spool.requests(QUEUED)] == ["other-3", "archive-9", "archive-10"]
    assert [str(one) for one in spool.requests(QUEUED, "archive")] == ["archive-9", "archive-10"]


def test_the_directory_a_request_lies_in_is_its_state(spool: Spool) -> None:
    request = RequestId(spool.next_number(), "archive")
    with pytest.raises(NoInputError, match=r"there is no request archive-1 in the spool"):
        spool.find(request)
    os.mkdir(spool.place(QUEUED, str(request)))
    assert spool.find(request) == (QUEUED, request)
    spool.move(request, QUEUED, SENT)
    assert spool.find(request) == (SENT, request)
    with pytest.raises(FileNotFoundError):
        spool.move(request, QUEUED, SENT)


def test_a_record_that_the_disk_does_not_give_back_is_named(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    request = instrument.submit()
    record = tmp_path / "spool" / "queued" / str(request) / "request"
    record.unlink()
    record.symlink_to("/proc/self/mem")  # which opens, and whose beginning nobody can read
    done = instrument.archq("cancel", str(request), status=ExitStatus.INPUT_OUTPUT)
    assert done.stderr == f"archq: cannot use {record}: Input/output error\n"


def test_a_damaged_control_file_is_said_to_be_one(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    request = instrument.submit()
    os.truncate(instrument.spool.place(QUEUED, str(request), "1.cf"), 50)
    with pytest.raises(MalformedError, match="no complete check= line yet"):
        instrument.spool.files(QUEUED, request)


def test_what_a_dead_writer_said_last_is_durable_before_it_is_acted_upon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument = Instrument.at(tmp_path)
    request, spool = instrument.submit(), instrument.spool
    (file,) = spool.files(QUEUED, request)
    append, synced = durable.append_line, []
    with monkeypatch.context() as patch:
        patch.setattr(durable, "append_line", lambda *words: append(*words, synced=False))  # killed before the fsync
        spool.record(file, replace(file.state, phase=Phase.SENT))
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.readlink(f"/proc/self/fd/{descriptor}")))
    spool.move(request, QUEUED, SENT)
    assert synced[0] == spool.place(QUEUED, str(request), JOURNAL)


def test_what_happens_is_told_in_lines_that_can_be_read_back(spool: Spool) -> None:
    spool.tell("sent", {"name": "two words\n.fits"})
    [log] = Path(spool.place("log")).iterdir()
    [line] = log.read_bytes().splitlines(keepends=True)
    assert (parse_outcome(line).outcome, parse_outcome(line).facts) == ("sent", {"name": "two words\n.fits"})


# Drafts.


def test_a_draft_that_is_given_up_leaves_nothing(spool: Spool) -> None:
    with contextlib.suppress(KeyboardInterrupt), spool.draft() as draft:
        draft.write("1.df", b"light")
        assert os.listdir(spool.place(BUILDING)) == [os.path.basename(draft.path)]
        raise KeyboardInterrupt
    assert os.listdir(spool.place(BUILDING)) == []


@pytest.mark.parametrize(("age", "left"), [(0.0, 1), (DEAD_WRITER_AGE - 60, 1), (DEAD_WRITER_AGE + 60, 0)])
def test_a_draft_whose_writer_is_dead_is_cleared_when_it_is_old(spool: Spool, age: float, left: int) -> None:
    def die() -> None:
        building = spool.draft()
        draft = building.__enter__()
        draft.write("1.df", b"light")
        os.utime(draft.path, (time.time() - age,) * 2)
        os._exit(0)

    in_processes(die)
    spool.clear_dead_drafts(time.time())
    assert len(os.listdir(spool.place(BUILDING))) == left


def test_a_draft_whose_writer_takes_hours_is_left_alone(spool: Spool) -> None:
    with spool.draft() as draft:
        os.utime(draft.path, (0, 0))
        in_processes(lambda: Spool(spool.root).clear_dead_drafts(time.time()))
        draft.write("1.df", b"light")
        assert os.listdir(draft.path) == ["1.df"]


# Accounts.


def modes(root: str) -> Counter[tuple[str, str]]:
    """Return how many directories and other files have which mode, the root itself left out."""
    return Counter(
        ("directory" if path.is_dir() else "file", f"{stat.S_IMODE(path.lstat().st_mode):04o}")
        for path in Path(root).rglob("*")
    )


@pytest.fixture(params=[0o000, 0o077, 0o777], ids=["umask 000", "umask 077", "umask 777"])
def any_umask(request: pytest.FixtureRequest):
    before = os.umask(request.param)
    yield
    os.umask(before)


def shipped(instrument: Instrument) -> None:
    """Do everything once that leaves something in a spool."""
    sent, queued = instrument.submit("img0001.fits", "img0002.fits"), instrument.submit()
    cancel(instrument.spool, queued)
    instrument.spool.hold_queue("other", "for a while")
    with instrument.spool.own_queue("archive"):
        Shipper(instrument.spool, instrument.config.queues["archive"], complain=print).ship_once()
    assert instrument.spool.find(sent)[0] == SENT
    assert list(report(instrument.config, instrument.spool, None, [], everything=True))


def test_a_private_spool_is_nobody_elses(tmp_path: Path, any_umask: None) -> None:
    (tmp_path / "home").mkdir(0o755)
    os.chmod(tmp_path / "home", 0o755)
    instrument = prepared(tmp_path / "home")
    shipped(instrument)
    assert set(modes(instrument.spool.root)) == {("directory", "0700"), ("file", "0600")}
    assert stat.S_IMODE(os.stat(instrument.spool.root).st_mode) == 0o700


def prepared(home: Path) -> Instrument:
    umask = os.umask(0o022)
    instrument = Instrument.at(home)
    instrument.frame("img0001.fits")
    os.umask(umask)
    for path in home.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    return instrument


def test_in_a_shared_spool_everything_is_the_groups(tmp_path: Path, any_umask: None) -> None:
    require(AS_ROOT, "only root can give a directory to another group")
    (tmp_path / "home").mkdir(0o755)
    os.chmod(tmp_path / "home", 0o755)
    instrument = prepared(tmp_path / "home")
    group = grp.getgrnam("users").gr_gid
    (tmp_path / "home" / "spool").mkdir()
    os.chown(tmp_path / "home" / "spool", -1, group)
    os.chmod(tmp_path / "home" / "spool", 0o2770)
    shipped(instrument)
    assert set(modes(instrument.spool.root)) == {("directory", "2770"), ("file", "0660")}
    assert {path.stat().st_gid for path in Path(instrument.spool.root).rglob("*")} == {group}


def as_user(uid: int, group: int, task: Callable[[], object]) -> Callable[[], object]:
    def become_and_do() -> object:
        os.setgroups([group])
        os.setgid(uid)
        os.setuid(uid)
        os.umask(0o077)
        return task()

    return become_and_do


def test_accounts_of_a_group_see_and_cancel_each_others_requests(tmp_path: Path) -> None:
    require(AS_ROOT, "only root can become other users")
    home = tmp_path / "home"
    home.mkdir()
    instrument = prepared(home)
    group = grp.getgrnam("users").gr_gid
    os.makedirs(home / "spool")
    os.chown(home / "spool", -1, group)
    os.chmod(home / "spool", 0o2770)
    os.chmod(home / "incoming", 0o777)
    for parent in (home, *home.parents):
        if parent.stat().st_uid == 0 and parent != Path("/tmp") and not parent.stat().st_mode & stat.S_IXOTH:
            parent.chmod(0o711)
    config = instrument.config  # read while we may read the libraries it takes
    frame = str(home / "data" / "img0001.fits")
    in_processes(as_user(64_001, group, lambda: [submit([frame], config=config) for _ in range(3)]))
    in_processes(as_user(64_002, group, lambda: cancel(Spool(config.spool), RequestId(1, "archive"))))
    in_processes(as_user(64_002, group, lambda: submit([frame], config=config)))
    in_processes(as_user(64_003, group, lambda: ship_once(config, "archive", complain=print)))
    assert [str(one) for one in instrument.spool.requests(SENT)] == ["archive-2", "archive-3", "archive-4"]
    assert [str(one) for one in instrument.spool.requests(CANCELLED)] == ["archive-1"]
    in_processes(as_user(64_009, 64_009, lambda: must_not_open(config.spool)))


def must_not_open(root: str) -> None:
    with pytest.raises(ArchqError, match="cannot use the spool") as caught:
        Spool(root)
    assert caught.value.status is ExitStatus.NOT_PERMITTED


# Spools that cannot be.


def a_file(path: Path) -> None:
    path.write_text("")


def a_dangling_link(path: Path) -> None:
    path.symlink_to(path.parent / "nowhere" / "at" / "all")


@pytest.mark.parametrize("make", [a_file, a_dangling_link])
def test_a_spool_that_cannot_be_made_is_an_error(tmp_path: Path, make: Callable[[Path], None]) -> None:
    make(tmp_path / "spool")
    with pytest.raises(ArchqError, match=f"cannot use the spool {tmp_path / 'spool'}: ") as caught:
        Spool(str(tmp_path / "spool"))
    assert caught.value.status is ExitStatus.CANNOT_CREATE


def test_a_spool_is_made_with_all_its_parents(tmp_path: Path) -> None:
    root = tmp_path / "a" / "b" / "spool"
    Spool(str(root))
    assert {stat.S_IMODE(path.stat().st_mode) for path in (root, root.parent, root.parent.parent)} == {0o700}


def test_several_processes_can_make_a_spool_at_once(tmp_path: Path) -> None:
    root = str(tmp_path / "a" / "spool")
    in_processes(*[lambda: Spool(root).next_number()] * 4)
    assert Spool(root).last_number() == 4
