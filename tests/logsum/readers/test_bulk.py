"""Long logs are read in pieces, most lines at once and by several workers: nobody can tell from what comes out."""

from __future__ import annotations

import gzip
import os
import signal
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from archq.errors import TemporaryError
from archq.instants import SECOND, parse_instant
from archq.zones import find_zone
from logsum.period import HOUR, Period
from logsum.problems import Problems
from logsum.readers import bulk, pieces, xferlog
from logsum.readers.bulk import ask
from logsum.readers.columns import Collector, Found, Question
from logsum.readers.pieces import tasks
from logsum.readers.source import Source
from logsum.readers.stamps import Calendar, ServerClock
from logsum.sources import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from logsum.events import Upload
    from logsum.readers.bulk import Answer
    from logsum.readers.columns import Packed

NEW_YORK = find_zone("America/New_York")
ALWAYS = Period(start=0, end=parse_instant("2100-01-01T00:00:00Z"), zone=UTC)
SCOPE = Scope(directories=(), titles={"minicam": "mini", "mini": "mini", "megacam": "megacam"})
IDS = [f"01jd3v5t8n3q4r5s6t7v8w9{letters}" for letters in ("x00", "x01", "x02", "x03", "x04", "x05")]

Row = tuple[str, int, float, int]


def rows_in(columns: Iterable[tuple[str, Packed]]) -> list[Row]:
    return sorted(
        (title, *row) for title, one in columns for row in zip(one.sizes, one.times, one.ends or one.sizes, strict=True)
    )


def singles_in(uploads: Iterable[Upload]) -> list[tuple[str, int, float | None, int, bool]]:
    return [(str(one.wire), one.ended, one.seconds, one.size, one.complete) for one in uploads]


# Some of everything, mostly as it should be; the hour that comes twice in New York is among the times.
TIMES = st.sampled_from(
    ["Nov  1 00:59:59", "Nov  1 01:00:00", "Nov  1 01:30:00", "Nov  1 01:59:59", "Nov  1 02:00:00", "Nov 01 03:00:60"]
    + [f"Nov {day:2} {hour:02}:{second:02}:{second:02}" for day in (2, 20) for hour in (0, 23) for second in (0, 59)]
    + ["Nov 19 23:59:59", "Nov 19 23:59:60", "Nov 20 23:59:60", "Nov 21 00:00:00"]
    + ["Jan  1 00:00:00", "Dec 31 23:59:59"]
    + ["Nov 5 12:00:00", "Nov 31 12:00:00", "Nox 20 12:00:00", "Nov 20 24:00:00", "Nov 20 23:60:00", "Nov 20 23:00:61"]
)
NAMES = st.builds(
    "{}{}.{}{}".format,
    st.sampled_from(["/in/", "/in/", "/in/", "", "/two_words/x.", "/in/."]),
    st.sampled_from(["minicam", "minicam", "minicam", "mini", "megacam", "other", "all"]),
    st.sampled_from(IDS),
    st.sampled_from([".1.df", ".1.df", ".1.df", ".1.cf", ".2.df", ".1.df.part", ".1.df.x", ""]),
)
OTHER_NAMES = st.sampled_from(["/in/x.fits", "/in/.part", "/in/.df", "/in/two words", "/in/\udcff.df", "/in/b _ i r"])
LINES = st.builds(
    "{} {} {} {} {} {} {} {} {} {}{}".format,
    st.sampled_from(["Sun", "Sun", "Sun", "sun"]),
    TIMES,
    st.sampled_from(["2026", "2026", "2026", "2027", "0001", "9999"]),
    st.sampled_from(["0", "1", "13", "007", "9" * 18, "9" * 19, "-1"]),
    st.sampled_from(["192.0.2.7", "::ffff:192.0.2.7", "\t"]),
    st.sampled_from(["0", "3000", "8388608", "4294967296", "9" * 18]),
    st.one_of(NAMES, NAMES, NAMES, OTHER_NAMES),
    st.sampled_from(["b _ i", "b _ i", "b _ i", "a C i", "b _ o", "b _ d", "x _ i"]),
    st.sampled_from(["r", "a", "g", "x"]),
    st.sampled_from(["tdcin ftp 0 * c", "tdcin ftp 0 * c", "a b ftp 0 * c", "t ftp 0 t i", "t ftp 0 *", "t ftp 0 *\r"]),
    st.sampled_from(["\n", "\n", "\n", "\n", "\n", "\r\n", " \n"]),
)
RUBBISH = st.text(max_size=9).map("{}\n".format)
BLOCKS = st.lists(st.one_of(LINES, LINES, LINES, LINES, RUBBISH), min_size=1, max_size=25)
ONE_DAY = Period(start=parse_instant("2026-11-01T05:30:00Z"), end=parse_instant("2026-11-02T05:00:01Z"), zone=UTC)
WHOLE_DAY = Period(start=parse_instant("2026-11-20T05:00:00Z"), end=parse_instant("2026-11-21T05:00:00Z"), zone=UTC)
QUESTIONS = st.builds(
    Question,
    scope=st.just(SCOPE),
    period=st.sampled_from([ALWAYS, ONE_DAY, WHOLE_DAY]),
    known=st.sampled_from(
        [frozenset(), frozenset(), frozenset({IDS[0].encode()}), frozenset(one.encode() for one in IDS)]
    ),
    suspects=st.sampled_from([frozenset(), frozenset({hash(IDS[1].encode())})]),
    with_ends=st.booleans(),
)


