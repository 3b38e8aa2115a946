"""The logs are the memory; their index makes it quick and may be lost at any time."""

from __future__ import annotations

import gzip
import multiprocessing
import os
import sqlite3
from typing import TYPE_CHECKING

import pytest

from archq.names import WireName, new_id
from archq.transferlog import DUPLICATE, ERROR, FILED, REJECTED, Outcome, format_outcome
from sweeper.ledger import INDEX, Ledger, Logs, mark_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

TODAY = 1_795_144_456 * 10**9
CHECKSUM = "sha256:" + "ab" * 32


def wire(attempt: int = 1) -> WireName:
    return WireName(instrument="minicam", id=new_id(), attempt=attempt)


def outcome(of: WireName, name: str = FILED, checksum: str = CHECKSUM) -> Outcome:
    return Outcome(time=TODAY, outcome=name, facts={"instrument": "minicam", "wire": str(of), "checksum": checksum})


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with Ledger(Logs(directory=str(tmp_path / "logs"))) as ledger:
        yield ledger


def log(ledger: Ledger, *outcomes: Outcome) -> None:
    with ledger.held():
        ledger.append(outcomes, ledger.logs.path(TODAY))


def remembers(ledger: Ledger, of: WireName) -> str | None:
    ledger.refresh()
    return ledger.recall([of.id]).settled.get(of.id)


def test_a_daily_log_is_named_by_the_utc_day() -> None:
    assert Logs(directory="/logs").path(TODAY) == "/logs/20261120.tdcin.log"
    assert Logs(directory="/logs", name="mine").path(TODAY) == "/logs/mine"


def test_what_was_filed_is_remembered(ledger: Ledger) -> None:
    one = wire()
    log(ledger, outcome(one))
    assert remembers(ledger, one) == mark_of(CHECKSUM)
    memory = ledger.recall([one.id])
    assert memory.is_told(one)
    assert not memory.is_told(WireName(instrument="minicam", id=one.id, attempt=2))


@pytest.mark.parametrize(("name", "settled"), [(FILED, True), (DUPLICATE, True), (REJECTED, False), (ERROR, False)])
def test_only_what_is_in_the_archive_settles_an_id(ledger: Ledger, name: str, settled: bool) -> None:
    one = wire()
    log(ledger, outcome(one, name))
    assert (remembers(ledger, one) is not None) is settled
    assert ledger.recall([one.id]).is_told(one, [name])


def test_more_ids_than_one_question_holds_are_recalled(ledger: Ledger) -> None:
    many = [wire() for _ in range(1200)]
    log(ledger, *(outcome(one) for one in many))
    ledger.refresh()
    assert set(ledger.recall(one.id for one in many).settled) == {one.id for one in many}


