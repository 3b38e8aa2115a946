"""What is in one ledger and not in the other."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest

from archq.instants import SECOND, format_instant, parse_instant
from archq.names import WireName, new_id
from archq.transferlog import Outcome, format_outcome
from logsum.reconcile import KINDS
from tests.archq.instrument import Instrument

if TYPE_CHECKING:
    from pathlib import Path

    from tests.logsum.conftest import Logs, Logsum, Result

NOON = "2026-11-20T12:00:00Z"
CHECKSUM = f"sha256:{'0' * 64}"


@pytest.fixture
def reconcile(logs: Logs, logsum: Logsum, tmp_path: Path) -> Logsum:
    """Compare the transfer logs with the server's log and, if there is one, the spool's."""

    def run(*arguments: str, now: str = "2026-11-20T18:00:00Z") -> Result:
        ledgers = ["-l", str(logs.directory), "-f", str(logs.ftp_log)]
        if (tmp_path / "spool").exists():
            ledgers += ["--spool", str(tmp_path / "spool")]
        return logsum("-i", "minicam", "--reconcile", *ledgers, *arguments, now=now)

    return run


def sent(tmp_path: Path, wire: WireName, at: str = NOON, name: str = "img0001.fits") -> None:
    """Write what a shipper tells its spool's log."""
    facts = {"request": "archive-7", "part": "1/1", "name": name, "wire": str(wire).removesuffix(".df")}
    log = tmp_path / "spool" / "log" / f"{at[:10].replace('-', '')}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as file:
        file.write(format_outcome(Outcome(time=parse_instant(at), outcome="queued", facts={"request": "archive-7"})))
        file.write(format_outcome(Outcome(time=parse_instant(at), outcome="sent", facts=facts)))


def wire(instrument: str = "minicam") -> WireName:
    return WireName(instrument=instrument, id=new_id(), attempt=1)


def whole(logs: Logs, tmp_path: Path, at: str = NOON) -> WireName:
    """Let a file go down the whole line."""
    found = logs.tell(at)
    logs.upload(at, found)
    sent(tmp_path, found, at)
    return found


def differences(result: Result) -> list[tuple[str, str, str]]:
    """Return kind, wire name and particulars of each difference that was printed."""
    lines = result.output.partition("\n\n")[2].split("\n")[2:-1]
    parts = [line.partition("UTC  ")[2] for line in lines]
    width = max(map(len, KINDS))
    return [(part[:width].strip(), *part[width + 2 :].split("  ", 1)) for part in parts]  # type: ignore[misc]


def test_nothing_is_printed_where_all_ledgers_agree(logs: Logs, reconcile: Logsum, tmp_path: Path) -> None:
    whole(logs, tmp_path)
    result = reconcile()
    assert (result.output, result.errors, result.status) == ("", "", 0)


def test_minus_v_tells_what_was_compared_even_then(logs: Logs, reconcile: Logsum, tmp_path: Path) -> None:
    for _ in range(3):
        whole(logs, tmp_path)
    assert reconcile("-v").output == (
        "Ledgers compared: 2026-11-19 18:00:00 UTC  to\n"
        "                  2026-11-20 18:00:00 UTC  or 1 days, 0 hours\n"
        "\n"
        "3 sent, 3 arrived, 3 filed; 0 differences\n"
    )


def test_what_was_sent_and_never_arrived_is_listed(logs: Logs, reconcile: Logsum, tmp_path: Path) -> None:
    whole(logs, tmp_path)
    lost = wire()
    sent(tmp_path, lost, name="a\x1bb")
    result = reconcile()
    assert result.output == (
        "Ledgers compared: 2026-11-19 18:00:00 UTC  to\n"
        "                  2026-11-20 18:00:00 UTC  or 1 days, 0 hours\n"
        "\n"
        "2 sent, 1 arrived, 1 filed; 1 difference\n"
        "\n"
        f"2026-11-20 12:00:00 UTC  sent, not arrived              {lost}  a\\x1bb of archive-7\n"
    )
    assert (result.errors, result.status) == ("", 3)


def test_what_arrived_and_was_never_filed_is_listed(logs: Logs, reconcile: Logsum) -> None:
    lost = wire()
    logs.upload(NOON, lost, size=77)
    result = reconcile()
    assert differences(result) == [("arrived, not filed", str(lost), "77 bytes from ::ffff:192.0.2.7 (tdcin)")]
    assert result.status == 3


