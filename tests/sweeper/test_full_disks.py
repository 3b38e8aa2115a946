"""Disks that are full: nothing is lost, it is told, and the next run goes on."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from tests.sweeper.accounts import UPLOADER
from tests.sweeper.arrivals import Site

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MEGABYTE = 1 << 20


@contextmanager
def small_disk(path: Path, megabytes: int) -> Iterator[None]:
    """Mount a disk of this size on ``path``, made if missing."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk")
    path.mkdir(exist_ok=True)
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=755", "tmpfs", path], capture_output=True, text=True
    )
    if mounted.returncode:
        pytest.skip(f"cannot mount a small disk: {mounted.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", path], check=True)


def enlarge(path: Path, megabytes: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={megabytes}m", path], check=True)


def fill(path: Path) -> None:
    """Write until nothing more can be written."""
    with (path / "filler").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    with (path / "last").open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(b"x")


def two_sites(root: Path) -> Site:
    site = Site(root, UPLOADER)
    site.incoming.mkdir(exist_ok=True)
    site.configuration.write_text("")
    return site


def test_a_full_archive_leaves_the_arrivals_until_there_is_room(tmp_path: Path) -> None:
    site = two_sites(tmp_path)
    with small_disk(site.archive, 6):
        for number in range(5):
            site.arrive(os.urandom(2 * MEGABYTE), name=f"{number}.fits")
        before = site.arrivals()
        for told in (True, False):
            result = site.sweep("-i", "minicam")
            assert result.status == 74
            assert ("archive disk full: 3 arrivals (6.3 MB) wait, oldest " in result.errors) is told
        assert len(site.archived()) == 2
        assert set(site.arrivals().items()) < set(before.items())
        assert len(site.arrivals()) == 6
        assert site.outcomes() == ["filed", "filed"]
        assert not [path for path in site.archive.rglob(".archq-*-*") if path.parent != site.logs]
        enlarge(site.archive, 20)
        result = site.sweep("-i", "minicam")
        assert (result.status, result.errors) == (0, f"sweeper: over after 0 s: archive disk full: {site.archive}\n")
        assert sorted(before[name] for name in before if name.endswith("df")) == sorted(site.archived().values())
        assert site.outcomes() == ["filed"] * 5


def test_a_disk_that_fills_up_while_a_file_is_copied_leaves_nothing_of_it(tmp_path: Path, monkeypatch) -> None:
    """Somebody else writes there too, so that looking at the room before does not help."""
    monkeypatch.setattr("sweeper.filing.free_space", lambda _directory: 1 << 40)
    site = two_sites(tmp_path)
    with small_disk(site.archive, 3):
        site.arrive(os.urandom(4 * MEGABYTE))
        assert site.sweep("-i", "minicam").status == 74
        assert site.archived() == {}
        assert len(site.arrivals()) == 2
        enlarge(site.archive, 20)
        assert site.sweep("-i", "minicam").status == 0
        assert len(site.archived()) == 1


def test_a_full_disk_of_logs_loses_no_line(tmp_path: Path) -> None:
    site = two_sites(tmp_path)
    site.archive.mkdir()
    logs = tmp_path / "logs"
    with small_disk(logs, 1):
        site.arrive(b"first", name="first.fits")
        assert site.sweep("-i", "minicam", "-L", str(logs)).status == 0
        fill(logs)
        names = [f"{number}.fits" for number in range(30)]  # more lines than the log's last block has room for
        for name in names:
            site.arrive(name.encode(), name=name)
        result = site.sweep("-i", "minicam", "-L", str(logs))
        assert result.status == 74
        assert "disk full: cannot work in " in result.errors
        (logs / "filler").unlink()
        (logs / "last").unlink()
        result = site.sweep("-i", "minicam", "-L", str(logs))
        assert result.status == 0
        assert [line.outcome for line in site.lines(logs=logs)] == ["filed"] * 31
        assert sorted(site.archived()) == sorted(f"2026.1120/{name}" for name in ["first.fits", *names])
        assert (site.arrivals(), site.claims()) == ({}, [])


def test_a_full_incoming_disk_can_still_be_swept(tmp_path: Path) -> None:
    site = Site(tmp_path, UPLOADER)
    site.archive.mkdir()
    site.configuration.write_text("")
    with small_disk(site.incoming, 48):
        assert site.sweep("-i", "minicam").status == 0
        for number in range(20):
            site.arrive(os.urandom(1000), name=f"{number}.fits")
        fill(site.incoming)
        assert shutil.disk_usage(site.incoming).free == 0
        assert site.sweep("-i", "minicam").status == 0
        assert len(site.archived()) == 20
        (site.incoming / "filler").unlink()
        assert site.sweep("-i", "minicam").status == 0
        assert [path.stat().st_size for path in site.incoming.glob(".archq-work/*/ballast")] == [4 * MEGABYTE]