def taken(lines: list[str], question: Question, *, at_once: bool) -> tuple[Found, int]:
    """Read lines as a block or one by one; return what was found, and what the clock then knows."""
    problems, clock = Problems(), ServerClock(NEW_YORK)
    source = Source(path="log", problems=problems, clock=clock, calendar=Calendar())
    collector, reader = Collector(question), xferlog.Reader()
    block = "".join(lines).encode("utf-8", "surrogateescape")
    if at_once:
        collector.take_block(block, reader, source)
    else:
        collector.take(reader.read([line + b"\n" for line in block.split(b"\n")[:-1]], source))
    return collector.found(problems), clock.latest


@settings(max_examples=500, deadline=None)
@given(BLOCKS, QUESTIONS)
def test_lines_that_are_read_at_once_tell_what_each_tells_alone(lines: list[str], question: Question) -> None:
    fast, fast_clock = taken(lines, question, at_once=True)
    slow, slow_clock = taken(lines, question, at_once=False)
    assert rows_in(fast.columns.items()) == rows_in(slow.columns.items())
    assert {title: list(one.rates) for title, one in fast.columns.items()} == {
        title: list(one.rates) for title, one in slow.columns.items()
    }
    assert fast.hashes == slow.hashes
    assert singles_in(fast.singly) == singles_in(slow.singly)
    assert fast.problems.messages() == slow.problems.messages()
    assert fast_clock == slow_clock


def test_the_lines_of_real_servers_are_all_read_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    stamp, tail = "Fri Nov 20 03:14:29 2026 1 ::1 3000", "b _ i r tdcin ftp 0 * c\n"
    kinds = [f"/in/minicam.{IDS[0]}.1", f"/var/lib/x_y/in/.minicam.{IDS[0]}.1", f"megacam.{IDS[0]}.1"]
    monkeypatch.setattr(xferlog, "_upload", lambda *_arguments: pytest.fail("a line was read singly"))
    for kind in kinds:
        part = ".part" * ("/." in kind)
        lines = [f"{stamp} {kind}.{ending}{part} {tail}" for ending in ("df", "cf", "df", "cf", "cf", "df")]
        found, _clock = taken(
            [*lines, f"{stamp} /in/x.fits {tail}"], Question(scope=SCOPE, period=ALWAYS), at_once=True
        )
        assert [len(one.sizes) for one in found.columns.values()] == [3]


def line(clock: datetime, number: int, *, id_: str = "", size: int = 0, status: str = "c") -> str:
    stamp = clock.strftime("%a %b %e %H:%M:%S %Y")
    name = f"minicam.{id_ or f'01jd3v5t8n3q4r5s6t7v{number:06}'}.1"
    tail = f"b _ i r tdcin ftp 0 * {status}"
    return (
        f"{stamp} {number % 60} ::1 {size or 1000 + number} /in/{name}.df {tail}\n"
        f"{stamp} 1 ::1 900 /in/{name}.cf b _ i r tdcin ftp 0 * c\n"
    )