def test_what_arrived_and_was_rejected_is_listed_with_the_reason(logs: Logs, reconcile: Logsum) -> None:
    lost = logs.tell(NOON, "rejected", reason="checksum is wrong")
    logs.upload(NOON, lost)
    assert differences(reconcile()) == [("arrived, not filed", str(lost), "rejected: checksum is wrong")]


def test_what_arrived_only_in_part_is_listed(logs: Logs, reconcile: Logsum) -> None:
    lost = wire()
    logs.upload(NOON, lost, size=77, end="b _ i r tdcin ftp 0 * i")
    assert differences(reconcile()) == [("arrived in part", str(lost), "77 bytes from ::ffff:192.0.2.7 (tdcin)")]


def test_what_was_filed_and_the_server_never_saw_is_listed(logs: Logs, reconcile: Logsum, tmp_path: Path) -> None:
    whole(logs, tmp_path, "2026-11-20T11:00:00Z")
    unseen = logs.tell(NOON, path="2026.1120/a.fits")
    found = differences(reconcile())
    assert found == [("filed, not seen by the server", str(unseen), "8388608 bytes, 2026.1120/a.fits")]


def test_what_was_filed_before_the_servers_log_begins_is_not_looked_for_in_it(logs: Logs, reconcile: Logsum) -> None:
    logs.tell("2026-11-20T10:00:00Z")
    later = logs.tell(NOON)
    logs.upload(NOON, later)
    result = reconcile()
    assert (result.output, result.status) == ("", 0)
    assert result.errors == (
        f"logsum: {logs.ftp_log} begins too late for 1 of the files, which are not looked for in it: "
        "name one that still has its elders beside it\n"
    )


def test_sizes_that_differ_are_listed(logs: Logs, reconcile: Logsum) -> None:
    cut = logs.tell(NOON, size=3000)
    logs.upload(NOON, cut, size=2999)
    assert differences(reconcile()) == [("sizes differ", str(cut), "3000 bytes were filed, the server tells of 2999")]


def test_a_resumed_upload_agrees(logs: Logs, reconcile: Logsum) -> None:
    resumed = logs.tell(NOON, size=3000)
    logs.upload("2026-11-20T11:59:00Z", resumed.part, size=1000, end="b _ i r tdcin ftp 0 * i")
    logs.upload(NOON, resumed.part, size=2000)
    assert (reconcile().output, reconcile().status) == ("", 0)


def test_names_that_were_used_twice_are_listed(logs: Logs, reconcile: Logsum) -> None:
    for outcome, facts in (
        ("filed", {"path": "2026.1120/a.fits"}),
        ("filed", {"path": "2026.1120/a.fits"}),
        ("conflict", {"path": "2026.1120/b~2.fits", "with": "2026.1120/b.fits"}),
    ):
        logs.upload(NOON, logs.tell(NOON, outcome, **facts))
    found = differences(reconcile())
    assert sorted((kind, detail.partition(";")[0]) for kind, _wire, detail in found) == [
        ("name used twice", "2026.1120/a.fits"),
        ("name used twice", "2026.1120/b.fits"),
    ]


@pytest.mark.parametrize("outcome", ["duplicate", "superseded", "swept"])
def test_what_is_somewhere_else_on_purpose_is_no_difference(logs: Logs, reconcile: Logsum, outcome: str) -> None:
    logs.upload(NOON, logs.tell(NOON, outcome))
    assert (reconcile().output, reconcile().status) == ("", 0)


def test_what_may_still_be_under_way_is_not_missed_yet(logs: Logs, reconcile: Logsum, tmp_path: Path) -> None:
    logs.upload("2026-11-20T17:30:00Z", wire())
    sent(tmp_path, wire(), "2026-11-20T17:30:00Z")
    assert reconcile().status == 0
    assert len(differences(reconcile("-D-2", now="2026-11-20T19:00:00Z"))) == 2


def test_other_instruments_and_other_days_are_left_out(logs: Logs, reconcile: Logsum, tmp_path: Path) -> None:
    whole(logs, tmp_path)
    logs.upload(NOON, wire("megacam"))
    sent(tmp_path, wire("megacam"))
    for elsewhen in ("2026-11-18T12:00:00Z", "2026-11-20T18:00:00Z"):
        logs.upload(elsewhen, wire())
        sent(tmp_path, wire(), elsewhen)
        logs.tell(elsewhen)
    assert (reconcile().output, reconcile().status) == ("", 0)


