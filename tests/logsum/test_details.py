"""More than the original told: totals, percentiles, reasons, names used twice, and tables."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from logsum.tally import chosen_bounds, in_bins, kind_of, quantile

if TYPE_CHECKING:
    from pathlib import Path

    from tests.logsum.conftest import Logs, Logsum

CONFIGURATION = """
[instrument.minicam]
logs = "{logs}"
zone = "MST"
rollover = "12:00"
[instrument.hectospec]
logs = "{logs}"
zone = "MST"
rollover = "12:00"
"""


@pytest.fixture(autouse=True)
def configured(logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "archq.toml"
    path.write_text(CONFIGURATION.format(logs=logs.directory))
    monkeypatch.setenv("ARCHQ_CONFIG", str(path))


def after(text: str, heading: str) -> list[str]:
    """Return the lines after the one that begins with ``heading``, up to the next empty one."""
    return text[text.index(f"\n{heading}") :].partition("\n\n")[0].strip("\n").split("\n")[1:]


def test_the_report_that_nobody_asks_details_of_has_none(logs: Logs, logsum: Logsum) -> None:
    logs.tell("2026-11-20T12:00:00Z", queued="2026-11-20T11:00:00.000Z")
    plain, detailed = logsum("-i", "minicam"), logsum("-i", "minicam", "--details")
    assert plain.output.endswith("     0  at  8.0 < rate\n")
    assert detailed.output.startswith(plain.output)
    assert len(detailed.output) > len(plain.output)


def test_details_tell_the_total_and_how_much_that_is_a_second(logs: Logs, logsum: Logsum) -> None:
    for hour in (12, 13):
        logs.tell(f"2026-11-20T{hour}:00:00Z", size=43_200_000)
    result = logsum("-i", "minicam", "--details")
    assert "\nTotal: 86.4 MB in 2 files, 1.0 kB/s over the period\n" in result.output
    into_the_future = logsum("-i", "minicam", "--details", "-b10", "-D1", now="2026-11-20T18:00:00Z")
    assert "\nTotal: 86.4 MB in 2 files, 3.0 kB/s over the period\n" in into_the_future.output


def test_details_tell_percentiles_and_how_long_files_were_on_their_way(logs: Logs, logsum: Logsum) -> None:
    for number in range(1, 102):
        seconds = number * 10
        queued = f"2026-11-20T11:{number // 60:02}:{number % 60:02}.000Z"
        logs.tell("2026-11-20T12:00:00Z", size=number * 1_000_000, seconds=seconds, swept=0, queued=queued)
    result = logsum("-i", "minicam", "--details")
    table = [line.split() for line in after(result.output, "              10 %")]
    assert table[1:] == [
        ["Size,", "MB", "11.00", "51.00", "91.00", "100.00", "101.00"],
        ["Rate,", "MB/s", "0.10", "0.10", "0.10", "0.10", "0.10"],
        ["Time,", "s", "110.0", "510.0", "910.0", "1000.0", "1010.0"],
        ["Latency", "58", "min", "59", "min", "60", "min", "60", "min", "60", "min"],
    ]


def test_times_of_a_fast_link_are_told_in_thousandths(logs: Logs, logsum: Logsum) -> None:
    logs.tell("2026-11-20T12:00:00Z", size=1_000_000, seconds=0.009)
    table = after(logsum("-i", "minicam", "--details").output, "              10 %")
    assert table[-1].split() == ["Time,", "s", *["0.009"] * 5]


def test_latency_goes_by_the_archive_s_clock_where_the_instrument_s_was_wrong(logs: Logs, logsum: Logsum) -> None:
    facts = {"queued": "2026-11-20T10:00:00.000Z", "skew": "+7200.000", "arrived": "2026-11-20T12:10:00.000Z"}
    logs.tell("2026-11-20T10:10:00Z", swept=2 * 3600 + 600, **facts)
    result = logsum("-i", "minicam", "--details")
    assert after(result.output, "              10 %")[-1].split() == ["Latency", *["20", "min"] * 5]


def test_errors_are_counted_by_reason_whatever_their_numbers(logs: Logs, logsum: Logsum) -> None:
    reasons = [
        "truncated: 5 bytes arrived, 10 were sent",
        f"the checksum is sha256:{'ab' * 32}, sha256:{'cd' * 32} was sent",
        "truncated: 17 bytes arrived, 20000 were sent",
        "the control file is wrong: not an outcome: 'x\x1b[31m'",
    ]
    for reason in reasons:
        logs.tell("2026-11-20T12:00:00Z", "rejected", reason=reason)
    logs.tell("2026-11-20T12:00:00Z", "error")
    result = logsum("-i", "minicam", "--details")
    assert after(result.output, "Errors by reason:") == [
        "     2  truncated: … bytes arrived, … were sent",
        "     1  the checksum is …, … was sent",
        "     1  the control file is wrong: not an outcome: …",
        "     1  no reason is told",
    ]


def test_a_reason_cannot_steer_a_terminal(logs: Logs, logsum: Logsum) -> None:
    logs.tell("2026-11-20T12:00:00Z", "rejected", reason="odd \x1b[31m name\u202e")
    result = logsum("-i", "minicam", "--details")
    assert after(result.output, "Errors by reason:") == ["     1  odd \\x1b[31m name\\u202e"]


def test_names_used_twice_are_told_and_where_the_others_are(logs: Logs, logsum: Logsum) -> None:
    first, second = "2026.1119/img0001.fits", "2026.1119/img0002.fits"
    logs.tell("2026-11-20T12:00:00Z", path=first)
    logs.tell("2026-11-20T12:01:00Z", path=second)
    logs.tell("2026-11-20T12:02:00Z", path=second)  # somebody had moved the first one away
    logs.tell("2026-11-20T12:03:00Z", path="2026.1119/img0003.fits")
    for number in (2, 3):
        logs.tell("2026-11-20T12:04:00Z", "conflict", path=f"2026.1119/img0001~{number}.fits", **{"with": first})
    logs.tell("2026-11-20T12:05:00Z", "conflict", path="2026.1118/x~2.fits", **{"with": "2026.1118/x.fits"})
    result = logsum("-i", "minicam", "--details")
    assert after(result.output, "Names used twice:") == [
        "  2026.1118/x.fits  (1 file, kept as 2026.1118/x~2.fits)",
        f"  {first}  (3 files, kept as 2026.1119/img0001~2.fits, 2026.1119/img0001~3.fits)",
        f"  {second}  (2 files)",
    ]


def test_a_list_without_end_is_cut_and_says_so(logs: Logs, logsum: Logsum) -> None:
    for number in range(23):
        for _twice in range(2):
            logs.tell("2026-11-20T12:00:00Z", path=f"2026.1119/{number:02}.fits")
    told = after(logsum("-i", "minicam", "--details").output, "Names used twice:")
    assert len(told) == 21
    assert told[-1] == "  and 3 more (--format json tells all)"


def table(text: str, heading: str) -> list[list[str]]:
    return [line.split() for line in after(text, heading)[1:]]


def test_an_outage_is_no_empty_night_and_a_double_one(logs: Logs, logsum: Logsum) -> None:
    """The line was down from the 18th to the 20th: each file is told under the night in which it was taken."""
    for night, count in ((17, 2), (18, 3), (19, 4)):
        for number in range(count):
            taken = f"2026-11-{night + 1}T05:00:0{number}.000Z"
            arrived = f"2026-11-{'18' if night == 17 else '20'}T06:00:00Z"
            logs.tell(arrived, queued=taken, size=1_000_000, swept=0, path=f"2026.11{night}/img{number}.fits")
    result = logsum("-i", "minicam", "--since", "2026-11-17", "--by", "night")
    assert table(result.output, "Night ") == [
        ["2026-11-17", "2", "0", "2.0", "0.08", "60", "min", "60", "min"],
        ["2026-11-18", "3", "0", "3.0", "0.08", "25", "h", "25", "h"],
        ["2026-11-19", "4", "0", "4.0", "0.08", "60", "min", "60", "min"],
    ]


def test_without_a_dated_directory_the_night_is_that_in_which_a_file_was_queued(logs: Logs, logsum: Logsum) -> None:
    logs.tell("2026-11-20T12:00:00Z", queued="2026-11-18T18:59:59.000Z", path="flats/a.fits")
    logs.tell("2026-11-20T12:00:00Z", queued="2026-11-18T19:00:00.000Z", path="flats/b.fits")
    logs.tell("2026-11-20T12:00:00Z", path="flats/c.fits")
    logs.tell("2026-11-20T12:00:00Z", "rejected", queued="2026-11-18T19:00:00.000Z")
    rows = table(logsum("-i", "minicam", "--by", "night").output, "Night ")
    assert [row[:3] for row in rows] == [["2026-11-17", "1", "0"], ["2026-11-18", "1", "1"], ["2026-11-19", "1", "0"]]


def test_a_night_of_clouds_is_a_line_and_the_future_is_none(logs: Logs, logsum: Logsum) -> None:
    logs.tell("2026-11-17T06:00:00Z", path="2026.1116/a.fits")
    result = logsum("-i", "minicam", "-B2026-11-01", "-b0", "-D60", "--by", "night")
    assert [row[:2] for row in table(result.output, "Night ")] == [
        ["2026-11-16", "1"],
        ["2026-11-17", "0"],
        ["2026-11-18", "0"],
        ["2026-11-19", "0"],
    ]


def test_a_clock_that_went_wild_does_not_make_a_line_for_every_night_since(logs: Logs, logsum: Logsum) -> None:
    logs.tell("2026-11-20T06:00:00Z", path="1970.0101/a.fits")
    logs.tell("2026-11-20T06:00:00Z", "rejected", queued="0001-01-01T00:00:00.000Z", reason="its times")
    logs.tell("2026-11-20T06:00:00Z", path="2026.1117/b.fits")
    result = logsum("-i", "minicam", "--since", "2026-11-18 00:00", "--by", "night", "-z", "MST")
    assert [row[:3] for row in table(result.output, "Night ")] == [
        ["1970-01-01", "1", "0"],
        ["2026-11-17", "1", "0"],
        ["2026-11-18", "0", "0"],
        ["2026-11-19", "0", "1"],
    ]


def test_nights_may_be_counted_from_the_first_year_on(logs: Logs, logsum: Logsum) -> None:
    logs.tell("2026-11-20T06:00:00Z", path="2026.1119/a.fits")
    result = logsum("-i", "minicam", "--since", "0001-01-01", "--by", "night", "-z", "MST")
    assert [row[:2] for row in table(result.output, "Night ")] == [["2026-11-19", "1"]]


def test_a_size_that_no_file_can_have_is_no_bug(logs: Logs, logsum: Logsum) -> None:
    logs.tell("2026-11-20T06:00:00Z", size=10**30)
    assert logsum("-i", "minicam", "--details").status == 0


@pytest.mark.parametrize(
    ("by", "labels"),
    [
        ("hour", ["2026-11-01 01:00 EDT", "2026-11-01 01:00 EST", "2026-11-01 02:00 EST"]),
        ("day", ["2026-10-31", "2026-11-01"]),
        ("month", ["2026-10", "2026-11"]),
    ],
)
def test_hours_days_and_months_are_by_the_clock_of_the_report(
    logs: Logs, logsum: Logsum, by: str, labels: list[str]
) -> None:
    if by != "hour":
        logs.tell("2026-11-01T03:59:59Z")
    for instant in ("2026-11-01T05:30:00Z", "2026-11-01T06:30:00Z", "2026-11-01T07:00:00Z"):
        logs.tell(instant)
    arguments = ["-i", "minicam", "--since", "2026-10-30", "--until", "2026-11-01 02:30", "-z", "EST5EDT"]
    told = after(logsum(*arguments, "--by", by).output, f"{by.capitalize()} ")[1:]
    assert [line[: len(label)] for line, label in zip(told, labels, strict=True)] == labels


def test_all_instruments_have_a_table_each_and_one_together(logs: Logs, logsum: Logsum) -> None:
    for instrument in ("minicam", "hectospec", "hectospec"):
        logs.tell("2026-11-20T12:00:00Z", instrument=instrument, path="2026.1119/a.fits")
    result = logsum("+v", "-i", "all", "--by", "night")
    tables = result.output.split("Instrument: ")[1:]
    assert [(one.split()[0], table(one, "Night ")[0][:2]) for one in tables] == [
        ("hectospec", ["2026-11-19", "2"]),
        ("minicam", ["2026-11-19", "1"]),
        ("all", ["2026-11-19", "3"]),
    ]
    result = logsum("+v", "-i", "all", "--by", "instrument")
    assert [row[:2] for row in table(result.output, "Instrument  ")] == [
        ["hectospec", "2"],
        ["minicam", "1"],
        ["all", "3"],
    ]


def test_nothing_is_told_of_nothing_with_details_and_tables_either(logsum: Logsum) -> None:
    assert logsum("-i", "minicam", "--details", "--by", "night").output == ""
    told = logsum("-v", "-i", "minicam", "--details", "--by", "night")
    assert told.output.endswith("Instrument: minicam        0 files       0 errors\n")
    assert (told.errors, told.status) == ("", 0)


@pytest.mark.parametrize(
    ("rates", "bounds"),
    [
        ([0.3, 0.4], (0.1, 0.2, 0.5, 1.0)),
        ([3.0, 1.0], (0.2, 0.5, 1.0, 2.0)),
        ([118.0, 90.0], (10.0, 20.0, 50.0, 100.0)),
        ([1200.0], (100.0, 200.0, 500.0, 1000.0)),
        ([0.0], (0.1, 0.2, 0.5, 1.0)),
    ],
)
def test_bins_may_be_chosen_to_fit_a_fast_link(rates: list[float], bounds: tuple[float, ...]) -> None:
    assert chosen_bounds(rates) == pytest.approx(bounds)
    assert in_bins(rates, bounds)[-1] == sum(rate > bounds[-1] for rate in rates)


def test_a_fast_link_s_rates_are_told_apart_with_bins_auto(logs: Logs, logsum: Logsum) -> None:
    for rate in (90, 110, 118, 60):
        logs.tell("2026-11-20T12:00:00Z", size=rate * 10**6, seconds=1)
    result = logsum("-i", "minicam", "--bins", "auto")
    assert result.output.endswith(
        "     0  at  0.0 < rate <= 10.0 MB/sec\n"
        "     0  at  10.0 < rate <= 20.0\n"
        "     0  at  20.0 < rate <= 50.0\n"
        "     2  at  50.0 < rate <= 100.0\n"
        "     2  at  100.0 < rate\n"
    )


def test_a_quantile_lies_between_two_values_in_proportion() -> None:
    assert [quantile([1, 2, 3, 5], share) for share in (0, 0.5, 0.9, 1)] == pytest.approx([1, 2.5, 4.4, 5])
    assert quantile([7], 0.99) == 7


def test_reasons_of_one_kind_are_equal() -> None:
    assert kind_of("the data file has 2 hard links, so that") == kind_of("the data file has 17 hard links, so that")
    assert kind_of("the name of img2 is 'a'") == "the name of img2 is …"
