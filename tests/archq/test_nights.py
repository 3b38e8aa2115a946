from __future__ import annotations

from datetime import date, datetime

import pytest

from archq.instants import SECOND
from archq.nights import named_night, night_of, start_of
from archq.zones import find_zone

NOON = 12 * 3600
HOUR = 3600 * SECOND


def instant(text: str, zone: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=find_zone(zone)).timestamp()) * SECOND


@pytest.mark.parametrize(
    ("clock", "night"),
    [
        ("2026-11-19 11:59:59", date(2026, 11, 18)),
        ("2026-11-19 12:00:00", date(2026, 11, 19)),
        ("2026-11-20 03:14:15", date(2026, 11, 19)),
        ("2027-01-01 05:00:00", date(2026, 12, 31)),
    ],
)
def test_a_night_is_named_by_the_date_on_which_it_begins(clock: str, night: date) -> None:
    assert night_of(instant(clock, "MST"), find_zone("MST"), NOON) == night


def test_a_night_begins_at_rollover_by_the_wall_clock_even_where_the_clock_changes() -> None:
    zone = find_zone("EST5EDT")
    before, after = (start_of(date(2026, 3, day), zone, NOON) for day in (7, 8))
    assert after - before == 23 * HOUR
    assert night_of(after, zone, NOON) == date(2026, 3, 8)
    assert night_of(after - 1, zone, NOON) == date(2026, 3, 7)


def test_with_a_rollover_at_midnight_a_night_is_a_day() -> None:
    zone = find_zone("UTC")
    assert night_of(instant("2026-11-19 23:59:59", "UTC"), zone, 0) == date(2026, 11, 19)
    assert start_of(date(2026, 11, 20), zone, 0) == instant("2026-11-20 00:00:00", "UTC")


@pytest.mark.parametrize("name", ["2002.0523", "20020523", "2002-05-23"])
def test_a_directory_may_be_named_for_its_night(name: str) -> None:
    assert named_night(name) == date(2002, 5, 23)


@pytest.mark.parametrize(
    "name", ["2002.1323", "2023.0229", "2002.0523 ", "2002.05.23", "x2002.0523", "2002-0523", "٢٠٠٢.٠٥٢٣", ""]
)
def test_what_only_looks_like_a_date_names_no_night(name: str) -> None:
    assert named_night(name) is None
