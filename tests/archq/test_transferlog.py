"""A log's line says what became of an arrival; a name cannot forge one, and half of one is none."""

from __future__ import annotations

import dataclasses
import os

import pytest
from hypothesis import given
from hypothesis import strategies as some

from archq import fields, transferlog
from archq.checksum import Checksum
from archq.control import ControlFile
from archq.errors import MalformedError
from archq.instants import parse_instant
from archq.transferlog import FINAL, PASSING, Outcome, facts_of, format_outcome, parse_outcome

TIME = parse_instant("2026-11-20T03:20:01.123Z")
FACTS = {"instrument": "minicam", "wire": "minicam.01jd3v5t8n3q4r5s6t7v8w9x0y.1.df", "path": "2026.1120/M 31.fits"}
LINE = (
    b"2026-11-20T03:20:01.123Z filed instrument=minicam wire=minicam.01jd3v5t8n3q4r5s6t7v8w9x0y.1.df"
    b" path=2026.1120/M%2031.fits\n"
)

OUTCOMES = some.builds(
    Outcome,
    time=some.integers(-(10**6), 10**13).map(lambda milliseconds: milliseconds * 1_000_000),
    outcome=some.sampled_from(sorted(FINAL | PASSING)),
    facts=some.dictionaries(
        some.from_regex(fields.KEY.pattern, fullmatch=True), some.binary(max_size=60).map(os.fsdecode), max_size=5
    ),
)


def test_a_line_is_a_time_an_outcome_and_facts() -> None:
    outcome = Outcome(time=TIME, outcome="filed", facts=FACTS)
    assert format_outcome(outcome) == LINE
    assert parse_outcome(LINE) == outcome


@given(OUTCOMES)
def test_every_outcome_survives(outcome: Outcome) -> None:
    assert parse_outcome(format_outcome(outcome)) == outcome


@given(OUTCOMES)
def test_an_outcome_is_one_line_of_utf_8_without_control_characters(outcome: Outcome) -> None:
    line = format_outcome(outcome)
    assert line.decode().endswith("\n")
    assert not set(line[:-1]) & {*range(0x20), 0x7F}


@given(some.binary(min_size=1, max_size=255).filter(lambda raw: not set(raw) & {0, 47}))
def test_any_posix_file_name_survives(raw: bytes) -> None:
    line = format_outcome(Outcome(time=TIME, outcome="filed", facts={"path": os.fsdecode(raw)}))
    assert os.fsencode(parse_outcome(line).facts["path"]) == raw


@pytest.mark.parametrize(
    "name",
    [
        "a\n2026-11-20T03:20:01.123Z filed instrument=x",
        "a size=0",
        " ",
        "a\tb",
        "a\u2028b",
        "a\x85b",
        "a\x0cb",
        "%0A",
        "a\r",
    ],
)
def test_a_name_cannot_forge_a_line_or_a_fact(name: str) -> None:
    line = format_outcome(Outcome(time=TIME, outcome="filed", facts={"path": name, "size": "5"}))
    assert line.count(b"\n") == 1
    assert line.count(b" ") == 3
    assert parse_outcome(line).facts == {"path": name, "size": "5"}


def test_the_time_is_kept_to_the_millisecond() -> None:
    assert format_outcome(Outcome(time=TIME + 999_999, outcome="filed", facts=FACTS)) == LINE


def test_no_outcome_is_both_final_and_passing() -> None:
    assert not FINAL & PASSING


def test_a_line_cut_short_anywhere_is_refused() -> None:
    for length in range(len(LINE)):
        with pytest.raises(MalformedError, match=r"^a line that was cut short: "):
            parse_outcome(LINE[:length])


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"\n", "not a line of a transfer log"),
        (b"hello\n", "not a line of a transfer log"),
        (b"\xff\xfe\n", "not a line of a transfer log"),
        (b"\0" * 512 + b"\n", "not a line of a transfer log"),
        (b"yesterday filed size=1\n", "not a UTC time"),
        (b"2026-11-31T03:20:01.123Z filed size=1\n", "no such time"),
        (b"2026-11-20T03:20:01.123Z Filed size=1\n", "not an outcome"),
        (b"2026-11-20T03:20:01.123Z size=1\n", "not an outcome"),
        (b"2026-11-20T03:20:01.123Z  filed size=1\n", "not a key=value pair"),
        (b"2026-11-20T03:20:01.123Z filed  size=1\n", "not a key=value pair"),
        (b"2026-11-20T03:20:01.123Z filed size=1 \n", "not a key=value pair"),
        (b"2026-11-20T03:20:01.123Z filed size\n", "not a key=value pair"),
        (b"2026-11-20T03:20:01.123Z filed size=1 size=1\n", "the key size stands twice"),
        (b"2026-11-20T03:20:01.123Z filed path=%2\n", "a percent sign without two hexadecimal digits"),
        (b"2026-11-20T03:20:01.123Z filed path=a\tb\n", "a byte that should be percent-encoded"),
        (LINE[:-1] + b"\r\n", "a byte that should be percent-encoded"),
        (LINE + LINE, "a byte that should be percent-encoded"),
    ],
)
def test_what_is_no_line_of_ours_is_refused(line: bytes, message: str) -> None:
    with pytest.raises(MalformedError, match=f"^{message}"):
        parse_outcome(line)


@given(some.binary(max_size=200))
def test_any_bytes_are_an_outcome_or_an_error_of_ours(text: bytes) -> None:
    for candidate in (text, text + b"\n", LINE[:-1] + text + b"\n", b"2026-11-20T03:20:01Z filed " + text + b"\n"):
        try:
            parse_outcome(candidate)
        except MalformedError:
            continue


def test_an_outcome_of_a_newer_sweeper_is_read_too() -> None:
    assert parse_outcome(b"2026-11-20T03:20:01Z handed-on to=x\n").outcome == "handed-on"


CONTROL = ControlFile(
    id="01jd3v5t8n3q4r5s6t7v8w9x0y",
    instrument="minicam",
    name="img0001.fits",
    size=8_388_608,
    checksum=Checksum("sha256", "0" * 64),
    mtime=0,
    queued=parse_instant("2026-11-20T03:14:16.102345678Z"),
    host="packrat",
    spool="01jcz0000000000000000000aa",
    started=parse_instant("2026-11-20T03:14:17.003Z"),
    seconds=12.811,
    tries=1,
    user="observer",
    title="secret plans",
)


def test_the_facts_of_a_file_come_in_the_logs_order() -> None:
    assert list(facts_of(CONTROL).items()) == [
        ("size", "8388608"),
        ("queued", "2026-11-20T03:14:16.102Z"),
        ("started", "2026-11-20T03:14:17.003Z"),
        ("seconds", "12.811"),
        ("tries", "1"),
        ("host", "packrat"),
        ("spool", "01jcz0000000000000000000aa"),
    ]


def test_facts_that_are_not_known_are_left_out() -> None:
    bare = dataclasses.replace(CONTROL, started=None, seconds=None, tries=None, host=None, spool=None)
    assert list(facts_of(bare)) == ["size", "queued"]


def test_an_outcome_needs_the_name_of_one() -> None:
    for name in ("", "Filed", "filed\n2026-11-20T03:20:01Z filed", "filed size=0"):
        with pytest.raises(MalformedError, match=r"^not an outcome: "):
            Outcome(time=TIME, outcome=name, facts={})


def test_every_outcome_of_ours_stands_in_one_of_the_two_sets() -> None:
    constants = {value for name, value in vars(transferlog).items() if name.isupper() and isinstance(value, str)}
    assert constants == FINAL | PASSING
