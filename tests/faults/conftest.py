"""A stage for all techniques, and their lines at the end of the run."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults import techniques
from tests.faults.scenarios import stage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.programme import Tally
    from tests.faults.scenarios import Stage

TALLIES: list[Tally] = []


@pytest.fixture(scope="session")
def faults_stage() -> Iterator[Stage]:
    with (
        tempfile.TemporaryDirectory(prefix="archq-faults-", dir=techniques.scratch()) as scratch,
        stage(Path(scratch)) as where,
    ):
        yield where


@pytest.fixture(scope="session")
def tallies() -> list[Tally]:
    return TALLIES


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if TALLIES:
        terminalreporter.section("faults: make faults TIER=long goes further")
        for tally in TALLIES:
            terminalreporter.write_line(str(tally))
