"""How a file gets into the archive: without a copy where nobody else can write it, else copied while it is summed."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archq import durable
from archq.errors import ExitStatus
from sweeper import journal
from tests.servers.debian import fetched
from tests.servers.process import UnavailableError
from tests.sweeper.accounts import UPLOADER
from tests.sweeper.arrivals import MTIME, SILENT_SUCCESS, Site, control_file, new_site, wire_of

if TYPE_CHECKING:
    from collections.abc import Iterator

NIGHT = "2026.1120"
FILED = f"{NIGHT}/img0001.fits"


@pytest.fixture
def ours(tmp_path: Path) -> Site:
    return new_site(tmp_path)


def inode(path: Path) -> int:
    return path.stat().st_ino


def data_of(site: Site, control) -> Path:
    return site.incoming / str(wire_of(control))


def test_our_own_upload_is_renamed_and_not_copied(ours: Site) -> None:
    control = ours.arrive(b"content")
    arrived = inode(data_of(ours, control))
    assert ours.sweep("-i", "minicam") == SILENT_SUCCESS
    filed = (ours.archive / FILED).stat()
    assert filed.st_ino == arrived
    assert (filed.st_mtime_ns, filed.st_mode & 0o7777, filed.st_nlink) == (MTIME, 0o444, 1)


def test_an_upload_of_another_account_is_copied(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can make the uploads of others")
    site = new_site(tmp_path, uploader=UPLOADER)
    control = site.arrive(b"content")
    arrived = inode(data_of(site, control))
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    filed = (site.archive / FILED).stat()
    assert filed.st_ino != arrived
    assert (filed.st_uid, filed.st_mtime_ns, filed.st_mode & 0o7777, filed.st_nlink) == (0, MTIME, 0o444, 1)


def test_a_file_that_somebody_has_open_for_writing_is_copied(ours: Site) -> None:
    control = ours.arrive(b"content")
    arrived = inode(data_of(ours, control))
    with data_of(ours, control).open("r+b") as writer:
        assert ours.sweep("-i", "minicam") == SILENT_SUCCESS
        writer.write(b"CHANGED")
    assert inode(ours.archive / FILED) != arrived
    assert ours.archived() == {FILED: b"content"}


def test_the_disk_begins_with_a_large_file_while_it_is_copied(ours: Site, monkeypatch) -> None:
    content, begun, begin = os.urandom(20_000_000), [0], durable.begin_writing
    monkeypatch.setattr(durable, "begin_writing", lambda file, size: begun.append(size) or begin(file, size))
    with data_of(ours, ours.arrive(content)).open("r+b"):
        assert ours.sweep("-i", "minicam") == SILENT_SUCCESS
    assert ours.archived() == {FILED: content}
    assert sum(begun) > len(content) // 2
    assert max(begun) < len(content) // 2


def test_a_file_that_is_opened_for_writing_while_it_is_summed_is_copied(ours: Site, monkeypatch) -> None:
    control = ours.arrive(b"content")
    arrived = inode(data_of(ours, control))
    monkeypatch.setattr(durable, "without_writers", interrupted(durable.without_writers))
    assert ours.sweep("-i", "minicam") == SILENT_SUCCESS
    assert inode(ours.archive / FILED) != arrived
    assert ours.archived() == {FILED: b"content"}


def interrupted(real):
    """Stand in for a writer that comes after the first look."""

    class Lease:
        def __init__(self, descriptor: int) -> None:
            pass

        def __enter__(self):
            return lambda: False

        def __exit__(self, *_: object) -> None:
            pass

    return Lease


def test_a_lease_is_granted_until_somebody_writes(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"content")
    descriptor = durable.open_unfollowed(tmp_path / "file")
    try:
        with durable.without_writers(descriptor) as nobody_writes:
            assert nobody_writes()
            with pytest.raises(BlockingIOError):
                os.open(tmp_path / "file", os.O_WRONLY | os.O_NONBLOCK)
            assert not nobody_writes()
        with (tmp_path / "file").open("r+b"), durable.without_writers(descriptor) as nobody_writes:
            assert nobody_writes is None
    finally:
        os.close(descriptor)


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A directory on another filesystem than the tests' own."""
    with tempfile.TemporaryDirectory(dir="/dev/shm") as name:
        if os.stat(name).st_dev == os.stat(tempfile.gettempdir()).st_dev:
            pytest.skip("the temporary directory is in memory itself: set TMPDIR to a disk")
        yield Path(name)


