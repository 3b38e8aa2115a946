"""What `archq status` tells of a spool that is not sound, and of waits."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
import time
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from archq import status
from archq.errors import ExitStatus
from archq.instants import SECOND
from archq.spool import QUEUED, SENT
from archq.spool.filestate import FileState
from tests.archq.instrument import Instrument

if TYPE_CHECKING:
    from pathlib import Path

    from archq.spool import RequestId


@pytest.fixture
def instrument(tmp_path: Path) -> Instrument:
    return Instrument.at(tmp_path)


@pytest.fixture
def requests(instrument: Instrument) -> list[RequestId]:
    """Three requests, the one in the middle with a control file that is cut short."""
    found = [instrument.submit(f"img000{number}.fits") for number in (1, 2, 3)]
    os.truncate(instrument.spool.place(QUEUED, str(found[1]), "1.cf"), 100)
    return found


def test_a_damaged_request_is_listed_as_such_among_the_others(
    instrument: Instrument, requests: list[RequestId]
) -> None:
    lines = instrument.archq("status").stdout.split("\n")
    assert [line.split()[0] for line in lines if line.startswith("archive-")] == [str(one) for one in requests]
    assert "    its records in the spool are damaged (no complete check= line yet): archq fsck tells more" in lines


def test_programs_are_told_so_too(instrument: Instrument, requests: list[RequestId]) -> None:
    document = json.loads(instrument.archq("status", "--json").stdout)
    assert [one["state"] for one in document["requests"]] == ["queued", "damaged", "queued"]


def test_lpstat_lists_the_others(instrument: Instrument, requests: list[RequestId]) -> None:
    words = [
        sys.executable,
        "-c",
        "from archq.lpfamily.lpstat import main; main()",
        "-o",
        "-p",
        "archive",
    ]
    done = subprocess.run(words, env=instrument.environment, capture_output=True, text=True)
    assert done.stderr == ""
    assert [line.split()[0] for line in done.stdout.split("\n") if line.startswith("archive-")] == [
        str(one) for one in requests
    ]


def test_without_a_shipper_no_next_try_is_promised(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path, url=f"file:{tmp_path}/missing")
    instrument.submit()
    instrument.archq("ship", "--once", status=ExitStatus.REFUSED)
    alone = instrument.archq("status").stdout
    assert "queue archive: no shipper runs; blocked: " in alone
    assert "next try" not in alone
    with instrument.spool.own_queue("archive"):
        assert instrument.archq("status").stdout.count("; next try in ") == 2


def test_a_file_that_failed_is_not_said_to_be_tried_soon_by_nobody(instrument: Instrument) -> None:
    request = instrument.submit()
    later = time.time_ns() + 3600 * SECOND
    state = FileState(failures=1, failed=time.time_ns(), next_try=later, reason="it broke")
    instrument.spool.record(instrument.spool.file(QUEUED, request, 1), state)
    assert "    it broke\n" in instrument.archq("status").stdout
    with instrument.spool.own_queue("archive"):
        assert "    it broke; next try in " in instrument.archq("status").stdout


def test_whoever_waits_for_what_takes_long_to_look_at_looks_seldom(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    request, spool = instrument.submit(), instrument.spool
    pauses: list[float] = []

    def sleep(pause: float) -> None:
        pauses.append(pause)
        spool.move(request, QUEUED, SENT)

    seconds = itertools.count()  # one between two looks at this clock
    clock = SimpleNamespace(monotonic=lambda: next(seconds), sleep=sleep, time_ns=time.time_ns)
    monkeypatch.setattr(status, "time", clock)
    status.wait_until_sent(spool, request)
    assert pauses == [9]
