"""A control file says the same on both sides, or is refused: never half of it, never something else."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import os
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some

from archq.checksum import Checksum
from archq.control import (
    MAX_SIZE,
    OPTIONAL,
    REQUIRED,
    ControlFile,
    IncompleteControlFileError,
    MalformedControlFileError,
    UnsupportedControlFileError,
    format_control,
    parse_control,
    seal,
    unseal,
)
from archq.errors import ExitStatus, MalformedError, UsageError
from archq.instants import parse_instant
from archq.names import new_id

DIGEST = hashlib.sha256(b"test").hexdigest()

# As the format's description shows it.
SAMPLE = f"""\
archq=1
id=01jd3v5t8n3q4r5s6t7v8w9x0y
instrument=minicam
name=img0001.fits
path=/data/ARCHMINICAM/2026.1120/img0001.fits
size=8388608
checksum=sha256:{DIGEST}
mtime=2026-11-20T03:14:15.926535897Z
queued=2026-11-20T03:14:16.102345678Z
request=archive-17
part=1/3
spool=01jcz0000000000000000000aa
host=packrat
user=observer
title=img0001.fits
agent=archq/0.1.0
option.maxftp=60
option.observer=Lowell
started=2026-11-20T03:14:17.003000000Z
seconds=12.811
tries=1
"""
CONTROL = ControlFile(
    id="01jd3v5t8n3q4r5s6t7v8w9x0y",
    instrument="minicam",
    name="img0001.fits",
    path="/data/ARCHMINICAM/2026.1120/img0001.fits",
    size=8_388_608,
    checksum=Checksum("sha256", DIGEST),
    mtime=parse_instant("2026-11-20T03:14:15.926535897Z"),
    queued=parse_instant("2026-11-20T03:14:16.102345678Z"),
    request="archive-17",
    part="1/3",
    spool="01jcz0000000000000000000aa",
    host="packrat",
    user="observer",
    title="img0001.fits",
    agent="archq/0.1.0",
    options={"maxftp": "60", "observer": "Lowell"},
    started=parse_instant("2026-11-20T03:14:17.003Z"),
    seconds=12.811,
    tries=1,
)
LINES = SAMPLE.split("\n")[:-1]
WHOLE = seal(SAMPLE.encode())

CHECKSUMS = [Checksum("md5", "0" * 32), Checksum("sha512", "f" * 128), Checksum("blake3", "1" * 64)]

FILE_NAMES = some.binary(min_size=1, max_size=255).filter(lambda raw: raw[:1] != b"." and not set(raw) & {0, 47})
ANY_TEXT = some.binary(max_size=60).map(os.fsdecode)


def changed(**changes: object) -> ControlFile:
    return dataclasses.replace(CONTROL, **changes)


def sample(*, without: str = "", extra: str = "") -> bytes:
    kept = "".join(f"{line}\n" for line in LINES if line.split("=")[0] != without)
    return seal(f"{kept}{extra}".encode())


def with_line(line: str) -> bytes:
    """Return the sample with ``line`` in the place of the line that has the same key."""
    key = line.partition("=")[0]
    return seal("".join(f"{line if old.startswith(f'{key}=') else old}\n" for old in LINES).encode())


def test_the_text_is_what_the_format_describes() -> None:
    assert format_control(CONTROL) == WHOLE
    assert parse_control(WHOLE) == CONTROL


def test_the_last_line_is_the_sum_of_every_byte_before_it() -> None:
    body, check, digest = WHOLE.rpartition(b"check=sha256:")
    assert check
    assert digest == hashlib.sha256(body).hexdigest().encode() + b"\n"
    assert unseal(WHOLE) == body


def test_only_what_is_required_is_required() -> None:
    few = changed(**dict.fromkeys(OPTIONAL), options={})
    assert [line.split(b"=")[0].decode() for line in format_control(few).split(b"\n")[:-1]] == [*REQUIRED, "check"]
    assert parse_control(format_control(few)) == few


REFUSED = (MalformedControlFileError, IncompleteControlFileError, UnsupportedControlFileError)


def test_every_truncation_is_incomplete() -> None:
    for length in range(len(WHOLE)):
        with pytest.raises(IncompleteControlFileError, match=r"^no complete check= line yet$"):
            parse_control(WHOLE[:length])


def test_one_changed_byte_anywhere_is_never_accepted() -> None:
    for place, flip in itertools.product(range(len(WHOLE)), (0x01, 0x02, 0x20, 0x80)):
        # A change of the version's digit looks like a newer version, which waits, reported.
        with pytest.raises(REFUSED):
            parse_control(WHOLE[:place] + bytes([WHOLE[place] ^ flip]) + WHOLE[place + 1 :])


def test_one_lost_or_added_byte_anywhere_is_never_accepted() -> None:
    for place in range(len(WHOLE)):
        for wrong in (WHOLE[:place] + WHOLE[place + 1 :], WHOLE[:place] + b"0" + WHOLE[place:]):
            with pytest.raises(REFUSED):
                parse_control(wrong)


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(FILE_NAMES, some.binary(max_size=60))
def test_any_posix_file_name_survives(raw: bytes, directory: bytes) -> None:
    control = changed(name=os.fsdecode(raw), path=os.fsdecode(b"/" + directory + b"/" + raw))
    parsed = parse_control(format_control(control))
    assert os.fsencode(parsed.name) == raw
    assert os.fsencode(parsed.path or "") == b"/" + directory + b"/" + raw


@pytest.mark.parametrize(
    "name",
    [
        "a\nsize=0",
        "a\ncheck=sha256:0",
        " a ",
        "100%",
        "%0A",
        "-rf",
        "a\u2028b",
        "a\x85b",
        "a\x0cb",
        "a\x1c",
        "\x1b[2J",
        "\u202e",
        "café",
        "café",
        "🔭.fits",
    ],
)
def test_a_name_that_is_a_trap_survives_too(name: str) -> None:
    assert parse_control(format_control(changed(name=name, title=name))) == changed(name=name, title=name)


@given(
    some.builds(
        ControlFile,
        id=some.integers(0, 2**62).map(new_id),
        instrument=some.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9_+-]{0,31}\Z").filter(lambda name: name != "all"),
        name=FILE_NAMES.map(os.fsdecode),
        size=some.integers(0, 2**63 - 1),
        checksum=some.sampled_from(CHECKSUMS),
        mtime=some.integers(-(2**60), 2**63),
        queued=some.integers(0, 2**63),
        path=some.none() | ANY_TEXT,
        title=some.none() | ANY_TEXT,
        user=some.none() | ANY_TEXT,
        options=some.dictionaries(some.from_regex(r"\A[a-z0-9._-]{1,12}\Z"), ANY_TEXT, max_size=4),
        started=some.none() | some.integers(0, 2**63),
        seconds=some.none() | some.integers(0, 10**14).map(lambda milliseconds: milliseconds / 1000),
        tries=some.none() | some.integers(0, 10**6),
        extra=some.dictionaries(some.from_regex(r"\Ax-[a-z0-9._-]{0,12}\Z"), ANY_TEXT, max_size=4),
    )
)
def test_everything_survives(control: ControlFile) -> None:
    assert parse_control(format_control(control)) == control


def test_text_after_the_check_line_is_malformed() -> None:
    for more in (b"\n", b"x", b"size=0\n", WHOLE):
        with pytest.raises(MalformedControlFileError, match=r"^there is text after the check= line$"):
            parse_control(WHOLE + more)


def test_a_check_line_that_does_not_fit_is_malformed() -> None:
    for check in (
        "check=",
        f"check=sha256:{DIGEST}",
        f"check=md5:{DIGEST[:32]}",
        f"check=sha256:{hashlib.sha256(SAMPLE.encode()).hexdigest().upper()}",
    ):
        with pytest.raises(MalformedControlFileError, match=r"^the check= line does not fit the text before it$"):
            parse_control(f"{SAMPLE}{check}\n".encode())


def test_a_name_that_looks_like_a_check_line_ends_nothing() -> None:
    assert parse_control(with_line("title=check=sha256:0")).title == "check=sha256:0"


@pytest.mark.parametrize("key", [key for key in REQUIRED if key != "archq"])
def test_a_missing_key_is_malformed(key: str) -> None:
    with pytest.raises(MalformedControlFileError, match=rf"^required keys are missing: {key}$"):
        parse_control(sample(without=key))


@pytest.mark.parametrize("line", LINES[1:])
def test_a_key_that_stands_twice_is_malformed(line: str) -> None:
    with pytest.raises(MalformedControlFileError, match=rf"^the key {line.split('=')[0]} stands twice$"):
        parse_control(sample(extra=f"{line}\n"))


def test_the_version_comes_first() -> None:
    with pytest.raises(MalformedControlFileError, match=r"^the first line is not archq=1$"):
        parse_control(sample(without="archq", extra="archq=1\n"))


def test_a_signature_stands_last_before_the_check_line() -> None:
    assert parse_control(sample(extra="signature=hmac-sha256:site1:00\n")).signature == "hmac-sha256:site1:00"
    with pytest.raises(MalformedControlFileError, match=r"^the signature is not the last line before check=$"):
        parse_control(sample(extra="signature=hmac-sha256:site1:00\noption.dir=elsewhere\n"))


def test_unknown_keys_are_kept_and_ignored() -> None:
    parsed = parse_control(sample(extra="bundle=3%20\nx.y=\n"))
    assert parsed.extra == {"bundle": "3 ", "x.y": ""}
    assert dataclasses.replace(parsed, extra={}) == CONTROL
    assert parse_control(format_control(parsed)) == parsed


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"archq=2\n", r"^version 2 of the control file: a newer archq may know it$"),
        (b"archq=2\nanything\xff", r"^version 2 of the control file"),
        (with_line("archq=10"), r"^version 10 of the control file"),
        (with_line("checksum=sha3-256:00"), r"^unknown checksum algorithm 'sha3-256': a newer archq may know it$"),
        (sample(extra="must.unpack=tar\n"), r"^must\.unpack has to be understood: a newer archq may know it$"),
    ],
)
def test_what_a_newer_archq_may_know_is_not_the_senders_error(text: bytes, message: str) -> None:
    with pytest.raises(UnsupportedControlFileError, match=message) as caught:
        parse_control(text)
    assert caught.value.status is ExitStatus.TEMPORARY
    assert not isinstance(caught.value, MalformedError)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("archq=one", "the first line is not archq=1"),
        ("archq=", "the first line is not archq=1"),
        ("id=01JD3V5T8N3Q4R5S6T7V8W9X0Y", "not an id"),
        ("instrument=all", "not an instrument's name"),
        ("instrument=a.b", "not an instrument's name"),
        ("name=.hidden", "not a file's name"),
        ("name=..", "not a file's name"),
        ("name=a/b", "not a file's name"),
        ("name=a%2Fb", "not a file's name"),
        ("name=a%00b", "not a file's name"),
        ("name=", "not a file's name"),
        (f"name={'x' * 256}", "a file's name of more than 255 bytes"),
        ("size=-1", "not a number"),
        ("size=01", "not a number"),
        ("size=1e3", "not a number"),
        ("size=1_0", "not a number"),
        ("size=\u0661", "not a number"),
        ("size=", "not a number"),
        ("size=0x10", "not a number"),
        (f"size={'9' * 5000}", "not a number"),
        ("checksum=sha256", "not a checksum"),
        ("checksum=sha256:", "not a digest of sha256"),
        (f"checksum=sha256:{DIGEST.upper()}", "not a digest of sha256"),
        (f"checksum=sha256:{DIGEST}0", "not a digest of sha256"),
        ("mtime=yesterday", "not a UTC time"),
        ("queued=2026-11-31T00:00:00Z", "no such time"),
        ("started=", "not a UTC time"),
        ("seconds=-1", "not a number of seconds"),
        ("seconds=nan", "not a number of seconds"),
        ("seconds=inf", "not a number of seconds"),
        ("tries=-1", "not a number"),
        ("title= x", "a byte that should be percent-encoded"),
        ("title=x\r", "a byte that should be percent-encoded"),
        ("title=%", "a percent sign without two hexadecimal digits"),
    ],
)
def test_a_value_of_the_wrong_form_is_malformed(line: str, message: str) -> None:
    with pytest.raises(MalformedControlFileError, match=f"^{message}"):
        parse_control(with_line(line))


@pytest.mark.parametrize("raw", [b"\xff", b"\xc0\xaf", b"\xed\xb3\xbf", b"\xf8\x88\x80\x80\x80"])
def test_bytes_that_are_not_utf_8_are_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedControlFileError, match=r"^bytes that are not UTF-8: "):
        parse_control(seal(SAMPLE.encode() + b"note=" + raw + b"\n"))


def test_a_byte_order_mark_is_malformed() -> None:
    with pytest.raises(MalformedControlFileError, match=r"^not a key=value pair: "):
        parse_control(seal(b"\xef\xbb\xbf" + SAMPLE.encode()))


def test_nothing_at_all_is_incomplete() -> None:
    with pytest.raises(IncompleteControlFileError):
        parse_control(b"")


def control_of(size: int) -> ControlFile:
    return changed(title="x" * (size - len(format_control(changed(title="")))))


def test_a_control_file_has_at_most_65_536_bytes() -> None:
    text = format_control(control_of(MAX_SIZE))
    assert len(text) == MAX_SIZE == 65_536
    assert parse_control(text) == control_of(MAX_SIZE)
    with pytest.raises(MalformedError, match=r"^img0001.fits: the control file would have 65537 bytes, at most 65536"):
        format_control(control_of(MAX_SIZE + 1))


def test_a_longer_one_is_malformed_whether_it_is_complete_or_not() -> None:
    longer = SAMPLE.encode() + b"note=" + b"x" * (MAX_SIZE - len(WHOLE) - len("note=\n") + 1) + b"\n"
    assert len(seal(longer)) == MAX_SIZE + 1
    for text in (seal(longer), b"archq=1\n" + b"x" * MAX_SIZE):
        with pytest.raises(MalformedControlFileError, match=r"^more than 65536 bytes$"):
            parse_control(text)


@given(some.binary(max_size=400))
def test_any_bytes_are_a_control_file_or_an_error_of_ours(text: bytes) -> None:
    for candidate in (text, seal(text), seal(b"archq=1\n" + text), seal(SAMPLE.encode() + text)):
        try:
            parse_control(candidate)
        except REFUSED:
            continue


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"id": "17"}, MalformedError, "not an id"),
        ({"name": "../x"}, MalformedError, "not a file's name"),
        ({"instrument": "all"}, UsageError, "not an instrument's name"),
        ({"size": -1}, MalformedError, "img0001.fits: a negative size, -1"),
        ({"seconds": -0.5}, MalformedError, r"img0001.fits: a try cannot last -0\.5 s"),
        ({"seconds": math.nan}, MalformedError, "img0001.fits: a try cannot last nan s"),
        ({"seconds": math.inf}, MalformedError, "img0001.fits: a try cannot last inf s"),
    ],
)
def test_what_cannot_be_is_never_built(changes: dict[str, object], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=f"^{message}"):
        changed(**changes)


def test_reading_control_files_and_logs_loads_neither_click_nor_paramiko() -> None:
    script = "import sys, archq.control, archq.transferlog; print(*{'click', 'paramiko'} & {*sys.modules})"
    assert subprocess.check_output([sys.executable, "-c", script], text=True) == "\n"
