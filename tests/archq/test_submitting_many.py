"""Many files in one request: one wait for the disk instead of one for each file, and the same promise."""

from __future__ import annotations

import errno
import os
import resource
from typing import TYPE_CHECKING, Any

import pytest

from archq import durable
from archq.errors import InputOutputError
from archq.spool import QUEUED, SYNCED_TOGETHER
from tests.archq.instrument import Instrument
from tests.requirements import require

if TYPE_CHECKING:
    from pathlib import Path

NAMES = [f"img{number:04d}.fits" for number in range(SYNCED_TOGETHER)]


@pytest.fixture
def instrument(tmp_path: Path) -> Instrument:
    require(durable.can_sync_filesystem(), "this system cannot sync a filesystem and tell errors")
    return Instrument.at(tmp_path)


def watched(monkeypatch: pytest.MonkeyPatch, *names: str) -> list[str]:
    """Let the functions ``names`` of durable do their work, and note which were called."""
    called: list[str] = []

    def noting(name: str) -> Any:
        original = getattr(durable, name)
        return lambda *words, **more: (called.append(name), original(*words, **more))[1]

    for name in names:
        monkeypatch.setattr(durable, name, noting(name))
    return called


def test_all_of_it_is_on_the_disk_before_it_is_queued(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    called = watched(monkeypatch, "create", "sync_filesystem", "move_new", "sync_directory")
    request = instrument.submit(*NAMES)
    commit = called.index("sync_filesystem")
    assert called[commit : commit + 3] == ["sync_filesystem", "move_new", "sync_directory"]
    assert len(instrument.spool.files(QUEUED, request)) == len(NAMES)


def test_a_few_files_are_written_first_and_synced_then_each(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = NAMES[:2]
    instrument.submit()  # the spool is made
    called = watched(monkeypatch, "create", "begin_writing", "sync", "move_new", "sync_directory")
    instrument.submit(*names)
    files = 2 * len(names) + 1
    directories = ["sync", "move_new", "sync_directory", "sync"]
    assert called == [*["create", "begin_writing"] * files, *["sync"] * files, *directories]


def test_the_disk_begins_with_a_large_file_while_it_is_copied(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    instrument.submit()
    called = watched(monkeypatch, "begin_writing", "sync")
    instrument.submit_content(bytes(5 << 20))
    assert called[:7] == ["begin_writing"] * 7  # five times the data, the control file and the record


def test_no_file_stays_open_when_one_cannot_be_kept(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    instrument.submit()
    before = os.listdir("/proc/self/fd")

    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(durable, "sync", fail)
    with pytest.raises(InputOutputError, match=r"Input/output error; nothing was queued"):
        instrument.submit(*NAMES[:3])
    assert os.listdir("/proc/self/fd") == before
    assert os.listdir(instrument.spool.place("building")) == []


def test_a_disk_that_cannot_keep_it_leaves_nothing(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(descriptor: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(durable, "sync_filesystem", fail)
    with pytest.raises(InputOutputError, match=r"Input/output error; nothing was queued"):
        instrument.submit(*NAMES)
    assert instrument.spool.requests(QUEUED) == []
    assert os.listdir(instrument.spool.place("building")) == []


@pytest.mark.parametrize(
    ("release", "tells"), [("5.7.19", False), ("5.8.0-rc1", True), ("6.18.44-cloud", True), ("unknown", False)]
)
def test_an_old_kernel_that_keeps_errors_to_itself_is_not_relied_on(
    monkeypatch: pytest.MonkeyPatch, release: str, tells: bool
) -> None:
    system = os.uname_result(("Linux", "host", release, "#1", "x86_64"))
    monkeypatch.setattr(os, "uname", lambda: system)
    assert durable.can_sync_filesystem() is tells


def test_as_many_files_as_one_likes_need_few_descriptors_where_each_is_synced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "can_sync_filesystem", lambda: False)  # Linux before 5.8: RHEL 8, CentOS 7
    names = [f"img{number:04d}.fits" for number in range(300)]
    instrument = Instrument.at(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(map(int, os.listdir("/proc/self/fd"))) + 200, hard))
    try:
        request = instrument.submit(*names)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert len(instrument.spool.files(QUEUED, request)) == len(names)


def test_every_one_of_many_files_is_synced_before_they_are_queued(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(durable, "can_sync_filesystem", lambda: False)
    instrument = Instrument.at(tmp_path)
    instrument.submit()  # the spool is made
    synced: list[str] = []
    original = durable.sync
    monkeypatch.setattr(
        durable, "sync", lambda file: (synced.append(os.readlink(f"/proc/self/fd/{file}")), original(file))
    )
    instrument.submit(*(f"img{number:04d}.fits" for number in range(100)))
    files = [os.path.basename(path) for path in synced[: synced.index(instrument.spool.place(QUEUED))]]
    wanted = [f"{part}.{kind}" for part in range(1, 101) for kind in ("df", "cf")]
    assert sorted(files[:-1]) == sorted([*wanted, "request"])
