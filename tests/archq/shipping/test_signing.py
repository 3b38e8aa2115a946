"""A queue with a key signs what it sends, so that an open drop box takes only our instruments' files."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archq.control import parse_control
from archq.shipping.queues import ship_once
from archq.signature import read_key, signer_of
from tests.archq.instrument import Instrument

if TYPE_CHECKING:
    from pathlib import Path

SECRET = "correct horse battery staple\n"


@pytest.fixture
def instrument(tmp_path: Path) -> Instrument:
    instrument = Instrument.at(tmp_path, queue=f'sign_key = "site1:{tmp_path}/sign.key"')
    (tmp_path / "sign.key").write_text(SECRET)
    (tmp_path / "sign.key").chmod(0o600)
    return instrument


def test_what_is_sent_is_signed_with_what_only_the_delivery_knows(instrument: Instrument) -> None:
    instrument.submit()
    assert ship_once(instrument.config, None, complain=lambda line: None) == 0
    (path,) = (instrument.home / "incoming").glob("*.cf")
    assert parse_control(path.read_bytes()).tries == 1
    key = read_key("site1", str(instrument.home / "sign.key"))
    assert signer_of(path.read_bytes(), [key]) == key


def test_the_key_stands_nowhere_in_the_spool(instrument: Instrument) -> None:
    instrument.submit()
    ship_once(instrument.config, None, complain=lambda line: None)
    files = [path for path in (instrument.home / "spool").rglob("*") if path.is_file()]
    assert files
    assert not any(SECRET.strip().encode() in path.read_bytes() for path in files)


def test_a_key_that_others_may_read_blocks_the_queue_and_loses_nothing(instrument: Instrument) -> None:
    (instrument.home / "sign.key").chmod(0o644)
    request = instrument.submit()
    told: list[str] = []
    assert ship_once(instrument.config, None, complain=told.append) == 69
    assert told[0].startswith("queue archive is blocked: [queue.archive] sign_key: ")
    assert instrument.spool.find(request)[0] == "queued"
    (instrument.home / "sign.key").chmod(0o600)
    assert ship_once(instrument.config, None, complain=told.append) == 0
    assert instrument.arrivals() == ["minicam.1"]


def test_a_control_file_without_room_for_what_delivery_adds_is_refused_at_once(instrument: Instrument) -> None:
    done = instrument.archq("submit", "-o", f"comment={'x' * 64_800}", instrument.frame(), status=65)
    assert "the control file would have 65" in done.stderr
    assert instrument.spool.requests("queued") == []
