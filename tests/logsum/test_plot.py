"""Pictures in a file, drawn by matplotlib where it is installed."""

from __future__ import annotations

import subprocess
import sys
import xml.etree.ElementTree as ET
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from logsum.panels import latency_bins, nice, rate_bins, ticks
from logsum.render.charts import short_duration, short_size

if TYPE_CHECKING:
    from pathlib import Path

    from tests.logsum.conftest import Logs, Logsum, Result


def drawn(logsum: Logsum, logs: Logs, path: Path, *arguments: str) -> Result:
    arguments = ("-l", str(logs.directory), "-i", "minicam", "--since", "2026-11-12", "--plot", str(path), *arguments)
    return logsum(*arguments)


@pytest.fixture
def busy(logs: Logs) -> Logs:
    for day in (13, 14, 16):
        for number in range(20):
            instant = f"2026-11-{day}T{number % 12:02}:10:00Z"
            queued = f"2026-11-{day}T{number % 12:02}:00:00.000Z"
            logs.tell(
                instant, size=10**6 * number, seconds=1 + number, queued=queued, path=f"2026.11{day - 1}/a{number}"
            )
    return logs


def test_a_png_has_four_pictures(busy: Logs, logsum: Logsum, tmp_path: Path) -> None:
    result = drawn(logsum, busy, tmp_path / "plot.PNG")
    assert (result.output, result.errors, result.status) == ("", "", 0)
    with Image.open(tmp_path / "plot.PNG") as picture:
        assert (picture.format, picture.size) == ("PNG", (1650, 1125))
        width, height = picture.size
        blue = (11, 95, 165)
        for left, top in ((0, 0), (0, height // 2), (width // 2, height // 2)):
            quarter = picture.convert("RGB").crop((left, top, left + width // 2, top + height // 2))
            assert {colour: count for count, colour in quarter.getcolors(1 << 24) or ()}[blue] > 1000


def test_an_svg_has_words_and_is_the_same_of_the_same(busy: Logs, logsum: Logsum, tmp_path: Path) -> None:
    for name in ("one.svg", "two.svg"):
        assert drawn(logsum, busy, tmp_path / name).status == 0
    one, two = ((tmp_path / name).read_bytes() for name in ("one.svg", "two.svg"))
    assert one == two
    words = {text.text for text in ET.fromstring(one).iter("{http://www.w3.org/2000/svg}text")}
    assert {"How fast", "Size against time", "Night by night", "From queued to archived", "MB/s", "11-12"} <= words


def test_a_picture_of_nothing_says_so(logs: Logs, logsum: Logsum, tmp_path: Path) -> None:
    assert drawn(logsum, logs, tmp_path / "plot.svg").status == 0
    assert (tmp_path / "plot.svg").read_text().count(">nothing<") == 5


def test_a_name_that_no_picture_can_have_is_refused_before_anything_is_read(logsum: Logsum, tmp_path: Path) -> None:
    result = logsum("-i", "nobody", "--plot", str(tmp_path / "plot.pdf"))
    assert result.errors == f"logsum: --plot {tmp_path}/plot.pdf: a plot's name ends in .png or .svg\n"
    assert result.status == 2


def test_without_matplotlib_the_extra_is_named(
    busy: Logs, logsum: Logsum, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    result = drawn(logsum, busy, tmp_path / "plot.png")
    assert result.errors == (
        "logsum: --plot needs matplotlib, which is not installed: pip install 'archq[plot]' (--html draws without it)\n"
    )
    assert (result.status, (tmp_path / "plot.png").exists()) == (2, False)
    assert drawn(logsum, busy, tmp_path / "plot.png", "--plot", "").status == 2
    page = ("-l", str(busy.directory), "-i", "minicam", "--html", str(tmp_path / "page.html"))
    assert logsum(*page).status == 0


def test_matplotlib_is_loaded_for_a_plot_only() -> None:
    look = "import sys, logsum.cli; print(sorted({'matplotlib', 'numpy', 'tabulate', 'dateutil'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", look], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_bins_hold_every_value_once() -> None:
    rates = [0.0, 0.5, 1.0, 1.7, *([2.0] * 500), 40.0]
    bins = rate_bins(rates)
    assert bins
    assert sum(bins.counts) + bins.beyond == len(rates)
    assert (bins.edges[-1], bins.beyond) == (2.0, 1)  # one very fast file does not squeeze the others
    latencies = [0.0, 0.5, 7.0, 3600.0, 10.0**9]
    bins = latency_bins(latencies)
    assert bins
    assert (sum(bins.counts), bins.beyond, bins.edges[0]) == (4, 1, 0)


@pytest.mark.parametrize("values", [[0.0], [5.0], [10.0**9], [1e-9], [60.0, 60.0]])
def test_bins_of_one_value_are_some(values: list[float]) -> None:
    for bins in (rate_bins(values), latency_bins(values)):
        assert bins
        assert sum(bins.counts) + bins.beyond == len(values)
        assert len(bins.edges) == len(bins.counts) + 1 >= 2


def test_numbers_on_axes_are_round() -> None:
    assert [nice(width) for width in (0.012, 1, 1.1, 3, 5.01)] == pytest.approx([0.02, 1, 2, 5, 10])
    assert ticks(84) == [0, 20, 40, 60, 80]
    assert ticks(3.0) == [0, 1, 2, 3]
    assert ticks(2.5) == [0, 0.5, 1, 1.5, 2, 2.5]
    assert ticks(3) == [0, 1, 2, 3]
    assert ticks(2) == [0, 1, 2]  # there are no halves of files
    assert ticks(0) == [0]
    assert [short_duration(one) for one in (0, 30, 60, 1200, 7200, 86_400)] == [
        "0 s",
        "30 s",
        "1 min",
        "20 min",
        "2 h",
        "1 d",
    ]
    assert [short_size(one) for one in (1, 1e4, 1e6, 1e9)] == ["1 B", "10 kB", "1 MB", "1 GB"]
