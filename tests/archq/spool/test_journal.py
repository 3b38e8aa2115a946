"""A request's journal: the last whole line about a file is its state, whatever was cut short before or after it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archq import durable
from archq.errors import MalformedError
from archq.spool.filestate import FileState, Phase
from archq.spool.journal import format_entries, parse_journal

if TYPE_CHECKING:
    from pathlib import Path

BEGUN = FileState(phase=Phase.BEGUN, tries=1, started=5)
SENT = FileState(phase=Phase.SENT, tries=1, started=5, seconds=0.25, sent=7)
FAILED = FileState(failures=2, failed=9, next_try=11, reason="the server says 452 No space: 100 % of\n it is used")


def test_the_last_line_about_a_file_counts() -> None:
    content = format_entries([(1, BEGUN), (12, BEGUN)]) + format_entries([(1, SENT), (2, FAILED)])
    assert parse_journal(content) == {1: SENT, 12: BEGUN, 2: FAILED}
    assert content.count(b"\n") == 4
    assert [parse_journal(content, only=part) for part in (1, 2, 3)] == [{1: SENT}, {2: FAILED}, {}]


def test_a_journal_is_easy_to_read_for_people() -> None:
    assert format_entries([(3, BEGUN)]) == b"part=3 phase=begun tries=1 started=5\n"
    assert format_entries([(3, FileState())]) == b"part=3 \n"
    assert parse_journal(b"part=3 \n") == {3: FileState()}
    assert parse_journal(b"") == {}


@pytest.mark.parametrize("kept", range(len(format_entries([(1, SENT)]))))
def test_a_line_that_was_cut_short_says_nothing_now_and_after_the_next_one(tmp_path: Path, kept: int) -> None:
    journal = tmp_path / "journal"
    torn = format_entries([(1, BEGUN)]) + format_entries([(1, SENT)])[:kept]
    journal.write_bytes(torn)
    assert parse_journal(journal.read_bytes()) == {1: BEGUN}
    durable.append_line(str(journal), format_entries([(2, SENT)]))
    assert parse_journal(journal.read_bytes()) == {1: BEGUN, 2: SENT}


def test_a_line_that_was_cut_within_a_letter_says_nothing_either(tmp_path: Path) -> None:
    journal = tmp_path / "journal"
    entry = format_entries([(1, FileState(failures=1, reason="Zugriff auf /daten/größe verweigert"))])
    journal.write_bytes(format_entries([(1, BEGUN)]) + entry[: entry.index("ö".encode()) + 1])
    durable.append_line(str(journal), format_entries([(2, SENT)]))
    assert parse_journal(journal.read_bytes()) == {1: BEGUN, 2: SENT}
    assert parse_journal(journal.read_bytes(), only=2) == {2: SENT}


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"phase=sent\n", r"^not a line about a part of a request: 'phase=sent'$"),
        (b"part=x phase=sent\n", r"^not a line about a part of a request: 'part=x'$"),
        (b"part=1 phase=gone\n", r"^not a record of a FileState: 'gone' is not a valid Phase$"),
        (b"part=1 \xff\n", r"^not a journal of deliveries: .*can't decode byte 0xff"),
        (b"part=1 phase\n", r"^not a key=value pair: 'phase'$"),
    ],
)
def test_what_is_no_journal_is_refused(content: bytes, reason: str) -> None:
    with pytest.raises(MalformedError, match=reason):
        parse_journal(content)