def test_across_filesystems_files_are_copied(site: Site, elsewhere: Path) -> None:
    site.arrive(b"content")
    words = ["-f", str(site.incoming), "-d", str(elsewhere), "-i", "minicam"]
    assert site.run(*words) == SILENT_SUCCESS
    assert (elsewhere / FILED).read_bytes() == b"content"
    assert (elsewhere / FILED).stat().st_mtime_ns == MTIME
    assert sorted(path.name for path in (elsewhere / NIGHT).iterdir()) == ["img0001.fits"]


def test_where_a_rename_cannot_refuse_to_replace_links_do(site: Site, monkeypatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EINVAL, "as NFS says")

    monkeypatch.setattr(durable, "_rename_no_replace", refuse)
    site.arrive(b"content")
    site.arrive(b"other")
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.archived() == {FILED: b"content", f"{NIGHT}/img0001~2.fits": b"other"}
    assert all((site.archive / name).stat().st_nlink == 1 for name in site.archived())


def test_a_name_that_appears_at_the_last_moment_is_not_replaced(site: Site, monkeypatch) -> None:
    """Somebody else writes into the archive between the decision and the rename."""
    real = durable.rename_new

    def late(source, target, **directories) -> None:
        if target == "img0001.fits":
            (site.archive / FILED).write_bytes(b"theirs")
        real(source, target, **directories)

    monkeypatch.setattr(durable, "rename_new", late)
    site.arrive(b"content")
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.archived() == {FILED: b"theirs", f"{NIGHT}/img0001~2.fits": b"content"}
    assert site.outcomes() == ["conflict"]


def test_mode_owner_and_group_are_those_of_the_configuration(site: Site) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    site.configuration.write_text(
        '[instrument.minicam]\nmode = "0640"\ndirectory_mode = "0750"\nowner = "daemon"\ngroup = "bin"\n'
    )
    site.arrive(b"content")
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    for path, mode in ((site.archive / NIGHT, 0o750), (site.archive / FILED, 0o640)):
        facts = path.stat()
        assert (facts.st_mode & 0o7777, path.owner(), path.group()) == (mode, "daemon", "bin")


def test_directories_are_made_as_the_umask_says(site: Site) -> None:
    before = os.umask(0o027)
    try:
        site.arrive(b"content")
        site.sweep("-i", "minicam")
    finally:
        os.umask(before)
    assert (site.archive / NIGHT).stat().st_mode & 0o7777 == 0o750
    assert (site.archive / FILED).stat().st_mode & 0o7777 == 0o444


def test_an_account_that_does_not_exist_is_told(site: Site) -> None:
    site.configuration.write_text('[instrument.minicam]\nowner = "nobody-of-that-name"\n')
    result = site.sweep("-i", "minicam")
    assert result.status == 78
    assert "[instrument.minicam] owner or group: " in result.errors
    assert "nobody-of-that-name" in result.errors


def test_a_directory_that_is_a_link_is_not_followed(site: Site) -> None:
    (site.root / "outside").mkdir()
    (site.archive / NIGHT).symlink_to(site.root / "outside")
    site.arrive(b"content")
    before = site.arrivals()
    result = site.sweep("-i", "minicam")
    assert result.status == 78
    assert f"{site.archive}/{NIGHT} is a file or a symbolic link and not a directory: mend that" in result.errors
    assert site.arrivals() == before
    assert list((site.root / "outside").iterdir()) == []


def test_a_file_that_the_sender_calls_a_directory_is_refused(site: Site) -> None:
    (site.archive / "calib").write_bytes(b"a file")
    site.arrive(b"content", options={"dir": "calib/bias"})
    result = site.sweep("-i", "minicam")
    assert result.status == 3
    assert "calib is a file or a symbolic link and not a directory" in result.errors
    assert site.outcomes() == ["rejected"]


@pytest.mark.parametrize("workers", ["1", "2", "3"])
def test_several_processes_file_a_backlog_together(site: Site, workers: str) -> None:
    for number in range(20):
        site.arrive(b"%d" % number, name=f"img{number % 10}.fits")
    control = site.arrive(b"twice", name="twice.fits")
    site.leave(control, b"twice", attempt=2)
    site.leave(control_file(b"content", name="bad.fits"), b"conte")
    result = site.sweep("-i", "minicam", "-j", workers)
    assert result.status == 3
    assert sorted(site.archived().values()) == sorted([b"twice", *(b"%d" % number for number in range(20))])
    assert len(site.archived()) == 21
    assert sorted(site.outcomes()) == sorted(["filed"] * 11 + ["conflict"] * 10 + ["duplicate", "rejected"])