def written(path: Path, hours: int = 24 * 60, *, begin: datetime = datetime(2026, 10, 1, tzinfo=UTC)) -> Path:
    """Write an upload for every ten minutes, through the night in which clocks are set back."""
    clocks = ((begin + timedelta(minutes=10 * number)).astimezone(NEW_YORK) for number in range(6 * hours))
    path.write_text("".join(line(clock, number) for number, clock in enumerate(clocks)))
    return path


def answer(path: Path, period: Period = ALWAYS, *, workers: int = 1, known: Iterable[str] = ()) -> Answer:
    ids = frozenset(id_.encode() for id_ in known)
    question = Question(scope=SCOPE, period=period, known=ids, with_ends=True)
    return ask(str(path), NEW_YORK, question, Problems(), workers=workers)


def rows(found: Answer) -> list[Row]:
    return rows_in((title, one) for title, parts in found.columns.items() for one in parts)


@pytest.mark.parametrize("workers", [1, 2])
def test_a_log_in_pieces_tells_what_it_tells_in_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    path = written(tmp_path / "xferlog")
    whole = rows(answer(path))
    ends = sorted(end for _title, _size, _seconds, end in whole)
    assert {later - earlier for earlier, later in pairwise(ends)} == {600 * SECOND}
    monkeypatch.setattr(pieces, "SIZE", 20_000)
    monkeypatch.setattr(bulk, "WORTH_WORKERS", 0)
    assert len(tasks([str(path)], NEW_YORK, ALWAYS)) > 50
    assert rows(answer(path, workers=workers)) == whole


def test_no_piece_begins_in_the_hour_that_comes_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "xferlog", 8, begin=datetime(2026, 11, 1, 3, tzinfo=UTC))
    monkeypatch.setattr(pieces, "SIZE", 100)
    begins = [path.read_bytes()[piece.start :][11:16] for (piece,) in tasks([str(path)], NEW_YORK, ALWAYS)]
    assert len(begins) > 20
    assert not [one for one in begins if one.startswith(b"01:")]


@pytest.mark.parametrize("hours", [1, 24, 24 * 31])
def test_only_what_may_belong_to_a_period_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hours: int) -> None:
    path = written(tmp_path / "xferlog")
    whole = rows(answer(path))
    monkeypatch.setattr(pieces, "_LOOK", 300)
    for first in range(parse_instant("2026-09-30T22:00:00Z"), parse_instant("2026-12-01T00:00:00Z"), 25 * HOUR):
        period = Period(start=first, end=first + hours * HOUR, zone=UTC)
        todo = tasks([str(path)], NEW_YORK, period)
        share = sum(piece.size for task in todo for piece in task) / path.stat().st_size
        assert share <= (hours + 17) / (24 * 60)
        assert rows(answer(path, period)) == [row for row in whole if row[3] in period]


def test_the_lines_of_a_whole_day_are_a_piece_of_their_own(tmp_path: Path) -> None:
    path = written(tmp_path / "xferlog")
    todo = tasks([str(path)], NEW_YORK, WHOLE_DAY)
    _before, day, after = [path.read_bytes()[piece.start : piece.end] for task in todo for piece in task]
    assert (day[:19], after[:19]) == (b"Fri Nov 20 00:00:00", b"Sat Nov 21 00:00:00")
    assert day.count(b"\n") == 2 * 6 * 24


def test_a_period_is_found_in_a_log_whose_clock_was_set(tmp_path: Path) -> None:
    clocks = [datetime(2026, 11, 20, tzinfo=UTC) + timedelta(minutes=minute) for minute in range(24 * 60)]
    clocks = [clock - timedelta(hours=3) * (clock.hour == 12) for clock in clocks]  # for an hour it is slow
    path = tmp_path / "xferlog"
    path.write_text("rubbish\n" * 100 + "".join(line(clock, number) for number, clock in enumerate(clocks)))
    period = Period(start=parse_instant("2026-11-20T09:00:00Z"), end=parse_instant("2026-11-20T09:30:00Z"), zone=UTC)
    question = Question(scope=SCOPE, period=period)
    found = ask(str(path), UTC, question, Problems())
    assert sum(len(one.sizes) for one in found.columns["mini"]) == 60


