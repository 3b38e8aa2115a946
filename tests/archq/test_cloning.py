"""Where the filesystem knows how, a copy in the spool shares its blocks with the source, and is a copy all the same."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archq import durable, submission
from archq.spool import QUEUED
from archq.submission import CLONED_FROM
from tests.archq.instrument import Instrument
from tests.faults.disk import KINDS, Disk, lacking, private_mounts
from tests.requirements import require

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = os.urandom(4 * CLONED_FROM)


@pytest.fixture
def instrument(tmp_path: Path) -> Iterator[Instrument]:
    """Lend an instrument computer whose data and spool are on one XFS."""
    [kind] = [kind for kind in KINDS if kind.name == "xfs"]
    require(not (reason := lacking(kind)), reason)
    (tmp_path / "disk").mkdir()
    disk = Disk(kind, tmp_path / "image", tmp_path / "disk")
    disk.make()
    with private_mounts(), disk.mounted() as place:
        yield Instrument.at(place)


def used(path: Path) -> int:
    os.sync()
    status = os.statvfs(path)
    return (status.f_blocks - status.f_bfree) * status.f_frsize


def test_a_copy_takes_no_room_and_is_whole_when_the_source_is_overwritten(instrument: Instrument) -> None:
    frame = instrument.frame("img0001.fits", CONTENT)
    before = used(instrument.home)
    request = instrument.submit_content(CONTENT)
    assert used(instrument.home) - before < len(CONTENT) // 4
    with frame.open("r+b") as file:
        file.write(bytes(1000))
    [spooled] = instrument.spool.files(QUEUED, request)
    assert Path(spooled.data_path).read_bytes() == CONTENT
    instrument.archq("ship", "--once")
    assert instrument.arrivals() == ["minicam.1"]
    assert instrument.archq("fsck").stdout == ""


def test_a_copy_begins_where_somebody_has_stopped_to_read(instrument: Instrument) -> None:
    frame = instrument.frame("img0001.fits", CONTENT)
    with frame.open("rb") as file:
        os.lseek(file.fileno(), 1000, os.SEEK_SET)
        instrument.archq("submit", "-t", "rest.fits", "-", stdin=file)
    [request] = instrument.spool.requests(QUEUED)
    [spooled] = instrument.spool.files(QUEUED, request)
    assert Path(spooled.data_path).read_bytes() == CONTENT[1000:]


def test_a_source_that_changes_meanwhile_is_refused(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = instrument.frame("img0001.fits", CONTENT)
    honest = durable.clone

    def clone(source: int, target: int) -> bool:
        done = honest(source, target)
        frame.write_bytes(bytes(10))
        return done

    monkeypatch.setattr(submission.durable, "clone", clone)
    with pytest.raises(submission.TemporaryError, match=r"img0001\.fits changed while it was read"):
        submission.submit([frame], config=instrument.config)
    assert instrument.spool.requests(QUEUED) == []


def test_a_small_file_is_copied(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    def clone(source: int, target: int) -> bool:
        raise AssertionError("not for this file")

    monkeypatch.setattr(submission.durable, "clone", clone)
    request = instrument.submit_content(b"light")
    [spooled] = instrument.spool.files(QUEUED, request)
    assert Path(spooled.data_path).read_bytes() == b"light"