@pytest.fixture
def btrfs(tmp_path: Path) -> Iterator[Path]:
    """A directory on a filesystem that can share blocks between files."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a filesystem")
    image, mounted = tmp_path / "image", tmp_path / "mounted"
    mounted.mkdir()
    with image.open("wb") as file:
        file.truncate(200 << 20)
    try:
        program = shutil.which("mkfs.btrfs") or fetched("btrfs-progs").program("sbin/mkfs.btrfs")
        subprocess.run([program, "-q", image], check=True, capture_output=True)
        subprocess.run(["mount", "-o", "loop", image, mounted], check=True, capture_output=True)
    except (UnavailableError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no btrfs to mount: {error}")
    try:
        yield mounted
    finally:
        subprocess.run(["umount", mounted], check=True)


def test_where_blocks_can_be_shared_a_copy_costs_nothing(btrfs: Path) -> None:
    site = new_site(btrfs, uploader=UPLOADER)
    control = site.arrive(os.urandom(1 << 20))
    blocks = first_block(data_of(site, control))
    with data_of(site, control).open("rb") as kept:
        assert site.sweep("-i", "minicam") == SILENT_SUCCESS
        assert first_block(site.archive / FILED) == blocks
        assert kept.read() == (site.archive / FILED).read_bytes()


def first_block(path: Path) -> int:
    """Return where a file begins on its disk: FS_IOC_FIEMAP, as filefrag(8) asks."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        request = bytearray(struct.pack("=QQLLLL", 0, 1 << 62, 0, 0, 1, 0) + bytes(56))
        fcntl.ioctl(file, 0xC020660B, request)
    return struct.unpack_from("=Q", request, 32 + 8)[0]


@pytest.mark.parametrize("step", ["create", "rename_new"])
def test_a_probe_of_which_the_file_server_says_an_error_is_left_nowhere(site: Site, monkeypatch, step: str) -> None:
    real = getattr(durable, step)

    def failing(name, *words, **directories) -> int:
        done = real(name, *words, **directories)
        if str(name).endswith("-probe"):
            raise OSError(errno.EIO, "no reply")
        return done

    site.arrive(b"content")
    with monkeypatch.context() as patch:
        patch.setattr(durable, step, failing)
        told = site.sweep("-i", "minicam")
    assert (told.status, told.output) == (ExitStatus.INPUT_OUTPUT, "")
    assert "no reply; it stays in" in told.errors
    assert not list(site.root.rglob("*-probe"))
    assert site.sweep("-i", "minicam").status == ExitStatus.DONE
    assert site.archived() == {FILED: b"content"}


def test_where_neither_renames_nor_links_will_do_arrivals_wait_and_it_is_told(site: Site, monkeypatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, os.strerror(errno.EPERM))

    site.arrive(b"content")
    site.sweep("-i", "nothing")  # makes the work place, for which renames are needed too
    with monkeypatch.context() as poor:
        poor.setattr(durable, "_rename_no_replace", refuse)
        poor.setattr(os, "link", refuse)
        result = site.sweep("-i", "minicam")
    assert result.status == 77
    assert "Operation not permitted" in result.errors
    assert result.errors.count("\n") == 1
    assert site.archived() == {}
    assert site.sweep("-i", "minicam").status == 0
    assert site.archived() == {FILED: b"content"}
    assert site.outcomes() == ["filed"]


def test_a_copy_that_is_thrown_away_is_gone_for_good_before_the_note_of_it_is(site: Site, monkeypatch) -> None:
    """Else a power cut could bring it back, and nobody would know of it."""
    site.leave(control_file(b"damaged"), b"dAmaged")
    told: list[str] = []

    def telling(real, name):
        def call(where, *words, **directories):
            told.append(f"{name} {os.path.basename(os.readlink(f'/proc/self/fd/{where}'))}" if name == "sync" else name)
            return real(where, *words, **directories)

        return call

    monkeypatch.setattr(durable, "sync", telling(durable.sync, "sync"))
    monkeypatch.setattr("sweeper.journal.forget_temporaries", telling(journal.forget_temporaries, "forget"))
    with monkeypatch.context() as patch:
        patch.setattr("sweeper.filing.Filer._is_near", lambda *_: False)  # on another disk
        assert site.sweep("-i", "minicam").status == ExitStatus.SOME_FAILED
    assert told[told.index("forget") - 1] == f"sync {NIGHT}"