def test_an_id_that_comes_twice_is_looked_at_singly_wherever_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pieces, "SIZE", 5_000)
    clock = datetime(2026, 11, 20, tzinfo=NEW_YORK)
    clocks = [clock + timedelta(minutes=minute) for minute in range(1000)]
    twice, cut = IDS[0], IDS[1]
    lines = [line(clock, number) for number, clock in enumerate(clocks)]
    lines[100] = line(clocks[100], 1, id_=twice, size=1)
    lines[101] = line(clocks[101], 1, id_=cut, size=1, status="i")
    lines[900] = line(clocks[900], 1, id_=twice, size=2)
    lines[901] = line(clocks[901], 1, id_=cut, size=2)
    path = tmp_path / "xferlog"
    path.write_text("".join(lines))
    found = answer(path)
    assert [(one.wire.id, one.size) for one in found.singly] == [(twice, 1), (twice, 2)]
    assert len(rows(found)) == 1000 - 3
    assert [(one.wire.id, one.size) for one in answer(path, known=[cut, twice]).singly] == [
        (twice, 1),
        (cut, 1),
        (twice, 2),
        (cut, 2),
    ]


def test_hashes_that_are_equal_by_chance_take_nothing_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "xferlog", 10)
    monkeypatch.setattr("logsum.readers.columns.hash", lambda id_: int(id_[-2:]) % 7, raising=False)
    found = answer(path)
    monkeypatch.undo()
    assert len(rows(found)) + len({one.wire.id for one in found.singly}) == 60


def test_trouble_that_workers_have_is_told_once_and_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "xferlog", 100)
    lines = path.read_text().split("\n")
    for place in (1000, 100, 600):
        lines[place] = f"rubbish in line {place}"
    path.write_text("\n".join(lines))
    monkeypatch.setattr(pieces, "SIZE", 5_000)
    monkeypatch.setattr(bulk, "WORTH_WORKERS", 0)
    problems = Problems()
    ask(str(path), NEW_YORK, Question(scope=SCOPE, period=ALWAYS), problems, workers=2)
    assert problems.messages() == [f"{path}: 3 lines skipped: cannot be read; the first is 'rubbish in line 100'"]


def test_a_worker_that_is_killed_is_told_and_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written(tmp_path / "xferlog", 100)
    monkeypatch.setattr(pieces, "SIZE", 5_000)
    monkeypatch.setattr(bulk, "WORTH_WORKERS", 0)
    monkeypatch.setattr(bulk, "_do", lambda *_arguments: os.kill(os.getpid(), signal.SIGKILL))
    with pytest.raises(TemporaryError, match="a process that was reading the log was killed; if memory is short"):
        answer(path, workers=2)


def test_of_rotated_logs_only_those_of_the_period_are_read(tmp_path: Path) -> None:
    path = tmp_path / "xferlog"
    text = written(path).read_text().split("\n")
    cuts = [0, 5000, 10_000, len(text)]
    for number, (begin, end) in enumerate(pairwise(cuts)):
        part = "".join(f"{one}\n" for one in text[begin:end] if one)
        if number == 2:
            path.write_text(part)
        else:
            (tmp_path / f"xferlog.{2 - number}.gz").write_bytes(gzip.compress(part.encode()))
    whole = rows(answer(path))
    assert len(whole) == 6 * 24 * 60
    for day, names in (("03", ["xferlog.2.gz"]), ("25", ["xferlog.1.gz"]), ("18", ["xferlog.2.gz", "xferlog.1.gz"])):
        start = parse_instant(f"2026-10-{day}T00:00:00Z")
        period = Period(start=start, end=start + 4 * HOUR, zone=UTC)
        expected = [row for row in whole if row[3] in period]
        assert rows(answer(path, period)) == expected
        todo = tasks([f"{path}.2.gz", f"{path}.1.gz", str(path)], NEW_YORK, period)
        assert {piece.path.rpartition("/")[2] for task in todo for piece in task} == {*names}
