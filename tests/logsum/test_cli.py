from __future__ import annotations

import random
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archq.instants import SECOND, parse_instant

if TYPE_CHECKING:
    from tests.logsum.conftest import Logs, Logsum, Result

SAMPLE = (Path(__file__).parents[1] / "golden/logsum-sample.txt").read_text()

# Sizes in bytes, times in seconds and how many: together they have the sample's statistics.
SAMPLE_FILES = [
    (41_670_700, 75, 1),
    (9_400_000, 20, 1),
    (11_050_000, 13, 342),
    (11_960_000, 13, 1),
    (12_480_000, 13, 11),
    (5_497_920, 5, 1),
    (19_500_000, 13, 319),
    (11_000_000, 5, 1),
    (27_300_000, 13, 12),
]


def sample(logs: Logs, *, also_ftp_log: bool) -> None:
    """Write April 2003, with files before, after and beside it that the report has to leave out."""
    files = [(size, seconds) for size, seconds, count in SAMPLE_FILES for _ in range(count)]
    random.Random(2003).shuffle(files)
    first, last = parse_instant("2003-04-01T19:00:00Z"), parse_instant("2003-05-01T18:59:59Z")
    step = (last - first) // (len(files) - 1) // SECOND * SECOND
    for number, (size, seconds) in enumerate(files):
        wire = logs.tell(first + number * step, size=size, seconds=seconds)
        if also_ftp_log:
            logs.upload(first + number * step, wire, size=size, seconds=seconds)
            logs.upload(first + number * step, wire.control, size=600, seconds=1)
    for outside in (first - SECOND, last + SECOND):
        wire = logs.tell(outside, size=1, seconds=1)
        logs.upload(outside, wire, size=1, seconds=1)
    beside = logs.tell(first, instrument="megacam", size=1)
    logs.upload(first, beside, size=1)


def test_the_sample_report_of_the_original_comes_out_to_the_byte_from_the_transfer_logs(
    logs: Logs, logsum: Logsum
) -> None:
    sample(logs, also_ftp_log=False)
    result = logsum("-i", "minicam", "-B", "2003-04-01", "-D", "30", "-n", "-z", "MST", "-l", str(logs.directory))
    assert (result.output, result.errors, result.status) == (SAMPLE, "", 0)


def test_the_sample_report_comes_out_to_the_byte_from_the_ftp_log_too(logs: Logs, logsum: Logsum) -> None:
    sample(logs, also_ftp_log=True)
    arguments = ["-iminicam", "-nB2003-04-01", "-D30", "-zMST", "--ftp-log-zone", "UTC", "-f", str(logs.ftp_log)]
    result = logsum(*arguments, "-l", str(logs.directory))
    assert (result.output, result.errors, result.status) == (SAMPLE, "", 0)


def period_of(result: Result) -> list[str]:
    lines = result.output.splitlines()
    return [lines[2].removeprefix("Period covered: ").removesuffix("  to"), lines[3].strip()]


NOW = "2003-11-20T18:00:00Z"  # 11:00 MST, 13:00 EST


