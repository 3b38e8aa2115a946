"""The means of the techniques do what is said of them: a power cut loses, a log repeats, lost replies follow deeds."""

from __future__ import annotations

import errno
import os
import random
from pathlib import Path

import pytest

from tests.faults import blocklog, recorder, tracer
from tests.faults.blocklog import SOME, TORN, WHOLE, kept
from tests.faults.disk import KINDS, Disk, Kind, lacking, private_mounts
from tests.faults.line import Line
from tests.faults.recorder import Step
from tests.requirements import require


def made(kind: Kind, scratch: Path) -> Disk:
    require(not (reason := lacking(kind)), reason)
    place = scratch / "place"
    place.mkdir()
    disk = Disk(kind, scratch / "image", place)
    disk.make()
    return disk


def write(path: Path, content: bytes, *, synced: bool) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        if synced:
            os.fsync(file)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_power_cut_takes_what_was_not_synced_and_leaves_the_rest(kind: Kind, tmp_path: Path) -> None:
    disk = made(kind, tmp_path)
    with private_mounts():
        with disk.mounted() as place:
            write(place / "synced", b"content", synced=True)
            write(place / "not-synced", b"content", synced=False)
            (place / "synced").rename(place / "renamed")
            disk.cut()
        with disk.mounted() as place:
            found = {path.name: path.read_bytes() for path in place.iterdir() if path.name != "lost+found"}
    assert found == {"synced": b"content"}


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_mounts_are_seen_by_us_alone_and_leave_nothing(kind: Kind, tmp_path: Path) -> None:
    disk = made(kind, tmp_path)
    before = Path("/proc/mounts").read_text()
    with private_mounts(), disk.mounted():
        ours = Path("/proc/self/mounts").read_text()
        others = Path(f"/proc/{os.getppid()}/mounts").read_text()
    assert str(disk.place) in ours
    assert str(disk.place) not in others
    assert Path("/proc/mounts").read_text() == before


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_a_disk_is_recorded_and_played_again(kind: Kind, tmp_path: Path) -> None:
    require(not recorder.lacking(), recorder.lacking())
    disk = made(kind, tmp_path)
    before = disk.image.read_bytes()
    under, console, log = tmp_path / "under", tmp_path / "console", tmp_path / "log"
    under.mkdir()
    console.write_bytes(b"")
    with private_mounts():
        with recorder.recording(disk.image, under, console, log) as image, Disk(kind, image, disk.place).mounted():
            write(disk.place / "first", b"content", synced=True)
            console.write_bytes(b"told")
            write(disk.place / "second", b"content", synced=True)
        steps = recorder.steps(log)
        assert {step.told for step in steps} == {0, 4}
        assert any(not step.data for step in steps)
        first = next(number for number, step in enumerate(steps) if step.told)
        disk.image.write_bytes(after(before, steps[:first]))
        with disk.mounted():
            assert (disk.place / "first").read_bytes() == b"content"
            assert not (disk.place / "second").exists()
        disk.image.write_bytes(after(before, steps))
        with disk.mounted():
            assert (disk.place / "second").read_bytes() == b"content"


def after(image: bytes, steps: list[Step]) -> bytes:
    changed = bytearray(image)
    for offset, data in kept(steps, WHOLE, random.Random(0)):
        changed[offset : offset + len(data)] = data
    return bytes(changed)


STEPS = [Step(0, b"a" * 8192, 0), Step(0, b"", 0), Step(8192, b"b" * 8192, 0), Step(16384, b"c" * 8192, 0)]


def test_what_was_flushed_is_always_kept_and_the_rest_by_chance() -> None:
    seen = [tuple(kept(STEPS, SOME, random.Random(seed))) for seed in range(50)]
    a, b, c = [(step.offset, step.data) for step in STEPS if step.data]
    assert set(seen) == {(a,), (a, b), (a, c), (a, b, c)}


def test_writes_are_torn_between_sectors_and_not_within_them() -> None:
    seen = [tuple(kept(STEPS, TORN, random.Random(seed))) for seed in range(50)]
    assert {len(data) for writes in seen for _offset, data in writes[1:]} == {blocklog.SECTOR}
    assert len(set(seen)) > 4


@pytest.mark.parametrize(("call", "is_told"), [("rename", False), ("fsync", True)])
def test_a_reply_is_lost_after_the_deed(tmp_path: Path, call: str, is_told: bool) -> None:
    require(not tracer.lacking(), tracer.lacking())
    line = Line.at(tmp_path / "line").build()
    told = tmp_path / "told"
    line.run("archq", "submit", line.source("one.fits", b"one"))
    loss = tracer.Loss.of(call, 1, "EIO", line.home)
    done = line.watched("archq", ("cancel", "archive-1"), lambda pid: tracer.losing(pid, loss, told))
    assert told.read_text() == "1"
    assert (os.strerror(errno.EIO) in done.errors) is is_told  # a rename is looked at, an fsync believed
    assert os.listdir(line.home / "spool" / "cancelled") == ([] if is_told else ["archive-1"])
