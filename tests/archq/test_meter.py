"""Long work shows on a terminal how far it is, and nowhere else."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from archq import console, meter
from archq.meter import line, shortened
from tests.archq.instrument import Instrument
from tests.archq.shipping.test_following import owners
from tests.terminal import AT_ONCE, left_of, written_by

if TYPE_CHECKING:
    from pathlib import Path

MB = 1_000_000


@pytest.mark.parametrize(
    ("width", "shown"),
    [
        (100, "copying  43% [#################                       ] 1.2 GB of 2.8 GB  210.3 MB/s  8 s left"),
        (80, "copying  43% [#########              ] 1.2 GB of 2.8 GB  210.3 MB/s  8 s left"),
        (60, "copying  43% 1.2 GB of 2.8 GB  210.3 MB/s  8 s left"),
        (32, "copying  43% 1.2 GB of 2.8 GB"),
    ],
)
def test_the_bar_has_the_room_that_the_words_leave(width: int, shown: str) -> None:
    text = line("copying", 1204 * MB, 2800 * MB, 210.3 * MB, None, width)
    assert text == shown
    assert len(text) + len("^C") < width  # which a terminal shows for the interrupt key, and must not break the line


def test_a_long_label_makes_room_for_the_rest() -> None:
    text = line("checking /data/oir/ARCHMINICAM/2026.1120", 5 * MB, 10 * MB, 1 * MB, None, 60)
    assert text == "checking /dat…  50% 5.0 MB of 10.0 MB  1.0 MB/s  5 s left"


def test_what_is_counted_has_its_name() -> None:
    assert line("filing", 12, 340, 31, "arrivals", 50) == "filing   3% 12 of 340 arrivals  31/s  11 s left"
    assert line("filing", 12, 340, 1.25, "arrivals", 70).endswith("] 12 of 340 arrivals  1.2/s  4 min left")


def test_without_a_total_the_amount_and_the_rate_are_shown() -> None:
    assert line("copying", 5 * MB, 0, 1 * MB, None, 80) == "copying 5.0 MB  1.0 MB/s"


def test_what_stands_still_has_no_time_left_and_what_grew_is_not_more_than_all() -> None:
    assert line("copying", 5 * MB, 10 * MB, 0, None, 60).endswith("5.0 MB of 10.0 MB  0 B/s")
    assert line("copying", 12 * MB, 10 * MB, 1 * MB, None, 50) == "copying 100% 12.0 MB of 10.0 MB  1.0 MB/s"


@pytest.mark.parametrize(
    ("text", "shown"), [("abc", "abc"), ("abcd", "ab…"), ("", ""), ("望遠鏡", "望…"), ("e\u0301té", "e\u0301té")]
)
def test_what_does_not_fit_ends_in_an_ellipsis(text: str, shown: str) -> None:
    assert shortened(text, 3) == shown


def test_the_rate_is_that_of_the_last_seconds(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(meter.time, "monotonic", lambda: now[0])
    with open(os.devnull, "w") as nowhere:
        counting = meter.Meter("copying", 0, "steps", nowhere)
        for second in range(1, 101):
            now[0] = float(second)
            counting.advance(100 if second <= 50 else 1)
        assert counting._rate(100.0) == 1


# What follows needs a terminal.

STEPS = """
import sys, time
from archq import console, meter
meter.SHOWN_AFTER, meter.REDRAWN_EVERY = {after}, 0
def main():
    with console.progress("counting\\x1b[2J", 3, "steps") as done:
        for step in (1, 2, 3):
            done(1)
            if step == 2:
                console.{say}
sys.exit(console.run("archq", main))
"""


@pytest.mark.parametrize("say", ["tell('found')", "complain('archq', 'found')"])
def test_the_bar_leaves_no_trace_in_what_is_told_and_goes_at_the_end(say: str) -> None:
    written = written_by(STEPS.format(after=0, say=say))
    assert "1 of 3 steps" in written
    assert "3 of 3 steps" in written
    assert left_of(written) in (["found"], ["archq: found"])


def test_a_label_cannot_steer_the_terminal() -> None:
    assert r"counting\x1b[2J" in written_by(STEPS.format(after=0, say="tell('found')"))


def test_short_work_shows_nothing() -> None:
    assert written_by(STEPS.format(after=60, say="tell('found')")) == "found\r\n"


@pytest.mark.parametrize("term", ["dumb", ""])
def test_a_terminal_that_cannot_clear_a_line_gets_no_bar(term: str) -> None:
    script, environment = STEPS.format(after=0, say="tell('found')"), {**os.environ, "TERM": term}
    assert written_by(script, environment=environment) == "found\r\n"


def test_a_pipe_gets_no_bar() -> None:
    script = STEPS.format(after=0, say="tell('found')")
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("found\n", "")


def test_a_bar_within_a_bar_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(console, "_meters", [object()])
    with console.progress("inner", 3) as done:
        done(1)
    assert len(console._meters) == 1


@pytest.mark.parametrize(("words", "label"), [(["submit", "-s", "FRAME"], "copying"), (["fsck"], "checking")])
def test_commands_that_read_much_show_how_far_they_are(words: list[str], label: str, tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    instrument.submit_content(bytes(3_000_000))
    words = ["archq", *(str(tmp_path / "data/img0001.fits") if word == "FRAME" else word for word in words)]
    written = written_by(AT_ONCE.format(words=words, module="archq.cli"), environment=instrument.environment)
    assert f"\r{label}  34% [" in written
    assert "1.0 MB of 3.0 MB" in written
    assert left_of(written) == []


def test_who_waits_for_a_request_sees_how_much_of_it_has_gone(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path, queue="connections = 1", autostart=True)
    frames = [str(instrument.frame(f"{number}.fits", bytes(100_000))) for number in range(2)]
    script = AT_ONCE.format(words=["archq", "submit", "-w", *frames], module="archq.cli")
    try:
        written = written_by(script, environment=instrument.environment)
    finally:
        for owner in owners(instrument):
            os.kill(owner, signal.SIGKILL)
    assert "\rsending archive-1   0% [" in written
    assert "of 200.0 kB" in written
    assert left_of(written) == ["request id is archive-1 (2 file(s))"]


def test_a_run_of_the_shipper_shows_how_much_has_gone(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path, queue="connections = 1")
    for number in range(4):
        instrument.submit_content(bytes(1_000_000), f"{number}.fits")
    words = ["archq", "ship", "-d", "archive"]
    written = written_by(AT_ONCE.format(words=words, module="archq.cli"), environment=instrument.environment)
    shares = [int(share) for share in re.findall(r"\rsending archive +(\d+)% \[", written)]
    assert shares == sorted(shares)
    assert (shares[-1], len(set(shares)) > 1) == (100, True)
    assert "of 4.0 MB" in written
    assert left_of(written) == []
