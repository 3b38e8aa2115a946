"""What `archq status` tells of a spool that is not sound."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from archq.spool import QUEUED
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
