"""What is understood at one glance is what the exact reader of transfer logs understands."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from hypothesis import example, given, settings
from hypothesis import strategies as st

from logsum.problems import Problems
from logsum.readers import transferlog
from logsum.readers.usual import usual_verdict
from tests.archq.instrument import Instrument

if TYPE_CHECKING:
    from pathlib import Path

    from logsum.events import Verdict

LINE = (
    b"2026-11-20T03:20:01.123Z filed instrument=minicam request=archive-17 part=1/3"
    b" wire=minicam.01jd3v5t8n3q4r5s6t7v8w9x0y.1.df size=8388608 queued=2026-11-20T03:14:16.102Z"
    b" started=2026-11-20T03:14:17.003Z seconds=12.811 tries=1 host=packrat spool=01jcz0000000000000000000aa"
    b" path=2026.1120/img0001.fits checksum=sha256:9f86\n"
)


def exactly(line: bytes) -> Verdict | None:
    return next(transferlog._parsed(line, "log", Problems()), None)


@st.composite
def changed_lines(draw: st.DrawFn) -> bytes:
    """Give a line in which a word or some bytes were changed, left out or doubled."""
    line = bytearray(LINE)
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(line)))
        line[at : at + draw(st.integers(0, 3))] = draw(
            st.binary(max_size=2) | st.sampled_from([b"%20", b"9" * 20, b"-"])
        )
    words = bytes(line).split(b" ")
    if draw(st.booleans()):
        words.insert(
            draw(st.integers(0, len(words))), draw(st.sampled_from([*words, b"skew=1", b"x=y", b"", b"with=a"]))
        )
    if draw(st.booleans()):
        words.pop(draw(st.integers(0, len(words) - 1)))
    return b" ".join(words)


@settings(max_examples=1000, deadline=None)
@given(changed_lines())
@example(LINE)
@example(LINE.replace(b"minicam.01", b"all.01"))
@example(LINE.replace(b"2026-11-20T03:20", b"2026-02-30T03:20"))
@example(LINE.replace(b"size=8388608", b"size=" + "\N{ARABIC-INDIC DIGIT ONE}".encode()))
def test_a_line_that_is_understood_at_one_glance_says_what_it_says(line: bytes) -> None:
    usual = usual_verdict(line)
    assert usual is None or usual == exactly(line)


def test_what_the_sweeper_writes_is_usual(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    instrument.submit()
    instrument.archq("ship", "--once")
    archive = tmp_path / "archive"
    archive.mkdir()
    sweep = [sys.executable, "-c", "from sweeper.cli import main; raise SystemExit(main())"]
    subprocess.run([*sweep, "-i", "minicam", "-d", archive, "-f", tmp_path / "incoming"], check=True)
    (line,) = next((archive / "xferlogs").glob("*.tdcin.log")).read_bytes().splitlines(keepends=True)
    verdict = usual_verdict(line)
    assert verdict == exactly(line)
    assert verdict
    assert (verdict.outcome, verdict.path) == ("filed", f"{line.partition(b' path=')[2].partition(b' ')[0].decode()}")
