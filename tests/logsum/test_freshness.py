"""Whether data have arrived lately: what Nagios and cron ask."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.logsum.conftest import Logs, Logsum


@pytest.fixture
def fresh(logs: Logs) -> list[str]:
    logs.tell("2026-11-18T12:00:00Z", path="2026.1117/old.fits")
    logs.tell("2026-11-20T17:48:00Z", path="2026.1119/new.fits")
    logs.tell("2026-11-20T17:40:00Z", path="2026.1119/older.fits")
    logs.tell("2026-11-20T17:59:00Z", "rejected")
    logs.tell("2026-11-20T17:59:00Z", instrument="hectospec", path="2026.1119/other.fits")
    return ["-l", str(logs.directory), "--max-age"]


def test_data_that_came_lately_are_fine(fresh: list[str], logsum: Logsum) -> None:
    result = logsum("-i", "minicam", *fresh, "15m", "-z", "MST")
    assert result.output == (
        "minicam: the newest file arrived 12 min ago, at 2026-11-20 10:48:00 MST: 2026.1119/new.fits\n"
    )
    assert (result.errors, result.status) == ("", 0)


def test_data_that_did_not_are_told_by_the_exit_status(fresh: list[str], logsum: Logsum) -> None:
    result = logsum("-i", "minicam", *fresh, "10m")
    assert result.output == (
        "minicam: the newest file arrived 12 min ago, at 2026-11-20 17:48:00 UTC: 2026.1119/new.fits; "
        "expected within 10 min\n"
    )
    assert (result.errors, result.status) == ("", 75)


def test_the_limit_itself_is_fine(fresh: list[str], logsum: Logsum) -> None:
    assert logsum("-i", "minicam", *fresh, "12m").status == 0
    assert logsum("-i", "minicam", *fresh, "719").status == 75


def test_of_all_instruments_the_newest_file_counts(fresh: list[str], logsum: Logsum) -> None:
    result = logsum("-i", "all", *fresh, "10m")
    assert (result.status, "all: the newest file arrived 60 s ago" in result.output) == (0, True)


def test_a_wrong_clock_does_not_hide_that_nothing_comes(fresh: list[str], logs: Logs, logsum: Logsum) -> None:
    logs.tell("2031-01-01T00:00:00Z", path="2030.1231/ahead.fits", swept=-4 * 366 * 86_400)  # filed long ago
    logs.tell("2031-01-01T00:00:00Z", path="2030.1231/broken.fits")
    logs.tell("9999-12-31T23:59:50Z", path="x", swept=0)
    log = logs.directory / "99991231.tdcin.log"
    log.write_text(log.read_text().replace("seconds=12.000", "seconds=99999999999"))
    result = logsum("-i", "minicam", *fresh, "10m")
    assert "12 min ago, at 2026-11-20 17:48:00 UTC: 2026.1119/new.fits; expected" in result.output
    assert (result.errors, result.status) == ("", 75)


def test_cron_hears_of_it_only_when_data_are_late(fresh: list[str], logsum: Logsum) -> None:
    assert logsum("-i", "minicam", "+v", *fresh, "15m").output == ""
    assert "expected within 10 min" in logsum("-i", "minicam", "+v", *fresh, "10m").output


def test_old_logs_are_read_where_the_recent_ones_tell_of_no_file(logs: Logs, logsum: Logsum) -> None:
    logs.tell("2026-10-01T12:00:00Z", path="2026.0930/old\x1b[31m.fits")
    result = logsum("-i", "minicam", "-l", str(logs.directory), "--max-age", "1d")
    assert "arrived 50 d ago, at 2026-10-01 12:00:00 UTC: 2026.0930/old\\x1b[31m.fits; expected" in result.output
    assert result.status == 75


def test_an_archive_without_a_file_is_late(logs: Logs, logsum: Logsum) -> None:
    result = logsum("-i", "minicam", "-l", str(logs.directory), "--max-age", "1d")
    assert result.output == "minicam: no file has ever arrived, and one was expected within 24 h\n"
    assert result.status == 75


def test_what_cannot_be_read_is_told_once(fresh: list[str], logs: Logs, logsum: Logsum) -> None:
    with (logs.directory / "20261120.tdcin.log").open("ab") as log:
        log.write(b"?\n")
    result = logsum("-i", "none", *fresh, "15m")
    assert result.errors.count("\n") == 1
    assert "20261120.tdcin.log: 1 line skipped: cannot be read" in result.errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["15 parsecs"], "'15 parsecs'"),
        (["15m", "--by", "night"], "--max-age makes no report: leave --by out"),
        (["15m", "-n"], "--max-age makes no report: leave --noon out"),
        (["15m", "--last-night"], "--max-age makes no report: leave --last-night out"),
        (["15m", "--format", "json"], "--max-age makes no report: leave --format out"),
    ],
)
def test_what_does_not_go_with_it_is_refused(
    fresh: list[str], logsum: Logsum, arguments: list[str], message: str
) -> None:
    result = logsum("-i", "minicam", *fresh, *arguments)
    assert message in result.errors
    assert (result.output, result.status, result.errors.count("\n")) == ("", 2, 1)
