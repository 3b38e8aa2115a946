"""Periods that have names: nights, months, and times in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archq.errors import UsageError
from archq.instants import format_instant, parse_instant
from archq.zones import find_zone
from logsum.words import parse_moment

if TYPE_CHECKING:
    from pathlib import Path

    from tests.logsum.conftest import Logs, Logsum, Result

NOW = "2026-11-20T18:00:00.500000000Z"  # a Friday, 11:00 in Phoenix


def moment(text: str, now: str = NOW, zone: str = "America/Phoenix") -> str:
    return format_instant(parse_moment(text, parse_instant(now), find_zone(zone)), 1)


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("now", "2026-11-20T18:00:00.5Z"),
        ("today", "2026-11-20T07:00:00.0Z"),
        ("Yesterday", "2026-11-19T07:00:00.0Z"),
        ("yesterday noon", "2026-11-19T19:00:00.0Z"),
        ("yesterday at 18:00", "2026-11-20T01:00:00.0Z"),
        ("tomorrow midnight", "2026-11-21T07:00:00.0Z"),
        ("18:00", "2026-11-21T01:00:00.0Z"),
        ("6:30:15", "2026-11-20T13:30:15.0Z"),
        ("24:00", "2026-11-21T07:00:00.0Z"),
        ("6pm", "2026-11-21T01:00:00.0Z"),
        ("monday", "2026-11-16T07:00:00.0Z"),
        ("friday 9:00", "2026-11-20T16:00:00.0Z"),
        ("saturday", "2026-11-14T07:00:00.0Z"),
        ("2 days ago", "2026-11-18T18:00:00.5Z"),
        ("an hour ago", "2026-11-20T17:00:00.5Z"),
        ("90 minutes ago", "2026-11-20T16:30:00.5Z"),
        ("15m ago", "2026-11-20T17:45:00.5Z"),
        ("1.5 days ago", "2026-11-19T06:00:00.5Z"),
        ("a week ago", "2026-11-13T18:00:00.5Z"),
        ("2 months ago", "2026-09-20T18:00:00.5Z"),
        ("2026-11-19", "2026-11-19T07:00:00.0Z"),
        ("2026.1119", "2026-11-19T07:00:00.0Z"),
        ("20261119 noon", "2026-11-19T19:00:00.0Z"),
        ("2026-11-19 18:00", "2026-11-20T01:00:00.0Z"),
        ("2026-11-19T18:00:00Z", "2026-11-19T18:00:00.0Z"),
        ("2026-11-19T18:00:00+0200", "2026-11-19T16:00:00.0Z"),
        ("19 Nov 2026 6pm", "2026-11-20T01:00:00.0Z"),
        ("Nov 19", "2026-11-19T07:00:00.0Z"),
        ("19-Nov-2026 18:00 EST", "2026-11-19T23:00:00.0Z"),
        ("2026-11-19 18:00:00.25", "2026-11-20T01:00:00.2Z"),
    ],
)
def test_a_time_may_be_said_in_words(text: str, instant: str) -> None:
    assert moment(text) == instant


def test_a_day_ago_is_by_the_calendar_and_hours_are_exact() -> None:
    after_the_change = "2026-03-08T16:00:00Z"  # noon in New York, an hour of the night was left out
    assert moment("a day ago", after_the_change, "America/New_York") == "2026-03-07T17:00:00.0Z"
    assert moment("24 hours ago", after_the_change, "America/New_York") == "2026-03-07T16:00:00.0Z"


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not a time: ''; use a time such as 2026-11-19 18:00"),
        ("soon", "not a time: 'soon'"),
        ("5", "not a time: '5'"),
        ("2026", "not a time: '2026'"),
        ("25:00", "not a time: '25:00'"),
        ("2026-02-30", "not a time: '2026-02-30'"),
        ("11/12/2026", "not a time: '11/12/2026'"),  # November or December?
        ("20.11.2026", "not a time: '20.11.2026'"),
        ("3 blinks ago", "not a time: '3 blinks ago'"),
        ("99999 years ago", "not a time: '99999 years ago'"),
        ("9999999999 days ago", "not a time: '9999999999 days ago'"),
        ("2026-11-19 18:00 PST", "unknown time zone 'PST'"),  # which the library would silently ignore
        ("2026-11-19 18:00 UTC+3", "not a time: '2026-11-19 18:00 UTC+3'"),
    ],
)
def test_what_names_no_time_or_two_is_refused(text: str, why: str) -> None:
    with pytest.raises(UsageError) as refused:
        moment(text)
    assert why in str(refused.value)


CONFIGURATION = """
[instrument.minicam]
logs = "{logs}"
aliases = ["mini"]
zone = "MST"
rollover = "12:00"
[instrument.solar]
logs = "{logs}"
zone = "Europe/Madrid"
"""


@pytest.fixture
def configured(logs: Logs, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "archq.toml"
    path.write_text(CONFIGURATION.format(logs=logs.directory))
    monkeypatch.setenv("ARCHQ_CONFIG", str(path))


def period_of(result: Result) -> str:
    assert (result.errors, result.status) == ("", 0)
    lines = result.output.splitlines()
    return lines[2].removeprefix("Period covered: ").removesuffix("  to") + " to " + lines[3].strip()


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("arguments", "period"),
    [
        ("-i mini --night 2026-11-19", "2026-11-19 12:00:00 MST to 2026-11-20 12:00:00 MST  or 1 days, 0 hours"),
        ("-i mini --night 2026.1119", "2026-11-19 12:00:00 MST to 2026-11-20 12:00:00 MST  or 1 days, 0 hours"),
        ("-i mini --last-night", "2026-11-19 12:00:00 MST to 2026-11-20 12:00:00 MST  or 1 days, 0 hours"),
        ("-i mini --last-night -z UTC", "2026-11-19 19:00:00 UTC to 2026-11-20 19:00:00 UTC  or 1 days, 0 hours"),
        ("-i solar --night 2026-10-25", "2026-10-25 00:00:00 CEST to 2026-10-26 00:00:00 CET  or 1 days, 1 hours"),
        ("-i mini --month 2026-11", "2026-11-01 00:00:00 UTC to 2026-12-01 00:00:00 UTC  or 30 days, 0 hours"),
        (
            "-i mini --month 2026-3 -z EST5EDT",
            "2026-03-01 00:00:00 EST to 2026-04-01 00:00:00 EDT  or 30 days, 23 hours",
        ),
        ("-i mini --since yesterday", "2026-11-19 00:00:00 UTC to 2026-11-20 18:00:00 UTC  or 1 days, 18 hours"),
        (
            "-i mini --since 2026-11-19 --until 18:00 -z MST",
            "2026-11-19 00:00:00 MST to 2026-11-20 18:00:00 MST  or 1 days, 18 hours",
        ),
        ("-i mini --since now", "2026-11-20 18:00:00 UTC to 2026-11-20 18:00:00 UTC  or 0 days, 0 hours"),
    ],
)
def test_a_period_may_be_named(logsum: Logsum, arguments: str, period: str) -> None:
    assert period_of(logsum("-v", *arguments.split())) == period


def test_nights_of_an_instrument_that_nobody_configured_are_from_noon_in_the_zone_asked_for(
    logs: Logs, logsum: Logsum
) -> None:
    result = logsum("-v", "-i", "x", "-l", str(logs.directory), "--last-night", "-z", "MST")
    assert period_of(result) == "2026-11-19 12:00:00 MST to 2026-11-20 12:00:00 MST  or 1 days, 0 hours"


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("now", "night"),
    [
        ("2026-11-20T09:00:00Z", "2026-11-19"),  # two in the morning in Arizona
        ("2026-11-20T15:00:00Z", "2026-11-19"),
        ("2026-11-20T19:30:00Z", "2026-11-19"),  # half past noon
        ("2026-11-21T06:30:00Z", "2026-11-19"),  # half past eleven in the evening
        ("2026-11-21T07:30:00Z", "2026-11-20"),
    ],
)
def test_last_night_is_the_one_that_began_yesterday(logsum: Logsum, now: str, night: str) -> None:
    assert period_of(logsum("-v", "-i", "minicam", "--last-night", now=now)).startswith(f"{night} 12:00:00 MST to ")


@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("--night 2026-11-19 -D 2", "--night and -D are two ways to name a period: leave one out"),
        ("--last-night -n", "--last-night and -n are two ways to name a period: leave one out"),
        ("--month 2026-11 -B 2026-11-01", "--month and -B are two ways to name a period: leave one out"),
        ("--since yesterday -h 5", "--since and -h are two ways to name a period: leave one out"),
        ("--since yesterday -b 5", "--since and -b are two ways to name a period: leave one out"),
        ("--night 2026-11-19 --last-night", "--night and --last-night are two periods: leave one out"),
        ("--month 2026-11 --since yesterday", "--month and --since are two periods: leave one out"),
        ("--until yesterday", "--until says when the period ends: say with --since when it begins"),
        ("--month 2026-11 --until yesterday", "--month and --until are two periods: leave one out"),
        ("--month 2026-13", "--month: '2026-13' is not a month such as 2026-11"),
        ("--month 9999-12", "--month: '9999-12' is not a month such as 2026-11"),
        ("--night 2026-11-31", "--night: '2026-11-31' is not a date such as 2026-11-19 (or 2026.1119)"),
        ("--night 9999-12-31", "--night: the night of 9999-12-31 has no beginning or end in the years 1 to 9999"),
        ("--month 0001-01 -z Pacific/Apia", "the window ends or begins outside the years 1 to 9999"),
        (
            "--since 20:00 --until 19:00",
            "--since '20:00' is 2026-11-20 20:00:00 UTC, which is later than the period's end, 2026-11-20 19:00:00 UTC",
        ),
        ("--since soon", "not a time: 'soon'; use a time such as 2026-11-19 18:00, 18:00, yesterday,"),
    ],
)
def test_contradictions_are_refused_in_one_line(logsum: Logsum, arguments: str, message: str) -> None:
    result = logsum("-i", "minicam", *arguments.split())
    assert (result.output, result.status, result.errors.count("\n")) == ("", 2, 1)
    assert message in result.errors


@pytest.mark.usefixtures("configured")
def test_all_instruments_have_one_night_only_where_theirs_begin_together(logsum: Logsum) -> None:
    result = logsum("-i", "all", "--last-night")
    assert result.status == 2
    assert result.errors == (
        "logsum: -i all: minicam and solar… begin their nights at different times: "
        "name the period with -B DATE -n -D 1 -z ZONE, or --since and --until\n"
    )


@pytest.mark.parametrize(
    ("mended", "arguments", "where"),
    [
        ('zone = "MST"', ["--last-night"], "[instrument.minicam] zone"),
        ('zone = "MST"', ["--by", "night"], "[instrument.minicam] zone"),
        ("[instrument.solar]", [], "[logsum] ftp_log_zone"),
    ],
)
@pytest.mark.usefixtures("configured")
def test_a_zone_of_the_configuration_that_does_not_exist_is_to_be_mended_there(
    logs: Logs, logsum: Logsum, tmp_path: Path, mended: str, arguments: list[str], where: str
) -> None:
    logs.tell("2026-11-20T12:00:00Z")
    path = tmp_path / "archq.toml"
    wrong = '[logsum]\nftp_log_zone = "PST"\n[instrument.solar]' if "solar" in mended else 'zone = "PST"'
    path.write_text(path.read_text().replace(mended, wrong, 1))
    result = logsum("-i", "minicam", *arguments)
    assert result.errors.startswith(f"logsum: {where}: unknown time zone 'PST'")
    assert (result.status, result.errors.count("\n")) == (78, 1)
