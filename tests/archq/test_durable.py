"""Files survive: what is written is whole or absent, and nothing planted is opened in its place."""

from __future__ import annotations

import contextlib
import errno
import os
import resource
import signal
import socket
import stat
import subprocess
import sys
import threading
import unittest.mock
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archq import durable
from archq.durable import NotARegularFileError
from archq.errors import ExitStatus, MalformedError, from_os_error
from archq.transferlog import Outcome, format_outcome, parse_outcome
from tests.requirements import require
from tests.tools import tool

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(autouse=True)
def no_descriptor_is_left_open():
    before = len(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) <= before  # others, from before, may be collected meanwhile


def test_a_regular_file_is_opened(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    with opened(tmp_path / "file") as file:
        assert file.read() == b"content"


def opened(name, **arguments):
    return os.fdopen(durable.open_unfollowed(name, **arguments), "rb")


def test_a_file_is_opened_below_a_directory_that_may_have_moved(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "here" / "file").write_bytes(b"content")
    with durable.opened_directory(tmp_path / "here") as directory:
        (tmp_path / "here").rename(tmp_path / "there")
        with opened("file", directory=directory) as file:
            assert file.read() == b"content"


@pytest.mark.parametrize("target", ["file", "missing", "link", "."])
def test_a_symbolic_link_is_not_followed(tmp_path: Path, target: str) -> None:
    (tmp_path / "file").write_bytes(b"content")
    (tmp_path / "link").symlink_to(target)
    with pytest.raises(OSError) as caught:
        durable.open_unfollowed(tmp_path / "link")
    assert caught.value.errno == errno.ELOOP


def fifo(path: Path) -> None:
    os.mkfifo(path)


def unix_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


@pytest.mark.parametrize("plant", [fifo, unix_socket, Path.mkdir])
def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path, plant) -> None:
    plant(tmp_path / "planted")
    with pytest.raises(NotARegularFileError, match=r"not a regular file: .*planted") as caught:
        durable.open_unfollowed(tmp_path / "planted")
    told = from_os_error(caught.value, "read planted")
    assert (told.status, str(told)) == (ExitStatus.NO_INPUT, "cannot read planted: not a regular file")


def test_a_device_is_refused_too() -> None:
    with pytest.raises(NotARegularFileError, match=r"not a regular file: '/dev/null'"):
        durable.open_unfollowed("/dev/null")


def test_a_missing_file_is_missing(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        durable.open_unfollowed(tmp_path / "missing")


def test_a_new_file_replaces_nothing(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"mine")
    (tmp_path / "dangling").symlink_to("elsewhere")
    for name in ("taken", "dangling"):
        with pytest.raises(FileExistsError):
            durable.write_new(tmp_path / name, b"theirs")
    assert (tmp_path / "taken").read_bytes() == b"mine"
    assert not (tmp_path / "elsewhere").exists()


def test_a_new_file_is_its_owners_alone_unless_said_otherwise(tmp_path: Path) -> None:
    durable.write_new(tmp_path / "private", b"x")
    durable.write_new(tmp_path / "public", b"x", 0o644)
    assert stat.S_IMODE((tmp_path / "private").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "public").stat().st_mode) == 0o644


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "state"
    durable.write_over(str(path), b"first")
    with path.open("rb") as reader:
        durable.write_over(str(path), b"second, and longer")
        assert reader.read() == b"first"
    assert path.read_bytes() == b"second, and longer"
    assert os.listdir(tmp_path) == ["state"]


def test_a_dead_writers_leftover_does_not_hinder_the_next(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"first")
    (tmp_path / "state.new").write_bytes(b"hal")
    durable.write_over(str(tmp_path / "state"), b"second")
    assert (tmp_path / "state").read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["state"]


SCRIPT = "import sys; from archq import durable; "


CALLS = [("write", 1), ("fsync", 1), ("rename", 1)]
REPLACE = (
    "import os\ntry:\n    durable.write_over(sys.argv[1], b'new')\nexcept OSError as error:\n    os._exit(error.errno)"
)


@pytest.fixture
def state(tmp_path: Path) -> Path:
    (tmp_path / "states").mkdir()
    (tmp_path / "states" / "state").write_bytes(b"old")
    return tmp_path / "states" / "state"


