"""`archq fsck` finds each kind of damage, and nothing in a sound spool."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from archq.config import Config, QueueSettings
from archq.spool import Spool
from archq.spool.fsck import check_spool
from archq.submission import submit


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    source = tmp_path / "img0001.fits"
    source.write_bytes(b"light" * 1000)
    queue = QueueSettings(name="archive", url=f"file:{tmp_path}")
    config = Config(spool=str(tmp_path / "spool"), queues={"archive": queue}, autostart=False)
    submit([source], queue="archive", config=config)
    return Spool(config.spool)


AGAIN = "cancel the request, and submit the file again if it still exists"


def damage(spool: Spool, name: str) -> Path:
    return Path(spool.place("queued", "archive-1", name))


def findings(spool: Spool) -> list[str]:
    return [f"{finding.where}: {finding.what}" for finding in check_spool(spool)]


def test_a_sound_spool_has_no_findings(spool: Spool) -> None:
    assert findings(spool) == []


def test_one_changed_byte_is_found(spool: Spool) -> None:
    with damage(spool, "1.df").open("r+b") as file:
        file.write(b"L")
    assert findings(spool)[0].startswith("queued/archive-1/1.df: has other content than was submitted: 5000 bytes")


def test_a_missing_data_file_is_found(spool: Spool) -> None:
    damage(spool, "1.df").unlink()
    assert findings(spool) == [f"queued/archive-1/1.df: the data file is missing: {AGAIN}"]


def test_a_cut_control_file_is_found(spool: Spool) -> None:
    os.truncate(damage(spool, "1.cf"), 100)
    assert findings(spool) == ["queued/archive-1: a record is damaged: no complete check= line yet"]


def test_a_missing_record_is_found(spool: Spool) -> None:
    damage(spool, "request").unlink()
    assert findings(spool) == ["queued/archive-1: a record is missing: request"]


def test_a_copy_that_others_may_read_is_found(spool: Spool) -> None:
    damage(spool, "1.df").chmod(0o604)
    assert findings(spool) == ["queued/archive-1/1.df: may be used by everybody: its mode is 0604: chmod o-rwx"]


def test_a_sequence_that_would_give_a_number_twice_is_found(spool: Spool) -> None:
    Path(spool.place("sequence")).write_text(f"{0:020d}\n")
    assert findings(spool) == ["sequence: says 0, but request 1 exists: empty it, or a number is given twice"]


def test_a_number_that_stands_twice_is_found(spool: Spool) -> None:
    os.mkdir(spool.place("sent", "other-1"))
    assert "sent/other-1: has the same number as queued/archive-1" in findings(spool)


def test_what_is_no_request_is_found(spool: Spool) -> None:
    Path(spool.place("queued", "core")).touch()
    assert findings(spool) == ["queued/core: is no request: somebody else put it here, and may take it away"]
