"""Uploads that no transfer log knows: nothing has swept them yet."""

from __future__ import annotations

from typing import TYPE_CHECKING

from archq.names import WireName, new_id

if TYPE_CHECKING:
    from tests.logsum.conftest import Logs, Logsum


def unknown() -> WireName:
    return WireName(instrument="minicam", id=new_id(), attempt=1)


def test_they_count_with_their_times_and_rates_in_every_form(logs: Logs, logsum: Logsum) -> None:
    for number in range(1, 4):
        known = logs.tell("2026-11-20T12:00:00Z", size=9_000_000, seconds=9)
        logs.upload("2026-11-20T12:00:00Z", known, size=9_000_000, seconds=9)
        logs.upload("2026-11-20T12:00:00Z", unknown(), size=number * 10**6, seconds=number * 2)
        logs.upload("2026-11-18T12:00:00Z", unknown(), size=1)
    arguments = ["-l", str(logs.directory), "-f", str(logs.ftp_log)]
    one = logsum("-i", "minicam", *arguments)
    assert "Instrument: minicam        3 files       0 errors\n" in one.output
    assert "FTP performance for 6 files:\n  Files sizes:  Min =   1000000 bytes\n" in one.output
    assert (
        "Median rate:  0.75 MB/s   Median Time:   8 seconds\n     Min        0.50           Min         2\n"
        in one.output
    )
    assert "     6  at  0.0 < rate <= 1.0 MB/sec\n" in one.output
    every = logsum("-i", "all", *arguments)
    assert every.output.count("FTP performance for 6 files:\n") == 2
    by_day = logsum("-i", "minicam", *arguments, "--by", "day", "--format", "csv")
    timed = [line.split(",")[5] for line in by_day.output.strip().split("\n")]
    assert timed == ["timed", "6"]
