"""The report for programs: JSON, CSV and ECSV."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pytest
from astropy import units
from astropy.table import Table

from logsum.figures import FIGURES, figures
from logsum.tally import Tally

if TYPE_CHECKING:
    from tests.logsum.conftest import Logs, Logsum


@pytest.fixture
def told(logs: Logs) -> Logs:
    """Three files of minicam in two nights, one of hectospec, and two that failed."""
    logs.tell("2026-11-19T12:00:00Z", size=4_000_000, seconds=8, queued="2026-11-19T11:00:00.000Z", path="2026.1118/a")
    logs.tell("2026-11-20T12:00:00Z", size=6_000_000, seconds=2, queued="2026-11-20T11:30:00.000Z", path="2026.1119/b")
    logs.tell("2026-11-20T12:30:00Z", size=1_000_000, seconds=2, path="2026.1119/c")
    logs.tell("2026-11-20T12:00:00Z", "rejected", reason="truncated: 5 bytes arrived, 10 were sent", seconds=None)
    logs.tell("2026-11-20T12:00:00Z", instrument="hectospec", size=5, seconds=None, path="2026.1119/d")
    logs.tell("2026-11-20T12:00:00Z", "rejected", instrument="hectospec", reason="it", seconds=None)
    return logs


def report(logsum: Logsum, logs: Logs, *arguments: str) -> str:
    result = logsum("-l", str(logs.directory), "--since", "2026-11-19", *arguments)
    assert (result.errors, result.status) == ("", 0)
    return result.output


def as_json(logsum: Logsum, logs: Logs, *arguments: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(report(logsum, logs, "--format", "json", *arguments))
    return document


def test_json_tells_the_whole_report(told: Logs, logsum: Logsum) -> None:
    document = as_json(logsum, told, "-i", "minicam", "--by", "night", "-z", "MST")
    [minicam] = document.pop("instruments")
    assert document == {
        "version": 1,
        "made": "2026-11-20T18:00:00.000Z",
        "start": "2026-11-19T07:00:00.000Z",
        "end": "2026-11-20T18:00:00.000Z",
        "zone": "MST",
        "by": "night",
        "total": None,
        "used_twice": [],
        "problems": [],
    }
    rows = minicam.pop("rows")
    assert [(row["night"], row["files"], row["bytes"]) for row in rows] == [
        ("2026-11-18", 1, 4_000_000),
        ("2026-11-19", 2, 7_000_000),
    ]
    assert set(rows[0]) == {"night", *(figure.name for figure in FIGURES)}
    assert minicam.pop("percentiles")["size"]["50"] == 4_000_000
    assert minicam.pop("bins")[0] == {"above": 0, "up_to": 1e6, "files": 2}
    assert minicam == {
        "instrument": "minicam",
        "files": 3,
        "errors": 1,
        "bytes": 11_000_000,
        "timed": 3,
        "size_min": 1_000_000,
        "size_median": 4_000_000,
        "size_max": 6_000_000,
        "seconds_min": 2,
        "seconds_median": 2,
        "seconds_max": 8,
        "rate_min": 500_000,
        "rate_median": 500_000,
        "rate_max": 3_000_000,
        "latency_median": 2760,
        "latency_90": 3480,
        "latency_99": 3642,
        "latency_max": 3660,
        "throughput": 87.302,
        "reasons": {"truncated: … bytes arrived, … were sent": 1},
    }


def test_json_tells_all_instruments_and_their_sum_apart(told: Logs, logsum: Logsum) -> None:
    document = as_json(logsum, told, "-i", "all")
    assert [(one["instrument"], one["files"]) for one in document["instruments"]] == [("hectospec", 1), ("minicam", 3)]
    assert (document["total"]["files"], document["total"]["errors"]) == (4, 2)
    assert (document["by"], "rows" in document["total"]) == (None, False)
    assert document["instruments"][0]["rate_median"] is None


def test_json_tells_names_used_twice_and_what_could_not_be_read(logs: Logs, logsum: Logsum) -> None:
    hostile = '2026.1119/"</script>\n\udcff.fits'
    logs.tell("2026-11-20T12:00:00Z", "conflict", path="2026.1119/x~2.fits", **{"with": hostile})
    with (logs.directory / "20261120.tdcin.log").open("ab") as log:
        log.write(b"?\n")
    result = logsum("-l", str(logs.directory), "-i", "minicam", "--format", "json")
    document = json.loads(result.output)
    assert document["used_twice"] == [
        {"instrument": "minicam", "name": hostile, "files": 1, "kept": ["2026.1119/x~2.fits"]}
    ]
    [problem] = document["problems"]
    assert result.errors == f"logsum: {problem}\n"
    assert "1 line skipped" in problem
    assert result.output.isascii()


def test_json_tells_of_nothing_too(logs: Logs, logsum: Logsum) -> None:
    [section] = as_json(logsum, logs, "-i", "minicam")["instruments"]
    assert (section["files"], section["rate_median"], section["bins"], section["percentiles"]) == (0, None, [], {})


def test_csv_has_a_line_for_each_instrument_and_no_sum(told: Logs, logsum: Logsum) -> None:
    lines = list(csv.DictReader(io.StringIO(report(logsum, told, "-i", "all", "--format", "csv"))))
    assert [(line["instrument"], line["files"], line["rate_max"]) for line in lines] == [
        ("hectospec", "1", ""),
        ("minicam", "3", "3000000.0"),
    ]
    assert list(lines[0]) == ["instrument", *(figure.name for figure in FIGURES)]
    by_instrument = report(logsum, told, "-i", "all", "--format", "csv", "--by", "instrument")
    assert by_instrument == report(logsum, told, "-i", "all", "--format", "csv")


def test_csv_has_a_line_for_each_night_of_each_instrument(told: Logs, logsum: Logsum) -> None:
    output = report(logsum, told, "-i", "all", "--format", "csv", "--by", "night", "-z", "MST")
    lines = list(csv.DictReader(io.StringIO(output)))
    assert [(line["instrument"], line["night"], line["files"]) for line in lines] == [
        ("hectospec", "2026-11-19", "1"),
        ("minicam", "2026-11-18", "1"),
        ("minicam", "2026-11-19", "2"),
    ]


@pytest.mark.parametrize("by", ["hour", "day", "night", "month", "instrument"])
def test_astropy_reads_the_table_with_its_units(told: Logs, logsum: Logsum, by: str) -> None:
    table = Table.read(report(logsum, told, "-i", "all", "--format", "ecsv", "--by", by), format="ascii.ecsv")
    assert set(table["instrument"]) == {"hectospec", "minicam"}
    assert by in table.colnames
    of_minicam = table[table["instrument"] == "minicam"]
    assert of_minicam["files"].sum() == 3
    assert of_minicam["bytes"].unit == units.byte
    assert of_minicam["rate_max"].quantity.max().to("Mbyte/s").value == pytest.approx(3)
    assert table["seconds_median"].unit == units.s
    assert table["rate_median"].mask.any()  # hectospec's file was not timed
    assert table["size_min"].dtype.kind == "i"
    assert table["latency_90"].description == "which nine of ten files took at most"
    assert table.meta["start"] == "2026-11-19T00:00:00.000Z"


def test_astropy_reads_a_table_of_nothing(logs: Logs, logsum: Logsum) -> None:
    output = report(logsum, logs, "-i", "minicam", "--format", "ecsv", "--by", "night")
    assert len(Table.read(output, format="ascii.ecsv")) == 0


def test_every_figure_is_computed_and_has_a_meaning() -> None:
    assert list(figures(Tally())) == [figure.name for figure in FIGURES]
    assert all(figure.meaning and "'" not in figure.meaning for figure in FIGURES)
