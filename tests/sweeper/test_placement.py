"""Where files belong, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime

import pytest

from archq.errors import MalformedError
from archq.instants import SECOND, parse_instant
from archq.zones import find_zone
from sweeper.placement import Rules, checked_subdirectory, numbered, place_of, skew_of
from tests.sweeper.arrivals import control_file

NOON = 12 * 3600
RULES = Rules(
    zone=find_zone("MST"),
    rollover=NOON,
    dated_format="%Y.%m%d",
    dated=True,
    subdirectory=None,
    heed_option=True,
    max_skew=600.0,
    forbidden=frozenset({("xferlogs",), ("work", "place")}),
)


def place(rules: Rules = RULES, **facts):
    control = control_file(b"", **{"started": None, "seconds": None, **facts})
    return place_of(control, 0, rules).directory


@pytest.mark.parametrize("name", ["2002.0523", "20020523", "2002-05-23", "2024.0229"])
def test_the_original_directory_is_kept_where_its_name_is_a_date(name: str) -> None:
    assert place(path=f"/h/ftphome/ARCHMINICAM/{name}/x.fits") == (name,)


@pytest.mark.parametrize(
    "name", ["2002.1323", "2023.0229", "2002.0523 ", "2002.05.23", "x2002.0523", "2002-0523", "٢٠٠٢.٠٥٢٣", ""]
)
def test_what_only_looks_like_a_date_is_none(name: str) -> None:
    assert place(path=f"/data/{name}/x.fits", queued=parse_instant("2026-11-20T03:14:16Z")) == ("2026.1119",)


def test_only_the_parent_directory_counts() -> None:
    assert place(path="/data/2002.0523/raw/x.fits", queued=parse_instant("2026-11-20T03:14:16Z")) == ("2026.1119",)
    assert place(path="2002.0523", queued=parse_instant("2026-11-20T03:14:16Z")) == ("2026.1119",)
    assert place(path=None, queued=parse_instant("2026-11-20T03:14:16Z")) == ("2026.1119",)


@pytest.mark.parametrize(
    ("zone", "clock", "night"),
    [
        ("MST", "2026-11-19T11:59:59", "2026.1118"),
        ("MST", "2026-11-19T12:00:00", "2026.1119"),
        ("EST5EDT", "2026-03-08T11:59:59", "2026.0307"),  # the night that has lost an hour
        ("EST5EDT", "2026-03-08T12:00:00", "2026.0308"),
        ("America/Santiago", "2026-04-05T11:59:59", "2026.0404"),  # the night that has gained one
        ("America/Santiago", "2026-04-05T12:00:00", "2026.0405"),
        ("MST", "2028-03-01T03:00:00", "2028.0229"),  # a leap day
        ("MST", "2027-03-01T03:00:00", "2027.0228"),
        ("MST", "2027-01-01T03:00:00", "2026.1231"),
    ],
)
def test_a_file_belongs_to_the_night_in_which_it_was_queued(zone: str, clock: str, night: str) -> None:
    queued = int(datetime.fromisoformat(clock).replace(tzinfo=find_zone(zone)).timestamp()) * SECOND
    assert place(replace(RULES, zone=find_zone(zone)), queued=queued) == (night,)


def test_a_night_is_written_in_the_instruments_format() -> None:
    rules = replace(RULES, dated_format="n%y%m%d")
    assert place(rules, queued=parse_instant("2026-11-20T03:14:16Z")) == ("n261119",)


def test_dir_replaces_the_date() -> None:
    options = {"dir": "calib//bias/"}
    assert place(options=options) == ("calib", "bias")
    assert place(replace(RULES, dated=False), options=options) == ("calib", "bias")
    assert place(replace(RULES, subdirectory=("mine",)), options=options) == ("mine",)


def test_without_dates_files_go_into_the_archive_itself() -> None:
    assert place(replace(RULES, dated=False)) == ()


@pytest.mark.parametrize(
    "text", ["/etc", "..", "a/..", "a/../b", ".ssh", "a/.b", ".", "a/.", "/", "//", "a/" * 17, "a" * 256, "a\0b"]
)
def test_a_dir_that_could_lead_elsewhere_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match=r"^dir="):
        checked_subdirectory(text)


@pytest.mark.parametrize("text", ["xferlogs", "xferlogs/deeper", "work/place", "work/place/deeper"])
def test_places_that_are_not_for_data_are_refused(text: str) -> None:
    with pytest.raises(MalformedError, match="is not a place for data"):
        place(options={"dir": text})


def test_a_file_that_would_be_called_like_such_a_place_is_refused() -> None:
    with pytest.raises(MalformedError, match="'xferlogs' is not a place for data"):
        place(replace(RULES, dated=False), name="xferlogs")
    assert place(options={"dir": "work"}) == ("work",)


def test_a_wrong_clock_corrects_the_night_once_it_is_noticeable() -> None:
    queued = parse_instant("2026-11-20T03:14:16Z")
    control = control_file(b"", queued=queued, started=queued, seconds=4.0)
    a_day_late = queued + (86_400 + 4) * SECOND
    assert skew_of(control, a_day_late) == 86_400
    assert place_of(control, a_day_late, RULES).directory == ("2026.1120",)
    assert place_of(control, a_day_late, RULES).skew == 86_400
    assert place_of(control, queued - 86_396 * SECOND, RULES).directory == ("2026.1118",)
    nearly = place_of(control, queued + 604 * SECOND, RULES)
    assert (nearly.directory, nearly.skew) == (("2026.1119",), None)


@pytest.mark.parametrize("year", ["0001-01-01", "9999-12-31"])
def test_times_at_the_ends_of_the_calendar_are_refused_and_no_bug(year: str) -> None:
    instant = parse_instant(f"{year}T00:00:00Z")
    control = control_file(b"", queued=instant, started=instant, seconds=1.0)
    with pytest.raises(MalformedError, match="years 1 to 9999"):
        place_of(control, 2 * instant, RULES)


@pytest.mark.parametrize(
    ("name", "second"),
    [
        ("img0001.fits", "img0001~2.fits"),
        ("img0001.fits.gz", "img0001~2.fits.gz"),
        ("README", "README~2"),
        ("a.b.c", "a.b~2.c"),
        ("x" * 250 + ".fits", "x" * 248 + "~2.fits"),
        ("x." + "f" * 253, "x~2." + "f" * 251),
        ("ü" * 127, "ü" * 126 + "~2"),
    ],
)
def test_another_content_gets_a_numbered_name(name: str, second: str) -> None:
    assert numbered(name, 2) == second