def test_a_lost_file_is_listed_whatever_its_instrument_with_all(logs: Logs, logsum: Logsum) -> None:
    logs.upload(NOON, wire("megacam"))
    result = logsum("-i", "all", "--reconcile", "-l", str(logs.directory), "-f", str(logs.ftp_log))
    assert [kind for kind, *_rest in differences(result)] == ["arrived, not filed"]


def test_the_differences_are_data_too(logs: Logs, reconcile: Logsum) -> None:
    lost = wire()
    logs.upload(NOON, lost, size=77)
    expected = {
        "time": "2026-11-20T12:00:00.000Z",
        "instrument": "minicam",
        "kind": "arrived, not filed",
        "wire": str(lost),
        "detail": "77 bytes from ::ffff:192.0.2.7 (tdcin)",
    }
    result = reconcile("--format", "csv")
    assert [*csv.DictReader(result.output.split("\n"))] == [expected]
    assert result.status == 3
    document = json.loads(reconcile("--format", "json").output)
    assert document["differences"] == [expected]
    assert (document["sent"], document["arrived"], document["filed"], document["version"]) == (None, 1, 0, 1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--reconcile"], "--reconcile needs something to compare the transfer logs with: give -f, --spool or both"),
        (
            ["--reconcile", "-f", "x", "--by", "day"],
            "--reconcile makes no report: leave --by, --details, --plot",
        ),
        (["--spool", "x"], "--spool is for --reconcile only"),
    ],
)
def test_what_cannot_be_compared_is_a_usage_error(
    logs: Logs, logsum: Logsum, arguments: list[str], message: str
) -> None:
    result = logsum("-i", "minicam", "-l", str(logs.directory), *arguments)
    assert (result.output, result.status) == ("", 2)
    assert message in result.errors


def test_a_ledger_that_cannot_be_read_is_no_empty_one(logs: Logs, logsum: Logsum, tmp_path: Path) -> None:
    arguments = ["-i", "minicam", "-l", str(logs.directory), "--reconcile"]
    result = logsum(*arguments, "-f", str(tmp_path / "none"))
    assert result.errors == f"logsum: cannot read the FTP log {tmp_path}/none: No such file or directory\n"
    assert (result.output, result.status) == ("", 66)
    result = logsum(*arguments, "--spool", str(tmp_path))
    assert f"no spool in {tmp_path}: there is no directory log in it" in result.errors
    assert result.status == 66


def test_a_damaged_line_of_the_spools_log_is_told(logs: Logs, reconcile: Logsum, tmp_path: Path) -> None:
    whole(logs, tmp_path)
    (tmp_path / "spool" / "log" / "20261120.log").open("ab").write(b"2026-11-20T12:00:00Z sent wi\n")
    result = reconcile()
    assert "20261120.log: 1 line skipped: cannot be read" in result.errors
    assert result.status == 0


def test_a_real_spool_is_compared_by_size_and_checksum(tmp_path: Path, logsum: Logsum) -> None:
    instrument = Instrument.at(tmp_path)
    request = instrument.submit()
    instrument.archq("ship", "--once")
    later = format_instant(time.time_ns() + 2 * 3600 * SECOND)
    archive = tmp_path / "archive"
    (archive / "xferlogs").mkdir(parents=True)
    arguments = ["-i", "minicam", "--reconcile", "-l", str(archive / "xferlogs"), "--spool", str(tmp_path / "spool")]
    result = logsum(*arguments, now=later)
    assert [(kind, detail) for kind, _wire, detail in differences(result)] == [
        ("sent, not filed", f"img0001.fits of {request}")
    ]
    sweep = [sys.executable, "-c", "from sweeper.cli import main; raise SystemExit(main())"]
    subprocess.run([*sweep, "-i", "minicam", "-d", archive, "-f", tmp_path / "incoming"], check=True)
    assert logsum(*arguments, now=later).status == 0
    log = next((archive / "xferlogs").glob("*.tdcin.log"))
    filed = log.read_text()
    digest = filed.partition("checksum=sha256:")[2][:64]
    log.write_text(filed.replace(digest, "0" * 64))
    ((kind, _wire, detail),) = differences(logsum(*arguments, now=later))
    assert (kind, detail) == (
        "checksums differ",
        f"{CHECKSUM} was filed, sha256:{digest} was sent (img0001.fits of {request})",
    )
