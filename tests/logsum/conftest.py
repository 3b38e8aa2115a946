"""Logs to report on, written as the sweeper and FTP servers write them, and logsum to report."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

import pytest

from archq.console import run_click
from archq.instants import SECOND, format_instant, parse_instant
from archq.names import WireName, new_id
from archq.transferlog import FILED, Outcome, format_outcome
from archq.zones import find_zone
from logsum import reporting
from logsum.commands import command

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Result:
    """What a run of logsum printed, and its exit status."""

    status: int
    output: str
    errors: str


class Logsum(Protocol):
    def __call__(self, *arguments: str, now: str = ...) -> Result: ...


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ARCHQ_CONFIG", "")
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "no-configuration"))
    monkeypatch.setenv("TZ", "UTC")


@pytest.fixture
def logsum(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Logsum:
    def run(*arguments: str, now: str = "2026-11-20T18:00:00Z") -> Result:
        monkeypatch.setattr(reporting.time, "time_ns", lambda: parse_instant(now))
        status = run_click(reporting.PROGRAM, command, list(arguments))
        captured = capsys.readouterr()
        return Result(status, captured.out, captured.err)

    return run


@dataclass
class Logs:
    """A sweeper's log directory and an FTP log beside it."""

    directory: Path
    ftp_log: Path

    def tell(
        self,
        ended: str | int,
        outcome: str = FILED,
        *,
        instrument: str = "minicam",
        id_: str | None = None,
        attempt: int = 1,
        size: int = 8_388_608,
        seconds: float | None = 12.0,
        swept: int = 60,
        **facts: str,
    ) -> WireName:
        """Write what the sweeper says ``swept`` seconds after a transfer that ended at ``ended``."""
        end = parse_instant(ended) if isinstance(ended, str) else ended
        wire = WireName(instrument=instrument, id=id_ or new_id(end), attempt=attempt)
        told: dict[str, str] = {"instrument": instrument, "wire": str(wire), "size": str(size)}
        if seconds is not None:
            told |= {"started": format_instant(end - round(seconds * SECOND), 3), "seconds": f"{seconds:.3f}"}
        time = end + swept * SECOND
        log = self.directory / f"{format_instant(time)[:10].replace('-', '')}.tdcin.log"
        with log.open("ab") as file:
            file.write(format_outcome(Outcome(time=time, outcome=outcome, facts=told | facts)))
        return wire

    def upload(
        self,
        ended: str | int,
        wire: WireName | str,
        *,
        size: int = 8_388_608,
        seconds: int = 12,
        zone: str = "UTC",
        end: str = "b _ i r tdcin ftp 0 * c",
    ) -> None:
        """Write what vsftpd says at the end of an upload."""
        instant = parse_instant(ended) if isinstance(ended, str) else ended
        clock = datetime.fromtimestamp(instant // SECOND, UTC).astimezone(find_zone(zone))
        stamp = clock.strftime("%a %b %e %H:%M:%S %Y")
        with self.ftp_log.open("a", encoding="utf-8", errors="surrogateescape") as file:
            file.write(f"{stamp} {seconds} ::ffff:192.0.2.7 {size} /incoming/{wire} {end}\n")


@pytest.fixture
def logs(tmp_path: Path) -> Logs:
    directory = tmp_path / "xferlogs"
    directory.mkdir()
    return Logs(directory, tmp_path / "xferlog")