DAMAGES = {
    "missing": lambda index: index.unlink(),
    "empty": lambda index: index.write_bytes(b""),
    "no database": lambda index: index.write_bytes(b"x" * 4096),
    "of another form": lambda index: rebuilt(index, "CREATE TABLE logs (a)"),
    "cut short": lambda index: os.truncate(index, index.stat().st_size // 2 + 100),
}


def rebuilt(index: Path, statement: str) -> None:
    index.unlink()
    with sqlite3.connect(index) as database:
        database.execute(statement)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_index_is_made_anew_from_the_logs(tmp_path: Path, damage) -> None:
    many = [wire() for _ in range(300)]
    with Ledger(Logs(directory=str(tmp_path))) as ledger:
        log(ledger, *(outcome(one) for one in many))
        ledger.refresh()
    damage(tmp_path / INDEX)
    with Ledger(Logs(directory=str(tmp_path))) as ledger:
        ledger.refresh()
        assert len(ledger.recall(one.id for one in many).settled) == 300


def test_only_what_is_new_in_a_log_is_read(ledger: Ledger, monkeypatch) -> None:
    log(ledger, *(outcome(wire()) for _ in range(100)))
    ledger.refresh()
    read = []
    monkeypatch.setattr("sweeper.ledger._row", lambda line: read.append(line))
    log(ledger, outcome(wire()))
    ledger.refresh()
    ledger.refresh()
    assert len(read) == 1


@pytest.mark.parametrize("name", ["20261120.tdcin.log.1", "20261120.tdcin.log-20261121", "old"])
def test_a_log_that_was_renamed_is_still_the_memory(ledger: Ledger, tmp_path: Path, name: str) -> None:
    one = wire()
    log(ledger, outcome(one))
    (tmp_path / "logs" / "20261120.tdcin.log").rename(tmp_path / "logs" / name)
    (tmp_path / "logs" / INDEX).unlink()
    with Ledger(ledger.logs) as anew:
        assert remembers(anew, one)


def test_a_log_that_was_packed_is_still_the_memory(ledger: Ledger, tmp_path: Path) -> None:
    one = wire()
    ledger.refresh()
    packed = gzip.compress(format_outcome(outcome(one)))
    (tmp_path / "logs" / "20200101.tdcin.log.gz").write_bytes(packed)
    assert remembers(ledger, one)


def test_a_log_that_was_replaced_is_read_from_its_beginning(ledger: Ledger, tmp_path: Path) -> None:
    log(ledger, *(outcome(wire()) for _ in range(10)))
    ledger.refresh()
    one = wire()
    (tmp_path / "logs" / "20261120.tdcin.log").write_bytes(format_outcome(outcome(one)))
    assert remembers(ledger, one)


def test_a_line_that_was_cut_short_is_no_memory_and_the_next_one_is_whole(ledger: Ledger, tmp_path: Path) -> None:
    cut, whole = wire(), wire()
    ledger.refresh()
    path = tmp_path / "logs" / "20261120.tdcin.log"
    path.write_bytes(format_outcome(outcome(cut))[:-5])
    assert remembers(ledger, cut) is None
    log(ledger, outcome(whole))
    assert remembers(ledger, whole)
    assert remembers(ledger, cut) is None
    assert path.read_bytes().count(b"\n") == 2


def test_foreign_lines_and_files_are_passed_over(ledger: Ledger, tmp_path: Path) -> None:
    one = wire()
    ledger.refresh()
    noise = b"\xff\xfe\n\nfiled wire=x\n" + b"2026 filed wire=" + b"x" * 100_000 + b"\n"
    (tmp_path / "logs" / "notes").write_bytes(noise + format_outcome(outcome(one)) + noise)
    (tmp_path / "logs" / "directory").mkdir()
    (tmp_path / "logs" / "link").symlink_to("/etc/passwd")
    (tmp_path / "logs" / "bad.gz").write_bytes(b"not packed")
    os.mkfifo(tmp_path / "logs" / "fifo")
    assert remembers(ledger, one)


def test_one_named_log_remembers_by_itself_alone(tmp_path: Path) -> None:
    one, other = wire(), wire()
    (tmp_path / "other.log").write_bytes(format_outcome(outcome(other)))
    with Ledger(Logs(directory=str(tmp_path), name="mine", alone=True)) as ledger:
        log(ledger, outcome(one))
        assert remembers(ledger, one)
        assert remembers(ledger, other) is None
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".mine.archq-index",
        ".mine.archq-lock",
        "mine",
        "other.log",
    ]


def test_where_the_index_cannot_be_written_the_logs_remember(ledger: Ledger, monkeypatch) -> None:
    one = wire()
    log(ledger, outcome(one))
    real = Ledger._connected

    def full(self: Ledger, path: str) -> sqlite3.Connection:
        if path != ":memory:":
            raise sqlite3.OperationalError("database or disk is full")
        return real(self, path)

    monkeypatch.setattr(Ledger, "_connected", full)
    with Ledger(ledger.logs) as crowded:
        assert remembers(crowded, one)


def test_without_touching_anything_the_logs_are_read(ledger: Ledger, tmp_path: Path) -> None:
    one = wire()
    log(ledger, outcome(one))
    before = sorted(path.name for path in (tmp_path / "logs").iterdir())
    (tmp_path / "logs" / INDEX).unlink()
    with Ledger(ledger.logs, untouched=True) as reader:
        assert remembers(reader, one)
    assert sorted([*(path.name for path in (tmp_path / "logs").iterdir()), INDEX]) == before
    with Ledger(Logs(directory=str(tmp_path / "none")), untouched=True) as reader:
        assert remembers(reader, one) is None


@pytest.mark.parametrize("sound", [True, False])
def test_sweepers_at_once_know_of_each_others_lines(tmp_path: Path, monkeypatch, sound: bool) -> None:
    """Each files an id only if nobody has; where locks do not reach others, a name does what they cannot."""
    monkeypatch.setattr("archq.durable.locks_reach_everybody", lambda _path: sound)
    shared = [wire() for _ in range(10)]

    def sweeper() -> None:
        with Ledger(Logs(directory=str(tmp_path))) as ledger:
            for one in shared:
                with ledger.held():
                    if one.id not in ledger.recall([one.id]).settled:
                        ledger.append([outcome(one)], ledger.logs.path(TODAY))

    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=sweeper) for _ in range(3)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 3
    assert (tmp_path / "20261120.tdcin.log").read_bytes().count(b"\n") == len(shared)
