"""Logs that a power cut, a full disk or a careless copy has damaged: what is whole is used, the rest is told."""

from __future__ import annotations

import gzip
import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archq.zones import find_zone
from logsum.problems import Problems
from logsum.readers import ftplog
from logsum.readers.files import BLOCK
from logsum.readers.source import Source
from logsum.readers.stamps import Calendar, ServerClock
from tests.logsum.readers.conftest import name, read

if TYPE_CHECKING:
    from pathlib import Path

LINE = f"Fri Nov 20 03:14:29 2026 1 ::1 3000 /in/{name('0a')} b _ i r tdcin ftp 0 * c\n".encode()
MANY = 20_000


def test_a_gzipped_log_that_was_cut_is_read_up_to_the_cut(tmp_path: Path) -> None:
    path = tmp_path / "xferlog"
    lines = b"".join(LINE.replace(b"/in/", b"/in/%d/" % number) for number in range(MANY))
    path.write_bytes(gzip.compress(lines)[:-5000])
    found = read(path)
    assert 0.5 * MANY < len(found.uploads) < MANY
    assert f"{path}: damaged: Compressed file ended before" in found.messages[0]


def test_a_gzipped_log_with_rubbish_behind_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "xferlog"
    path.write_bytes(gzip.compress(LINE * 3) + b"rubbish")
    found = read(path)
    assert len(found.uploads) == 3
    assert found.messages == [f"{path}: damaged: Not a gzipped file (b'ru'); what stands before was read"]


def test_a_flipped_byte_in_a_gzipped_log_is_told(tmp_path: Path) -> None:
    path, packed = tmp_path / "xferlog", bytearray(gzip.compress(os.urandom(1000).hex().encode() + b"\n" + LINE * 3))
    packed[len(packed) // 2] ^= 0xFF
    path.write_bytes(packed)
    assert any("damaged: " in message for message in read(path).messages)


def test_gzip_is_known_by_its_content(tmp_path: Path) -> None:
    path = tmp_path / "xferlog"
    path.write_bytes(gzip.compress(LINE))
    plain = tmp_path / "plain.gz"
    plain.write_bytes(LINE)
    assert len(read(path).uploads) == len(read(plain).uploads) == 1


def test_nuls_that_a_power_cut_left_do_not_hide_the_line_behind_them(tmp_path: Path) -> None:
    path = tmp_path / "xferlog"
    path.write_bytes(LINE + b"\0" * 3000 + LINE + LINE + b"\0" * (2 * BLOCK))
    found = read(path)
    assert len(found.uploads) == 3
    assert found.messages == [f"{path}: NUL bytes where lines should be, as a power cut leaves them; lines may be lost"]


@pytest.mark.parametrize(
    ("cut", "uploads", "messages"),
    [(1, 1, 0), (2, 0, 1), (3, 0, 1), (20, 0, 1), (len(LINE) - 1, 0, 1)],
)
def test_a_last_line_that_was_cut_is_used_only_if_it_is_whole(
    tmp_path: Path, cut: int, uploads: int, messages: int
) -> None:
    path = tmp_path / "xferlog"
    path.write_bytes(LINE + LINE[:-cut])
    found = read(path)
    assert (len(found.uploads), len(found.messages)) == (1 + uploads, messages)


def test_a_line_without_end_is_told_and_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "xferlog"
    path.write_bytes(LINE + b"x" * (5 * BLOCK) + b"\n" + LINE)
    found = read(path)
    assert len(found.uploads) == 2
    assert "longer than a line can be" in found.messages[0]


def test_binary_rubbish_between_lines_is_survived(tmp_path: Path) -> None:
    path, rubbish = tmp_path / "xferlog", bytes(range(1, 10)) + bytes(range(11, 256))
    path.write_bytes(LINE + (rubbish + b"\n") * 3 + LINE)
    found = read(path)
    assert len(found.uploads) == 2
    assert "3 lines skipped: cannot be read; the first is '\\x01\\x02" in found.messages[0]


def test_an_elder_that_cannot_be_read_is_told_and_the_others_are_used(tmp_path: Path) -> None:
    path = tmp_path / "xferlog"
    path.write_bytes(LINE)
    (tmp_path / "xferlog.1").mkdir()
    found = read(path)
    assert len(found.uploads) == 1
    assert found.messages == [f"cannot read {tmp_path}/xferlog.1: Is a directory; what it tells is left out"]


SAMPLES = [
    LINE,
    LINE.replace(b" c\n", b"\n"),
    f'Fri Nov 20 03:14:29 2026 [pid 1] [x] OK UPLOAD: Client "::1", "/{name("0a")}", 3 bytes, 1.0Kbyte/sec\n'.encode(),
    f'::1 - ftp [20/Nov/2026:03:14:29 +0000] "STOR {name("0a")}" 226 3000 1.0\n'.encode(),
    f'{{"sender":"Upload","time":"2026-11-20T03:14:29.1","file_path":"{name("0a")}","elapsed_ms":1,"size_bytes":3}}\n'.encode(),
    f'Nov 20 03:14:29 packrat internal-sftp[7]: open "/{name("0a")}" flags WRITE mode 0666\n'.encode(),
    f'Nov 20 03:14:29 packrat internal-sftp[7]: close "/{name("0a")}" bytes read 0 written 3\n'.encode(),
    f'2026-11-20T03:14:29.5+01:00 packrat sftp-server[7]: close "/{name("0a")}" bytes read 0 written 3\n'.encode(),
]


@st.composite
def damaged_lines(draw: st.DrawFn) -> bytes:
    """Give a line of some format in which bytes were lost, doubled or changed."""
    line = bytearray(draw(st.sampled_from(SAMPLES)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(line)))
        line[at : at + draw(st.integers(0, 6))] = draw(st.binary(max_size=6))
    return bytes(line).replace(b"\n", b"") + b"\n"


@settings(max_examples=400, deadline=None)
@given(st.lists(damaged_lines(), max_size=12))
def test_no_line_is_fatal_to_any_reader(lines: list[bytes]) -> None:
    for kind in ftplog.FORMATS:
        problems = Problems()
        source = Source(path="log", problems=problems, clock=ServerClock(find_zone("MST")), calendar=Calendar(2026))
        uploads = list(kind().read(lines, source))
        assert len(uploads) + sum(problems.counts.values()) <= len(lines)
