"""Names on the wire parse back to what they were, and near misses are nobody's."""

from __future__ import annotations

import os
import time

import pytest
from hypothesis import given
from hypothesis import strategies as some

from archq.errors import MalformedError, UsageError
from archq.names import (
    CONTROL,
    DATA,
    PROBE_INSTRUMENT,
    UNDEFINED_INSTRUMENT,
    WireName,
    checked_file_name,
    checked_id,
    checked_instrument,
    new_id,
    parse_logged_name,
    parse_wire_name,
)

ID = "01jd3v5t8n3q4r5s6t7v8w9x0y"
WIRE = f"minicam.{ID}.1.df"

INSTRUMENTS = some.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_+-]{0,31}\Z").filter(lambda name: name != "all")
IDS = some.integers(0, 2**48 * 1_000_000 - 1).map(new_id)
WIRE_NAMES = some.builds(
    WireName,
    instrument=INSTRUMENTS,
    id=IDS,
    attempt=some.integers(1, 999_999_999),
    kind=some.sampled_from([DATA, CONTROL]),
)


def test_ids_sort_by_the_millisecond_in_which_they_were_made() -> None:
    instants = [0, 1_000_000, 10**18, 10**18 + 1_000_000, 2**48 * 1_000_000 - 1]
    ids = [new_id(instant) for instant in instants]
    assert ids == sorted(ids)


def test_ids_of_one_instant_are_all_different() -> None:
    assert len({new_id(10**18) for _ in range(10_000)}) == 10_000


def test_an_id_is_a_ulid_of_now_by_default() -> None:
    before, made, after = new_id(time.time_ns())[:10], new_id()[:10], new_id(time.time_ns())[:10]
    assert before <= made <= after


def test_an_id_begins_with_its_time_as_the_ulid_specification_has_it() -> None:
    assert new_id(1_469_918_176_385 * 1_000_000).startswith("01aryz6s41")


@given(IDS)
def test_every_new_id_is_an_id(identifier: str) -> None:
    assert checked_id(identifier) == identifier


@pytest.mark.parametrize(
    "text",
    [
        "",
        ID[:-1],
        ID + "0",
        ID.upper(),
        ID[:-1] + "i",
        ID[:-1] + "l",
        ID[:-1] + "o",
        ID[:-1] + "u",
        "8" + ID[1:],
        ID + "\n",
        "\n" + ID,
        ID[:-1] + "\u0661",
        ID[:-1] + " ",
        ID[:-1] + ".",
    ],
)
def test_what_is_nearly_an_id_is_refused(text: str) -> None:
    with pytest.raises(MalformedError, match=r"^not an id \(26 characters, a ULID in lower case\): "):
        checked_id(text)


@pytest.mark.parametrize(
    "text", ["minicam", "4shooter", "A", "a_b+c-d", "x" * 32, UNDEFINED_INSTRUMENT, PROBE_INSTRUMENT]
)
def test_an_instrument_may_be_called(text: str) -> None:
    assert checked_instrument(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "all", "x" * 33, "-rf", "_a", "+a", ".a", "a.b", "a/b", "a b", "a\n", "\na", "caf\u00e9", "\u0661", "a\0"],
)
def test_an_instrument_may_not_be_called(text: str) -> None:
    with pytest.raises(UsageError, match=r"^not an instrument's name: .*letters, digits"):
        checked_instrument(text)


@given(some.binary(min_size=1, max_size=255).filter(lambda raw: not raw.startswith(b".") and not set(raw) & {0, 47}))
def test_any_posix_name_without_a_leading_dot_names_a_file(raw: bytes) -> None:
    assert checked_file_name(os.fsdecode(raw)) == os.fsdecode(raw)


@pytest.mark.parametrize("text", ["", ".", "..", ".hidden", "a/b", "/a", "a/", "../a", "a\0b"])
def test_what_could_leave_its_directory_or_hide_names_no_file(text: str) -> None:
    with pytest.raises(MalformedError, match=r"^not a file's name in an archive"):
        checked_file_name(text)


