"""Instants survive as text to the nanosecond, and nonsense is refused."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as some

from archq.errors import MalformedError
from archq.instants import SECOND, format_instant, parse_instant

FIRST = parse_instant("0001-01-01T00:00:00Z")
LAST = parse_instant("9999-12-31T23:59:59.999999999Z")


@given(some.integers(FIRST, LAST))
def test_every_instant_survives_as_text_to_the_nanosecond(instant: int) -> None:
    assert parse_instant(format_instant(instant)) == instant


@given(some.integers(FIRST, LAST), some.integers(0, 9))
def test_fewer_digits_cut_the_fraction_off_and_never_round_it_up(instant: int, digits: int) -> None:
    assert parse_instant(format_instant(instant, digits)) == instant - instant % 10 ** (9 - digits)


@given(some.datetimes(timezones=some.just(UTC)))
def test_the_standard_library_reads_the_same_instant(moment: datetime) -> None:
    text = moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ").zfill(27)
    assert datetime.fromisoformat(format_instant(parse_instant(text), 6)) == moment


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        (0, "1970-01-01T00:00:00.000000000Z"),
        (1, "1970-01-01T00:00:00.000000001Z"),
        (-1, "1969-12-31T23:59:59.999999999Z"),
        (-SECOND, "1969-12-31T23:59:59.000000000Z"),
        (951_782_400 * SECOND, "2000-02-29T00:00:00.000000000Z"),
        (1_709_251_199 * SECOND, "2024-02-29T23:59:59.000000000Z"),
        (1_795_144_455_926_535_897, "2026-11-20T03:14:15.926535897Z"),
    ],
)
def test_known_instants_are_written_as_everybody_writes_them(instant: int, text: str) -> None:
    assert format_instant(instant) == text
    assert parse_instant(text) == instant


@pytest.mark.parametrize("instant", [FIRST - 1, LAST + 1, 2**63 * SECOND, -(2**80) * SECOND])
def test_a_timestamp_beyond_the_years_of_four_digits_is_refused(instant: int) -> None:
    with pytest.raises(MalformedError, match=r"^not a time of the years 1 to 9999: "):
        format_instant(instant)


def test_ordered_text_is_ordered_time() -> None:
    instants = [FIRST, -1, 0, 1, SECOND, LAST]
    assert sorted(map(format_instant, reversed(instants))) == list(map(format_instant, instants))


def test_a_fraction_may_have_any_number_of_digits_up_to_nine() -> None:
    assert parse_instant("1970-01-01T00:00:00Z") == 0
    assert parse_instant("1970-01-01T00:00:00.5Z") == SECOND // 2
    assert parse_instant("1970-01-01T00:00:00.000000005Z") == 5


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-11-20",
        "2026-11-20T03:14:15",
        "2026-11-20 03:14:15Z",
        "2026-11-20T03:14:15z",
        "2026-11-20T03:14:15+00:00",
        "2026-11-20T03:14:15.Z",
        "2026-11-20T03:14:15.0000000001Z",
        "2026-11-20T03:14:15,5Z",
        "2026-11-20T03:14Z",
        "20261120T031415Z",
        " 2026-11-20T03:14:15Z",
        "2026-11-20T03:14:15Z\n",
        "2026-11-20T03:14:15Z ",
        "٢٠٢٦-11-20T03:14:15Z",
        "-026-11-20T03:14:15Z",
        "12026-11-20T03:14:15Z",
    ],
)
def test_what_has_another_form_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match=r"^not a UTC time such as 2026-11-20T03:14:15\.9Z: "):
        parse_instant(text)


@pytest.mark.parametrize(
    "text",
    [
        "0000-01-01T00:00:00Z",
        "2026-00-20T03:14:15Z",
        "2026-13-20T03:14:15Z",
        "2026-11-31T03:14:15Z",
        "2026-02-29T03:14:15Z",
        "1900-02-29T03:14:15Z",
        "2026-11-20T24:00:00Z",
        "2026-11-20T23:60:00Z",
        "2026-11-20T23:59:60Z",
    ],
)
def test_a_day_or_time_that_never_was_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match=r"^no such time: "):
        parse_instant(text)
