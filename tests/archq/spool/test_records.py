"""What the spool remembers is read back as it was written, or refused."""

from __future__ import annotations

from dataclasses import fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from archq.errors import MalformedError
from archq.light import dataclass
from archq.spool import Ticket
from archq.spool.filestate import FileState, Phase
from archq.spool.queuestate import QueuePhase, QueueState
from archq.spool.records import format_record, parse_record

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("\udc80\udcff\n\r%= \x00\x85\u2028"))
whole = st.integers(0, 1 << 62)

tickets = st.builds(
    Ticket,
    user=texts,
    title=texts,
    queued=whole,
    priority=st.integers(1, 100),
    maxftp=st.none() | st.floats(0, 1e9),
    remhost=st.none() | texts.filter(bool),
    rempw=st.none() | texts.filter(bool),
    hold=st.none() | texts,
    not_before=whole,
    altered=whole,
    mail=st.booleans(),
)
states = st.builds(
    FileState,
    phase=st.sampled_from(Phase),
    attempt=st.integers(1, 999),
    tries=whole,
    seconds=st.floats(0, 1e9),
    reason=texts,
    held=st.booleans(),
)
queues = st.builds(QueueState, phase=st.sampled_from(QueuePhase), failures=whole, reason=texts)


@given(st.one_of(tickets, states, queues))
def test_a_record_is_read_back_as_it_was_written(record: Ticket | FileState | QueueState) -> None:
    text = format_record(record)
    assert parse_record(type(record), text) == record
    assert text.encode().decode() == text


def test_what_has_its_default_value_is_left_out() -> None:
    assert format_record(FileState()) == ""
    assert parse_record(FileState, "") == FileState()
    assert format_record(FileState(phase=Phase.BEGUN, held=True)) == "phase=begun\nheld=True\n"


def test_a_reason_of_several_lines_stays_one_line() -> None:
    assert format_record(QueueState(reason="no\nheld=True")) == "reason=no%0Aheld=True\n"


def test_keys_of_a_newer_version_are_passed_over() -> None:
    assert parse_record(FileState, "tries=3\nmood=good\n") == FileState(tries=3)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("nonsense\n", "not a key=value pair"),
        ("tries=three\n", "not a record of a FileState"),
        ("phase=gone\n", "not a record of a FileState: 'gone' is not a valid Phase"),
        ("tries=1\ntries=2\n", "the key tries stands twice"),
        ("tries=%zz\n", "a percent sign without two hexadecimal digits"),
    ],
)
def test_a_damaged_record_is_refused(text: str, words: str) -> None:
    with pytest.raises(MalformedError) as caught:
        parse_record(FileState, text)
    assert words in str(caught.value)


def test_a_record_without_what_it_needs_is_refused() -> None:
    with pytest.raises(MalformedError, match=r"not a record of a Ticket: .*missing"):
        parse_record(Ticket, "user=observer\n")


def test_a_password_is_in_the_record_and_in_nothing_that_is_printed() -> None:
    ticket = Ticket(user="observer", title="x", queued=1, rempw="secret")
    assert "rempw=secret\n" in format_record(ticket)
    assert "secret" not in f"{ticket!r} {ticket}"


@dataclass(frozen=True, slots=True, kw_only=True)
class EveryKind:
    text: str = ""
    perhaps: str | None = None
    number: int = 0
    real: float = 0.0
    flag: bool = False
    phase: Phase = Phase.WAITING


def test_every_kind_of_value_that_records_have_is_covered_here() -> None:
    kinds = {str(item.type) for kind in (Ticket, FileState, QueueState) for item in fields(kind)}
    known = {str(item.type) for item in fields(EveryKind)}
    assert kinds - known <= {"float | None", "QueuePhase", "tuple[str, ...]"}
    one = EveryKind(text="a", perhaps="b", number=1, real=0.1, flag=True, phase=Phase.SENT)
    assert parse_record(EveryKind, format_record(one)) == one
