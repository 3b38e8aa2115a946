"""Uploads that no transfer log knows: nothing has swept them yet."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from archq.names import WireName, new_id

if TYPE_CHECKING:
    from pathlib import Path

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


def test_a_server_s_log_that_can_be_read_only_once_is_refused(logs: Logs, logsum: Logsum, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    logs.tell("2026-11-20T12:00:00Z")
    result = logsum("-i", "minicam", "-l", str(logs.directory), "-f", str(pipe))
    assert result.errors == (
        f"logsum: cannot read the FTP log {pipe}: it is no regular file, and a log is read more than once: "
        "save it to a file first; times are the transfer logs' instead\n"
    )
    assert "FTP performance for 1 files:\n" in result.output


def test_a_log_of_no_server_that_is_known_is_as_good_as_none(logs: Logs, logsum: Logsum) -> None:
    logs.tell("2026-11-20T12:00:00Z")
    logs.ftp_log.write_text("once upon a time\n")
    arguments = ["-i", "minicam", "-l", str(logs.directory), "-f", str(logs.ftp_log)]
    result = logsum(*arguments)
    assert result.errors == (
        f"logsum: cannot read the FTP log {logs.ftp_log}: it is not a log of any known server; "
        "times are the transfer logs' instead\n"
    )
    assert "FTP performance for 1 files:\n" in result.output
    reconciled = logsum(*arguments, "--reconcile")
    assert (reconciled.output, reconciled.status) == ("", 74)
    assert "cannot read the FTP log" in reconciled.errors
    logs.ftp_log.write_text("")
    assert logsum(*arguments).errors == ""
