"""Transfer logs of later days are passed over block by block, but for what may belong to an earlier one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from archq.instants import parse_instant
from logsum.problems import Problems
from logsum.readers import transferlog
from logsum.readers.transferlog import read_directory

if TYPE_CHECKING:
    from pathlib import Path

LATER = (
    "2026-11-29T03:20:01.123Z filed instrument=minicam wire=minicam.01jd3v5t8n3q4r5s6t7v8w9x0y.1.df size=1"
    " queued=2026-11-29T03:14:16.102Z started=2026-11-29T03:14:17.003Z seconds=12.811 tries=1"
    " path=2026.1129/later.fits checksum=sha256:9f86\n"
)
EARLIER = LATER.replace("queued=2026-11-29", "queued=2026-11-20").replace("later.fits", "earlier.fits")


def paths(directory: Path, until: str = "2026-11-21T00:00:00Z") -> tuple[list[str | None], list[str]]:
    problems = Problems()
    found = read_directory(str(directory), parse_instant("2026-11-20T00:00:00Z"), problems, parse_instant(until))
    return [verdict.path for verdict in found], problems.messages()


@pytest.mark.parametrize("place", [0, 1, 5_000, 9_999])
@pytest.mark.parametrize(
    ("line", "path"),
    [
        (EARLIER, "2026.1129/earlier.fits"),
        (LATER.replace(" tries", " skew=9 tries"), "2026.1129/later.fits"),
        (LATER.replace(" queued=2026-11-29T03:14:16.102Z", ""), "2026.1129/later.fits"),
    ],
)
def test_what_may_belong_to_an_earlier_day_is_found_among_thousands_of_a_later_one(
    tmp_path: Path, place: int, line: str, path: str
) -> None:
    lines = [LATER] * 10_000
    lines[place] = line
    (tmp_path / "20261129.tdcin.log").write_text("".join(lines))
    assert paths(tmp_path) == ([path], [])
    assert len(paths(tmp_path, "2026-11-30T00:00:00Z")[0]) == 10_000


def test_lines_of_later_days_are_not_looked_at_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "20261129.tdcin.log").write_text(LATER * 10_000)
    monkeypatch.setattr(transferlog, "_verdicts", lambda *_arguments: pytest.fail("a block was taken apart"))
    assert paths(tmp_path) == ([], [])


def test_a_last_line_that_was_cut_is_told_whatever_is_left_of_it(tmp_path: Path) -> None:
    log = tmp_path / "20261120.tdcin.log"
    log.write_text(EARLIER + "2026-11-29T03")
    assert paths(tmp_path) == (
        ["2026.1129/earlier.fits"],
        [f"{log}: 1 line skipped: cannot be read; the first is '2026-11-29T03'"],
    )