@pytest.mark.parametrize("text", ["x" * 256, "\u00e9" * 128, os.fsdecode(b"\xff" * 256)])
def test_a_file_name_has_at_most_255_bytes_however_many_characters(text: str) -> None:
    with pytest.raises(MalformedError, match=r"^a file's name of more than 255 bytes: "):
        checked_file_name(text)


def test_half_a_character_names_no_file() -> None:
    with pytest.raises(MalformedError, match=r"^not text that a file's name can hold: "):
        checked_file_name("a\ud800")


@given(WIRE_NAMES)
def test_a_wire_name_parses_back_to_what_it_was(name: WireName) -> None:
    assert parse_wire_name(str(name)) == name


@given(WIRE_NAMES)
def test_a_wire_name_is_plain_ascii_that_every_file_system_takes(name: WireName) -> None:
    assert str(name).isascii()
    assert len(name.part) <= 255
    assert not set(str(name)) & set("/ \n\0'\"\\*?[]$`;&|<>()")


@given(WIRE_NAMES)
def test_a_temporary_name_is_no_wire_name_but_a_log_knows_it(name: WireName) -> None:
    assert parse_wire_name(name.part) is None
    assert parse_logged_name(name.part) == name
    assert parse_logged_name(f"/srv/ftp/incoming/{name.part}") == name
    assert parse_logged_name(f"incoming/{name}") == name


def test_the_two_files_of_an_arrival_know_each_other() -> None:
    data = WireName(instrument="minicam", id=ID, attempt=2)
    assert str(data) == f"minicam.{ID}.2.df"
    assert str(data.control) == f"minicam.{ID}.2.cf"
    assert data.control.data == data


def test_wire_names_of_an_instrument_sort_by_time_and_then_by_try() -> None:
    names = [
        WireName(instrument="minicam", id=new_id(instant), attempt=attempt)
        for instant in (0, 10**15)
        for attempt in (2, 10)
    ]
    assert sorted(names) == sorted(names, key=lambda name: (name.id, name.attempt))


@pytest.mark.parametrize(
    "text",
    [
        "",
        WIRE + "\n",
        "\n" + WIRE,
        " " + WIRE,
        WIRE + " ",
        WIRE + ".part",
        "." + WIRE,
        "./" + WIRE,
        WIRE.upper(),
        WIRE.replace(ID, ID.upper()),
        WIRE.replace(".1.", ".01."),
        WIRE.replace(".1.", ".0."),
        WIRE.replace(".1.", ".-1."),
        WIRE.replace(".1.", ".+1."),
        WIRE.replace(".1.", ".\u0661."),
        WIRE.replace(".1.", ".1234567890."),
        WIRE.replace(".1.", ".."),
        WIRE.replace(".1.", "."),
        WIRE.replace("df", "dF"),
        WIRE.replace("df", "tf"),
        WIRE.replace("minicam", "all"),
        WIRE.replace("minicam", ""),
        WIRE.replace("minicam", "-rf"),
        WIRE.replace("minicam", "mini.cam"),
        WIRE.replace("minicam", "x" * 33),
        WIRE.replace("minicam", "minic\u00e0m"),
        WIRE.replace(ID, ID[:-1]),
        WIRE.replace(ID, "8" + ID[1:]),
        os.fsdecode(b"\xff" + WIRE.encode()),
        WIRE + "\0",
    ],
)
def test_what_is_nearly_a_wire_name_is_none(text: str) -> None:
    assert parse_wire_name(text) is None


def test_a_logged_name_that_is_only_half_temporary_is_none() -> None:
    assert parse_logged_name(f".{WIRE}") is None
    assert parse_logged_name(f"{WIRE}.part") is None
    assert parse_logged_name(f"{WIRE}/") is None
    assert parse_logged_name(".part") is None
