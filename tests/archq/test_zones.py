from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from archq.errors import UsageError
from archq.zones import find_zone, local_zone

if TYPE_CHECKING:
    from pathlib import Path


def offset_in_hours(text: str, month: int) -> float:
    offset = datetime(2026, month, 15, 12, tzinfo=find_zone(text)).utcoffset()
    assert offset is not None
    return offset / timedelta(hours=1)


@pytest.mark.parametrize(
    ("text", "january", "july"),
    [
        ("MST", -7, -7),
        ("America/Phoenix", -7, -7),
        (":America/Phoenix", -7, -7),
        ("UTC", 0, 0),
        ("EST5EDT", -5, -4),
        ("EST5EDT,M3.2.0,M11.1.0", -5, -4),
        ("EST+5EDT,M3.2.0/2,M11.1.0/2:00:00", -5, -4),
        ("AAA5BBB", -5, -4),
        ("MST7", -7, -7),
        ("UTC-3", 3, 3),
        ("GMT+5", -5, -5),
        ("<+0330>-3:30", 3.5, 3.5),
        ("NZST-12NZDT,M9.5.0,M4.1.0/3", 13, 12),
        ("AAA-3BBB,J60/0,J300/24", 3, 4),
        ("EST5EDT4,M3.2.0/-1,M11.1.0/26", -5, -4),
    ],
)
def test_a_zone_is_known_by_name_or_by_a_posix_string_whose_positive_numbers_are_west(
    text: str, january: float, july: float
) -> None:
    assert (offset_in_hours(text, 1), offset_in_hours(text, 7)) == (january, july)


def test_a_posix_string_brings_its_own_abbreviations() -> None:
    zone = find_zone("AAA5BBB,M3.2.0,M11.1.0")
    assert [datetime(2026, month, 1, tzinfo=zone).tzname() for month in (1, 7)] == ["AAA", "BBB"]


@pytest.mark.parametrize(
    "text",
    ["PST", "mst", "America", "../etc/passwd", "/etc/localtime", "", "\0", "EST5EDT,M3.2.0", "MST99", "EST 5", "+5"],
)
def test_an_unknown_zone_is_refused_and_never_taken_for_utc(text: str) -> None:
    with pytest.raises(UsageError, match=r"unknown time zone .* use a name such as America/Phoenix"):
        find_zone(text)


def test_a_mistyped_name_is_answered_with_the_nearest_one_but_never_with_another_coast() -> None:
    with pytest.raises(UsageError, match=r"\(did you mean Europe/Berlin\?\)"):
        find_zone("Europe/Berln")
    with pytest.raises(UsageError, match="a name such as America/Phoenix, or"):
        find_zone("PST")


def test_the_local_zone_is_that_of_the_environment_by_name_by_posix_string_or_by_file(tmp_path: Path) -> None:
    now = datetime(2026, 7, 1, tzinfo=UTC)
    assert now.astimezone(local_zone({"TZ": "EST5EDT"})).tzname() == "EDT"
    assert now.astimezone(local_zone({"TZ": "AAA5"})).tzname() == "AAA"
    with pytest.raises(UsageError, match="cannot read this time zone: No such file"):
        local_zone({"TZ": f":{tmp_path}/none"})
    assert local_zone({}).utcoffset(now) is not None