@pytest.mark.parametrize(
    ("arguments", "start", "end"),
    [
        ("-i mega", "2003-11-19 13:00:00 EST", "2003-11-20 13:00:00 EST  or 1 days, 0 hours"),
        ("-i spec -h -48", "2003-11-18 13:00:00 EST", "2003-11-20 13:00:00 EST  or 2 days, 0 hours"),
        ("-i spec -n -z MST", "2003-11-19 12:00:00 MST", "2003-11-20 12:00:00 MST  or 1 days, 0 hours"),
        ("-i spec -nz MST", "2003-11-19 12:00:00 MST", "2003-11-20 12:00:00 MST  or 1 days, 0 hours"),
        ("-ispec -noon -zMST", "2003-11-19 12:00:00 MST", "2003-11-20 12:00:00 MST  or 1 days, 0 hours"),
        (
            "-ichelle -B2003-10-01 -D31 -b0 -zMST",
            "2003-10-01 00:00:00 MST",
            "2003-11-01 00:00:00 MST  or 31 days, 0 hours",
        ),
        ("-i spec -n -b 6", "2003-11-19 06:00:00 EST", "2003-11-20 06:00:00 EST  or 1 days, 0 hours"),
        ("-i spec -b 6 -n", "2003-11-19 12:00:00 EST", "2003-11-20 12:00:00 EST  or 1 days, 0 hours"),
        ("-i spec -D 5 -h 6", "2003-11-20 13:00:00 EST", "2003-11-20 19:00:00 EST  or 0 days, 6 hours"),
        ("-i spec -D 5 -h 6 -D 2", "2003-11-20 13:00:00 EST", "2003-11-22 13:00:00 EST  or 2 days, 0 hours"),
        ("-i spec -D 0", "2003-11-20 13:00:00 EST", "2003-11-20 13:00:00 EST  or 0 days, 0 hours"),
        ("-i spec -h1.5", "2003-11-20 13:00:00 EST", "2003-11-20 14:30:00 EST  or 0 days, 1.5 hours"),
        ("-i spec -B2003-10-26 -b0 -D1", "2003-10-26 00:00:00 EDT", "2003-10-27 00:00:00 EST  or 1 days, 1 hours"),
        ("-i spec -B2003-10-26 -b0 -h24", "2003-10-26 00:00:00 EDT", "2003-10-26 23:00:00 EST  or 1 days, 0 hours"),
        ("-i spec -B2003-04-06 -b0 -D1", "2003-04-06 00:00:00 EST", "2003-04-07 00:00:00 EDT  or 0 days, 23 hours"),
        ("-i spec -B2003-04-06 -b0 -h24", "2003-04-06 00:00:00 EST", "2003-04-07 01:00:00 EDT  or 1 days, 0 hours"),
        ("-i spec -B2003-04-07 -b12 -D-1", "2003-04-06 12:00:00 EDT", "2003-04-07 12:00:00 EDT  or 1 days, 0 hours"),
        ("-i spec -B2003-04-06 -n -D-1", "2003-04-05 12:00:00 EST", "2003-04-06 12:00:00 EDT  or 0 days, 23 hours"),
        ("-i spec -B2003-10-26 -n -D-1", "2003-10-25 12:00:00 EDT", "2003-10-26 12:00:00 EST  or 1 days, 1 hours"),
        ("-i spec -B2003-04-06 -b2.5 -h1", "2003-04-06 03:30:00 EDT", "2003-04-06 04:30:00 EDT  or 0 days, 1 hours"),
        ("-i spec -B2004-01-01 -b0 -D31", "2004-01-01 00:00:00 EST", "2004-02-01 00:00:00 EST  or 31 days, 0 hours"),
        ("-i spec -h0", "2003-11-20 13:00:00 EST", "2003-11-20 13:00:00 EST  or 0 days, 0 hours"),
        ("-ispec -nzMST7", "2003-11-19 12:00:00 MST", "2003-11-20 12:00:00 MST  or 1 days, 0 hours"),
        ("-ispec -nz<+0530>-5:30", "2003-11-19 12:00:00 +0530", "2003-11-20 12:00:00 +0530  or 1 days, 0 hours"),
        (
            "-ispec -b0 -B2003-07-01 -D1 -zEST5EDT,M4.1.0,M10.5.0",
            "2003-07-01 00:00:00 EDT",
            "2003-07-02 00:00:00 EDT  or 1 days, 0 hours",
        ),
        ("-i spec -B2003-07-01", "2003-06-30 13:00:00 EDT", "2003-07-01 13:00:00 EDT  or 1 days, 0 hours"),
    ],
)
def test_old_habits_name_the_window_they_always_did(
    logs: Logs, logsum: Logsum, monkeypatch: pytest.MonkeyPatch, arguments: str, start: str, end: str
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    result = logsum("-v", "-l", str(logs.directory), *arguments.split(), now=NOW)
    assert (period_of(result), result.errors, result.status) == ([start, end], "", 0)


def test_a_window_of_no_days_is_empty_in_the_hour_that_comes_twice(
    logs: Logs, logsum: Logsum, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TZ", "America/New_York")
    for now in ("2003-10-26T05:30:00Z", "2003-10-26T06:30:00Z"):
        result = logsum("-v", "-i", "spec", "-l", str(logs.directory), "-D", "0", now=now)
        assert period_of(result)[1].endswith("  or 0 days, 0 hours")


def test_a_window_into_the_future_counts_what_has_come_so_far(logs: Logs, logsum: Logsum) -> None:
    logs.tell("2026-11-20T12:00:00Z")
    result = logsum("-iminicam", "-nD1", "-l", str(logs.directory), now="2026-11-20T12:30:00Z")
    assert period_of(result) == ["2026-11-20 12:00:00 UTC", "2026-11-21 12:00:00 UTC  or 1 days, 0 hours"]
    assert "Instrument: minicam        1 files       0 errors\n" in result.output


def test_the_window_holds_its_start_and_not_its_end(logs: Logs, logsum: Logsum) -> None:
    for ended in ("11:59:59.999", "12:00:00", "12:59:59.999", "13:00:00"):
        logs.tell(f"2026-11-20T{ended}Z", size=int(ended.replace(":", "").replace(".", "")))
    result = logsum("-iminicam", "-nh1", "-l", str(logs.directory))
    assert "Instrument: minicam        2 files       0 errors\n" in result.output
    assert "Min =    120000 bytes" in result.output
    assert "Max = 125959999\n" in result.output


@pytest.mark.parametrize(
    ("arguments", "lines"),
    [(("+v",), 6), ((), 20), (("-v",), 20), (("-v", "+v"), 6), (("+v", "-v"), 20)],
)
def test_plus_v_tells_the_counts_only_and_the_last_of_both_wins(
    logs: Logs, logsum: Logsum, arguments: tuple[str, ...], lines: int
) -> None:
    logs.tell("2026-11-20T12:00:00Z")
    result = logsum("-i", "minicam", "-l", str(logs.directory), *arguments)
    assert result.output.count("\n") == lines
    assert result.output.startswith(
        "        Internet Data Storage Report\n\nPeriod covered: 2026-11-19 18:00:00 UTC  to\n"
    )
    assert "Instrument: minicam        1 files       0 errors\n" in result.output


@pytest.mark.parametrize("arguments", [(), ("+v",)])
def test_nothing_is_printed_where_nothing_was_transferred(
    logs: Logs, logsum: Logsum, arguments: tuple[str, ...]
) -> None:
    logs.tell("2026-11-01T12:00:00Z")
    result = logsum("-i", "minicam", "-l", str(logs.directory), *arguments)
    assert (result.output, result.errors, result.status) == ("", "", 0)


def test_minus_v_prints_the_period_even_where_nothing_was_transferred(logs: Logs, logsum: Logsum) -> None:
    result = logsum("-v", "-i", "minicam", "-l", str(logs.directory))
    assert result.output.endswith("or 1 days, 0 hours\n\nInstrument: minicam        0 files       0 errors\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-z", "PST"], "unknown time zone 'PST': use a name such as America/Phoenix, or a POSIX string"),
        (["--ftp-log-zone", "XYZ"], "unknown time zone 'XYZ'"),
        (["-B", "2003-02-30"], "'2003-02-30' is not a date such as 2003-04-01"),
        (["-D", "99999999"], "outside the years 1 to 9999: use less -D, -h or -b"),
        (["-h", "1e12"], "outside the years 1 to 9999: use less -D, -h or -b"),
        (["-h", "nan"], "outside the years 1 to 9999: use less -D, -h or -b"),
        (["-b", "1e9"], "outside the years 1 to 9999: use less -D, -h or -b"),
        (["-z", ""], "unknown time zone ''"),
        (["-D", "1.5"], "invalid value for '-D' / '--days': '1.5' is not a whole number"),
        (["-h"], "option '-h' requires an argument"),
        (["--bins", "4,2"], "'4,2' is neither auto nor rising rates such as 1,2,4,8"),
        (["--bins", "x"], "'x' is neither auto nor rising rates such as 1,2,4,8"),
        (["-q"], "no such option '-q'"),
        (["-i", "../x"], "not an instrument's name: '../x'"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error_in_one_line(
    logs: Logs, logsum: Logsum, arguments: list[str], message: str
) -> None:
    result = logsum("-i", "minicam", "-l", str(logs.directory), *arguments)
    assert (result.output, result.status, result.errors.count("\n")) == ("", 2, 1)
    assert message in result.errors


def test_an_instrument_has_to_be_named(logsum: Logsum) -> None:
    result = logsum("-n")
    assert result.errors == "logsum: missing option '-i' / '--instrument' (see logsum --help)\n"
    assert result.status == 2


def test_h_is_for_hours_and_help_is_help_only(logsum: Logsum) -> None:
    result = logsum("--help")
    assert "-h, --hours HOURS" in result.output
    assert result.status == 0


def test_no_such_instrument_or_log_directory_is_told_and_never_a_silent_zero(logsum: Logsum, tmp_path: Path) -> None:
    result = logsum("-i", "minicam", "-l", str(tmp_path / "none"))
    assert result.errors.startswith(f"logsum: no such log directory: {tmp_path}/none; give")
    assert (result.output, result.status) == ("", 66)
    result = logsum("-i", "spec")
    assert "no instrument 'spec': there is no [instrument.hectospec] in the configuration" in result.errors
    assert (result.output, result.status) == ("", 66)


CONFIGURATION = """
[instrument.hectospec]
logs = "{logs}"
[instrument.minicam]
directory = "{directory}"
aliases = ["mini"]
[logsum]
bins = [0.5, 1]
"""


@pytest.fixture
def configured(logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "archq.toml"
    path.write_text(CONFIGURATION.format(logs=logs.directory, directory=logs.directory.parent))
    monkeypatch.setenv("ARCHQ_CONFIG", str(path))


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(("typed", "files"), [("spec", 2), ("hectospec", 2), ("mini", 3), ("minicam", 3), ("all", 5)])
def test_an_instrument_is_known_by_its_aliases_and_printed_as_typed(
    logs: Logs, logsum: Logsum, typed: str, files: int
) -> None:
    for instrument in ("hectospec", "hectospec", "minicam", "minicam", "mini"):
        logs.tell("2026-11-20T12:00:00Z", instrument=instrument)
    result = logsum("-i", typed)
    assert f"Instrument: {typed:<10} {files:5} files       0 errors\n" in result.output
    assert f"     {files}  at  0.5 < rate <= 1.0\n     0  at  1.0 < rate\n" in result.output


@pytest.mark.usefixtures("configured")
def test_all_gives_a_section_for_each_instrument_and_a_total(logs: Logs, logsum: Logsum) -> None:
    for instrument in ("hectospec", "undef", "minicam", "mini"):
        logs.tell("2026-11-20T12:00:00Z", instrument=instrument)
    logs.tell("2026-11-20T12:00:00Z", "rejected", instrument="minicam")
    result = logsum("+v", "-i", "all")
    assert [line for line in result.output.split("\n") if line.startswith("Instrument")] == [
        "Instrument: hectospec      1 files       0 errors",
        "Instrument: minicam        2 files       1 errors",
        "Instrument: undef          1 files       0 errors",
        "Instrument: all            4 files       1 errors",
    ]


@pytest.mark.usefixtures("configured")
def test_an_ftp_log_that_cannot_be_read_is_told_and_the_transfer_logs_take_its_place(
    logs: Logs, logsum: Logsum
) -> None:
    logs.tell("2026-11-20T12:00:00Z")
    result = logsum("-i", "minicam", "-f", "/nonexistent/xferlog")
    assert result.errors == (
        "logsum: cannot read the FTP log /nonexistent/xferlog: No such file or directory; "
        "times are the transfer logs' instead\n"
    )
    assert "FTP performance for 1 files:\n" in result.output
    assert result.status == 0


@pytest.mark.parametrize("odd", ["seconds=inf", "seconds=nan", "seconds=1 skew=-inf", "seconds=1e999", "seconds=x"])
def test_a_line_with_an_impossible_number_is_counted_and_never_a_bug(logs: Logs, logsum: Logsum, odd: str) -> None:
    logs.tell("2026-11-20T12:01:00Z", queued="2026-11-20T12:00:00.000Z")
    log = logs.directory / "20261120.tdcin.log"
    log.write_text(log.read_text().replace("seconds=12.000", odd))
    logs.tell("2026-11-20T12:00:00Z")
    result = logsum("-i", "minicam", "-l", str(logs.directory))
    assert f"{log}: 1 line skipped: cannot be read; the first is '2026-11-20T12:02:00.000Z" in result.errors
    assert "Instrument: minicam        1 files       0 errors\n" in result.output
    assert result.status == 0


def test_a_time_that_a_server_does_not_tell_is_the_sender_s(logs: Logs, logsum: Logsum) -> None:
    wire = logs.tell("2026-11-20T12:00:00Z", size=2_000_000, seconds=4)
    stranger = logs.tell("2026-11-20T12:00:00Z", instrument="megacam", size=1)
    clf = '192.0.2.7 - tdcin [20/Nov/2026:{}:00:00 +0000] "PUT /incoming/{}" 200 {}\n'
    logs.ftp_log.write_text(clf.format(11, wire, 2_000_000) + clf.format(11, stranger, 1))
    result = logsum("-i", "minicam", "-l", str(logs.directory), "-f", str(logs.ftp_log))
    assert (result.errors, result.status) == ("", 0)
    assert "Median rate:  0.50 MB/s   Median Time:   4 seconds" in result.output


def test_a_file_that_was_swept_days_later_counts_when_the_server_saw_it(logs: Logs, logsum: Logsum) -> None:
    facts = {"queued": "2026-11-15T11:59:00.000Z"}
    wire = logs.tell("2026-11-19T12:00:00Z", seconds=None, **facts)  # its sender tells no times
    logs.upload("2026-11-15T12:00:00Z", wire)
    arguments = ("-i", "minicam", "-l", str(logs.directory), "-f", str(logs.ftp_log), "-z", "UTC")
    result = logsum(*arguments, "-B", "2026-11-15", "-b0", "-D1")
    assert "Instrument: minicam        1 files       0 errors\n" in result.output
    assert logsum(*arguments, "-B", "2026-11-19", "-b0", "-D1").output == ""


def test_logs_of_later_days_are_read_for_what_was_swept_late_and_for_nothing_else(logs: Logs, logsum: Logsum) -> None:
    early = {"queued": "2026-11-15T11:59:00.000Z"}
    logs.tell("2026-11-15T12:00:00Z", swept=4 * 86_400, size=1, **early)
    wrong = {"queued": "2031-01-01T00:00:00.000Z", "skew": "-129816000.000", "arrived": "2026-11-15T12:00:00.000Z"}
    logs.tell("2026-11-15T12:00:00Z", swept=4 * 86_400, size=2, **wrong)
    logs.tell("2026-11-19T12:00:00Z", size=3, queued="2026-11-19T11:59:00.000Z")
    log = logs.directory / "20261119.tdcin.log"
    log.write_bytes(log.read_bytes() + b"2026-11-19T12:00:00.000Z filed queued=2026-11-19T11:59:00.000Z damaged\n")
    arguments = ("-i", "minicam", "-l", str(logs.directory))
    result = logsum(*arguments, "--since", "2026-11-15", "--until", "2026-11-16")
    assert "Instrument: minicam        2 files       0 errors\n" in result.output
    assert "Max =         2\n" in result.output
    assert result.errors == ""  # it has nothing to do with the damaged line
    assert "1 line skipped" in logsum(*arguments).errors