def replaced_under(rule: str, state: Path) -> int:
    """Replace ``state`` in another process while strace follows ``rule`` for the files beside it; return its status."""
    watched = [word for path in (state, f"{state}.new", state.parent) for word in ("-P", path)]
    quiet = [tool("strace"), "-qq", "-o", state.parents[1] / "trace"]
    require(subprocess.run([*quiet, "true"], check=False).returncode == 0, "strace may not trace here")
    return subprocess.run(
        [*quiet, *watched, "-e", rule, sys.executable, "-c", SCRIPT + REPLACE, state], check=False
    ).returncode


@pytest.mark.parametrize(("call", "nth"), [*CALLS, ("fsync", 2)])
def test_a_writer_that_is_killed_leaves_the_old_or_the_new_file(state: Path, call: str, nth: int) -> None:
    assert replaced_under(f"inject={call}:signal=SIGKILL:when={nth}", state) == -signal.SIGKILL
    assert state.read_bytes() in {b"old", b"new"}
    durable.write_over(str(state), b"newest")
    assert state.read_bytes() == b"newest"


@pytest.mark.parametrize(("call", "nth"), CALLS)
def test_a_call_that_fails_leaves_the_old_file_and_says_so(state: Path, call: str, nth: int) -> None:
    assert replaced_under(f"inject={call}:error=ENOSPC:when={nth}", state) == errno.ENOSPC
    assert state.read_bytes() == b"old"


def test_a_name_that_may_not_be_durable_is_an_error(state: Path) -> None:
    assert replaced_under("inject=fsync:error=EIO:when=2", state) == errno.EIO


def test_directories_are_made_with_their_mode_whatever_the_umask(tmp_path: Path) -> None:
    umask = os.umask(0o077)
    try:
        durable.make_directory(str(tmp_path / "a" / "b"), 0o755)
    finally:
        os.umask(umask)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o755
    assert stat.S_IMODE((tmp_path / "a" / "b").stat().st_mode) == 0o755


def test_a_directory_that_is_there_keeps_its_mode_and_content(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir(0o750)
    (tmp_path / "a" / "file").touch()
    durable.make_directory(str(tmp_path / "a"), 0o700)
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o750
    assert (tmp_path / "a" / "file").exists()


@pytest.mark.parametrize("name", ["file", "dangling"])
def test_what_stands_in_the_place_of_a_directory_is_an_error(tmp_path: Path, name: str) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "dangling").symlink_to("missing")
    with pytest.raises(FileExistsError):
        durable.make_directory(str(tmp_path / name))


def test_a_directory_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    durable.make_directory("a/b")
    assert (tmp_path / "a" / "b").is_dir()


def test_a_directory_behind_a_symbolic_link_is_as_good_as_any(tmp_path: Path) -> None:
    (tmp_path / "disk2").mkdir()
    link = tmp_path / "data"
    link.symlink_to("disk2")
    durable.sync_directory(link)
    durable.make_directory(str(link / "spool"))
    durable.write_over(str(link / "state"), b"content")
    durable.append_line(str(link / "log"), b"line\n")
    assert sorted(os.listdir(tmp_path / "disk2")) == ["log", "spool", "state"]


def test_a_hostile_directory_is_not_opened_behind_a_symbolic_link(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with pytest.raises(OSError) as caught, durable.opened_directory(tmp_path / "link"):
        pytest.fail("followed the link")
    assert caught.value.errno in {errno.ELOOP, errno.ENOTDIR}


def test_a_directory_is_moved_to_a_free_name_only(tmp_path: Path) -> None:
    for name in ("building", "taken"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_text(name)
    with pytest.raises(OSError) as caught:
        durable.move_new(str(tmp_path / "building"), str(tmp_path / "taken"))
    assert caught.value.errno in {errno.ENOTEMPTY, errno.EEXIST}
    durable.move_new(str(tmp_path / "building"), str(tmp_path / "queued"))
    assert (tmp_path / "queued" / "file").read_text() == "building"
    assert (tmp_path / "taken" / "file").read_text() == "taken"


def test_lines_of_several_processes_at_once_are_all_there_and_whole(tmp_path: Path) -> None:
    log = tmp_path / "log"
    script = "[durable.append_line(sys.argv[1], (sys.argv[2] * 5000 + '\\n').encode()) for _ in range(10)]"
    writers = [subprocess.Popen([sys.executable, "-c", SCRIPT + script, log, letter]) for letter in "abcd"]
    assert [writer.wait() for writer in writers] == [0, 0, 0, 0]
    lines = log.read_text().split("\n")
    assert lines.pop() == ""
    assert sorted(lines) == sorted(letter * 5000 for letter in "abcd" for _ in range(10))


def test_a_lock_that_cannot_be_had_names_its_file(tmp_path: Path) -> None:
    descriptor = os.open(tmp_path, os.O_PATH)  # which flock(2) does not take
    try:
        with pytest.raises(OSError) as caught:
            durable.lock(descriptor)
    finally:
        os.close(descriptor)
    assert str(from_os_error(caught.value, "lock")) == "cannot lock: Bad file descriptor"
    assert caught.value.filename == str(tmp_path)


@pytest.mark.parametrize("call", ["pread", "fstat", "close"])
def test_what_fails_at_an_open_log_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    log, real = tmp_path / "log", getattr(os, call)
    log.write_bytes(b"whole\n")

    def broken(descriptor: int, *words: int) -> object:
        is_log = os.readlink(f"/proc/self/fd/{descriptor}") == str(log)
        real(descriptor, *words)  # close(2) frees the descriptor whatever it answers
        if is_log:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, *words) if call != "close" else None

    monkeypatch.setattr(os, call, broken)
    with pytest.raises(OSError) as caught:
        durable.append_line(str(log), b"line\n")
    monkeypatch.undo()
    assert (caught.value.errno, caught.value.filename) == (errno.EIO, str(log))


def test_a_line_after_an_unfinished_one_begins_afresh(tmp_path: Path) -> None:
    log = tmp_path / "log"
    log.write_bytes(b"whole\nunfin")
    durable.append_line(str(log), b"next\n")
    durable.append_line(str(log), b"last\n")
    assert log.read_bytes() == b"whole\nunfin (cut short)\nnext\nlast\n"


def test_what_a_dead_writer_left_of_an_outcome_is_never_taken_for_a_whole_one(tmp_path: Path) -> None:
    facts = {"wire": "minicam.01jd3v5t8n3q4r5s6t7v8w9x0y.1.df", "size": "8388608", "path": "M 31%.fits"}
    whole = format_outcome(Outcome(time=0, outcome="filed", facts=facts))
    for length in range(1, len(whole)):
        log = tmp_path / f"log{length}"
        log.write_bytes(whole[:length])
        durable.append_line(str(log), whole)
        cut, last = log.read_bytes().splitlines(keepends=True)
        assert last == whole
        with pytest.raises(MalformedError):
            parse_outcome(cut)


def test_the_name_of_a_new_log_is_durable_before_its_first_line(tmp_path: Path) -> None:
    log = tmp_path / "log"
    unplugged = unittest.mock.patch.object(durable, "sync_directory", side_effect=OSError(errno.EIO, "unplugged"))
    with unplugged, pytest.raises(OSError, match=r"unplugged"):
        durable.append_line(str(log), b"line\n")
    assert log.read_bytes() == b""


def test_a_log_is_not_written_through_a_planted_link(tmp_path: Path) -> None:
    (tmp_path / "log").symlink_to("elsewhere")
    with pytest.raises(OSError) as caught:
        durable.append_line(str(tmp_path / "log"), b"line\n")
    assert caught.value.errno == errno.ELOOP
    assert not (tmp_path / "elsewhere").exists()


HOLD = "import time\nwith durable.locked(sys.argv[1]):\n    print('held', flush=True)\n    time.sleep(600)"


def test_a_lock_is_held_by_one_and_freed_when_its_holder_is_killed(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with subprocess.Popen([sys.executable, "-c", SCRIPT + HOLD, path], stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(BlockingIOError), durable.locked(path, wait=False):
            pytest.fail("two hold the lock")
        holder.kill()
        with durable.locked(path):  # waits until the kernel has freed it
            assert holder.wait() == -signal.SIGKILL


def test_a_lock_is_free_again_after_its_block(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with pytest.raises(RuntimeError), durable.locked(path):
        raise RuntimeError
    with durable.locked(path, wait=False), pytest.raises(BlockingIOError), durable.locked(path, wait=False):
        pytest.fail("two hold the lock")


def test_a_lock_is_not_inherited_by_programs_that_its_holder_starts(tmp_path: Path) -> None:
    path = str(tmp_path / "lock")
    with durable.locked(path):
        child = subprocess.Popen(["sleep", "600"])
    try:
        with durable.locked(path, wait=False):
            assert child.poll() is None
    finally:
        child.kill()
        child.wait()


def refusing(number: int):
    """Stand in for renameat2(2) on a filesystem that does not know its flag."""

    def rename(*_names: object) -> None:
        raise OSError(number, os.strerror(number))

    return rename


WITHOUT_THE_FLAG = [
    pytest.param(errno.EINVAL, id="NFS"),
    pytest.param(errno.ENOSYS, id="an old kernel"),
]


@pytest.mark.parametrize("missing", [None, *WITHOUT_THE_FLAG])
def test_a_rename_to_a_free_name_moves_the_file(tmp_path: Path, monkeypatch, missing: int | None) -> None:
    if missing:
        monkeypatch.setattr(durable, "_rename_no_replace", refusing(missing))
    (tmp_path / "old").write_bytes(b"content")
    durable.rename_new(tmp_path / "old", tmp_path / "new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"new": b"content"}


@pytest.mark.parametrize("missing", [None, *WITHOUT_THE_FLAG])
def test_a_rename_to_a_taken_name_replaces_nothing(tmp_path: Path, monkeypatch, missing: int | None) -> None:
    if missing:
        monkeypatch.setattr(durable, "_rename_no_replace", refusing(missing))
    (tmp_path / "old").write_bytes(b"content")
    (tmp_path / "new").write_bytes(b"other content")
    with pytest.raises(FileExistsError):
        durable.rename_new(tmp_path / "old", tmp_path / "new")
    assert (tmp_path / "old").read_bytes() == b"content"
    assert (tmp_path / "new").read_bytes() == b"other content"


@pytest.mark.parametrize("missing", [None, *WITHOUT_THE_FLAG])
def test_a_rename_of_a_planted_link_moves_the_link(tmp_path: Path, monkeypatch, missing: int | None) -> None:
    if missing:
        monkeypatch.setattr(durable, "_rename_no_replace", refusing(missing))
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "old").symlink_to("secret")
    durable.rename_new(tmp_path / "old", tmp_path / "new")
    assert os.readlink(tmp_path / "new") == "secret"
    assert (tmp_path / "secret").stat().st_nlink == 1


@pytest.mark.parametrize("missing", [None, *WITHOUT_THE_FLAG])
def test_a_directory_is_renamed_to_a_free_name_only(tmp_path: Path, monkeypatch, missing: int | None) -> None:
    if missing:
        monkeypatch.setattr(durable, "_rename_no_replace", refusing(missing))
    (tmp_path / "old").mkdir()
    (tmp_path / "old" / "file").write_bytes(b"content")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileExistsError):
        durable.rename_new(tmp_path / "old", tmp_path / "empty")
    durable.rename_new(tmp_path / "old", tmp_path / "new")
    assert (tmp_path / "new" / "file").read_bytes() == b"content"


def test_a_rename_of_what_is_gone_says_so(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        durable.rename_new(tmp_path / "old", tmp_path / "new")


def test_a_rename_whose_reply_was_lost_has_happened(tmp_path: Path, monkeypatch) -> None:
    def losing(source, target, *_directories: object) -> None:
        os.rename(source, target)
        raise OSError(errno.EIO, "no reply")

    monkeypatch.setattr(durable, "_rename_no_replace", losing)
    (tmp_path / "old").write_bytes(b"content")
    durable.rename_new(tmp_path / "old", tmp_path / "new")
    assert (tmp_path / "new").read_bytes() == b"content"


def test_an_unlink_after_a_link_whose_reply_was_lost_has_happened(tmp_path: Path, monkeypatch) -> None:
    real_unlink = os.unlink

    def losing(*names, **directories) -> None:
        real_unlink(*names, **directories)
        raise OSError(errno.EIO, "no reply")

    monkeypatch.setattr(durable, "_rename_no_replace", refusing(errno.EINVAL))
    monkeypatch.setattr(os, "unlink", losing)
    (tmp_path / "old").write_bytes(b"content")
    durable.rename_new(tmp_path / "old", tmp_path / "new")
    assert [path.name for path in tmp_path.iterdir()] == ["new"]


@pytest.mark.parametrize("number", [errno.EIO, errno.ENOENT])
def test_a_file_is_written_over_though_the_reply_of_the_rename_was_lost(tmp_path: Path, monkeypatch, number) -> None:
    real_rename = os.rename

    def losing(source, target) -> None:
        real_rename(source, target)
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "rename", losing)
    (tmp_path / "state").write_bytes(b"before")
    durable.write_over(str(tmp_path / "state"), b"after")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"state": b"after"}


def test_a_link_whose_reply_was_lost_has_happened(tmp_path: Path, monkeypatch) -> None:
    real_link = os.link

    def losing(*names, **directories) -> None:
        real_link(*names, **directories)
        raise FileExistsError(errno.EEXIST, "asked for twice")

    monkeypatch.setattr(durable, "_rename_no_replace", refusing(errno.EINVAL))
    monkeypatch.setattr(os, "link", losing)
    (tmp_path / "old").write_bytes(b"content")
    durable.rename_new(tmp_path / "old", tmp_path / "new")
    assert {path.name: path.stat().st_nlink for path in tmp_path.iterdir()} == {"new": 1}


def test_of_many_takers_one_gets_the_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    for taker in ("first", "second"):
        (tmp_path / taker).mkdir()
    with (
        durable.opened_directory(tmp_path) as here,
        durable.opened_directory(tmp_path / "first") as first,
        durable.opened_directory(tmp_path / "second") as second,
    ):
        assert durable.take("file", source_directory=here, target_directory=first)
        assert not durable.take("file", source_directory=here, target_directory=second)


def test_a_log_keeps_all_of_its_new_lines_or_none(tmp_path: Path, monkeypatch) -> None:
    log = tmp_path / "log"
    durable.append_line(str(log), b"first\n")
    monkeypatch.setattr(durable, "sync", unittest.mock.Mock(side_effect=OSError(errno.EIO, "lost power")))
    with pytest.raises(OSError, match="lost power"):
        durable.append_line(str(log), b"second\nthird\n")
    assert log.read_bytes() == b"first\n"


def test_a_whole_filesystem_is_synced_where_the_system_can(tmp_path: Path) -> None:
    require(durable.can_sync_filesystem(), "this C library has no syncfs")
    with durable.opened_directory(tmp_path) as directory:
        durable.sync_filesystem(directory)
    with pytest.raises(OSError, match="Bad file descriptor"):
        durable.sync_filesystem(-1)


def mounted(path: Path, kind: str, options: str) -> str:
    """Return a line of /proc/self/mountinfo for the filesystem of ``path``."""
    device = path.stat().st_dev
    return f"36 35 {os.major(device)}:{os.minor(device)} / /x rw - {kind} server:/x {options}\n"


@pytest.mark.parametrize(
    ("kind", "options", "sound"),
    [
        ("ext4", "rw", True),
        ("nfs4", "rw,vers=4.2,local_lock=none", True),
        ("nfs", "rw,vers=3,nolock,local_lock=none", False),
        ("nfs", "rw,vers=3,local_lock=all", False),
        ("nfs4", "rw,local_lock=flock", False),
        ("fuse.sshfs", "rw", False),
        ("cifs", "rw", False),
    ],
)
def test_a_lock_is_believed_only_where_everybody_sees_it(tmp_path: Path, kind: str, options: str, sound: bool) -> None:
    (tmp_path / "table").write_text("1 2 0:0 / / rw - proc proc rw\n" + mounted(tmp_path, kind, options))
    assert durable.locks_reach_everybody(str(tmp_path), table=str(tmp_path / "table")) is sound


def test_a_disk_of_this_machine_has_sound_locks(tmp_path: Path) -> None:
    assert durable.locks_reach_everybody(str(tmp_path))
    assert durable.locks_reach_everybody(str(tmp_path), table=str(tmp_path / "missing"))


def test_a_lock_by_name_keeps_processes_apart(tmp_path: Path) -> None:
    counter, lock = tmp_path / "counter", str(tmp_path / "lock")
    counter.write_text("0")
    children = []
    for _ in range(4):
        if not (child := os.fork()):
            for _ in range(5):
                with durable.locked_by_name(lock):
                    counter.write_text(str(int(counter.read_text()) + 1))
            os._exit(0)
        children.append(child)
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * 4
    assert counter.read_text() == "20"
    assert [path.name for path in tmp_path.iterdir()] == ["counter"]


def test_a_lock_by_name_whose_holder_died_is_broken_when_it_is_old(tmp_path: Path) -> None:
    (tmp_path / "lock").touch()
    os.utime(tmp_path / "lock", (1, 1))
    with durable.locked_by_name(str(tmp_path / "lock")):
        assert (tmp_path / "lock").stat().st_nlink == 2
    assert list(tmp_path.iterdir()) == []


def test_a_fresh_lock_by_name_that_was_moved_away_in_error_is_given_back(tmp_path: Path, monkeypatch) -> None:
    """The stale one that was looked at has been broken by another, who holds the lock now."""
    (tmp_path / "lock").touch()
    os.utime(tmp_path / "lock", (1, 1))
    real = os.rename

    def late(source, target) -> None:
        (tmp_path / "lock").unlink()
        (tmp_path / "lock").write_text("fresh")
        real(source, target)

    monkeypatch.setattr(os, "rename", late)
    durable._break_stale_lock(str(tmp_path / "lock"), str(tmp_path / "own"), 1e9)
    assert [path.name for path in tmp_path.iterdir()] == ["lock"]
    assert (tmp_path / "lock").read_text() == "fresh"


@pytest.mark.parametrize("count", [3, 500])
def test_many_names_are_removed_and_no_other(tmp_path: Path, count: int) -> None:
    names = [f"{number}" for number in range(count)]
    for name in (*names, "kept"):
        (tmp_path / name).touch()
    with durable.opened_directory(tmp_path) as directory:
        durable.remove_all([*names, "already gone"], directory=directory)
    assert os.listdir(tmp_path) == ["kept"]


@pytest.mark.parametrize("count", [3, 500])
def test_a_name_of_many_that_cannot_be_removed_is_told(tmp_path: Path, count: int) -> None:
    for number in range(count - 1):
        (tmp_path / f"{number}").touch()
    (tmp_path / f"{count - 1}").mkdir()
    with durable.opened_directory(tmp_path) as directory, pytest.raises(IsADirectoryError):
        durable.remove_all([f"{number}" for number in range(count)], directory=directory)


def test_many_names_are_removed_where_no_thread_can_be_had(tmp_path: Path, monkeypatch) -> None:
    def refuse(_thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    names = [f"{number}.df" for number in range(500)]
    for name in names:
        (tmp_path / name).touch()
    monkeypatch.setattr(threading.Thread, "start", refuse)
    with durable.opened_directory(tmp_path) as directory:
        durable.remove_all(names, directory=directory)
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("call", ["fsync", "write", "fchmod"])
def test_an_error_at_an_open_file_names_it(tmp_path: Path, monkeypatch, call: str) -> None:
    def refuse(*_: object) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, call, refuse)
    with pytest.raises(OSError) as caught:
        durable.write_new(tmp_path / "record", b"content")
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "record"))


def test_a_file_that_cannot_be_written_over_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "state"
    path.write_bytes(b"before")
    with small_files(5), pytest.raises(OSError, match="too large"):
        durable.write_over(str(path), b"longer than that")
    assert path.read_bytes() == b"before"
    assert os.listdir(tmp_path) == ["state"]


@contextlib.contextmanager
def small_files(size: int) -> Iterator[None]:
    """Let no file grow beyond ``size`` bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
