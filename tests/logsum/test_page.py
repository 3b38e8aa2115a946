"""The page that a web server shows: alone, escaped, readable, whole at any time."""

from __future__ import annotations

import os
import re
from concurrent.futures import ThreadPoolExecutor
from html.parser import HTMLParser
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest
from PIL import Image

from logsum.output import publish
from logsum.render.html import Html, element
from tests.logsum.browser import DARK, LIGHT, browser

if TYPE_CHECKING:
    from pathlib import Path

    from tests.logsum.conftest import Logs, Logsum, Result

HOSTILE = "<script>alert('1')</script>&\"\u202e\x1b[31m\n\udcff<img src=x onerror=y>.fits"
VOID = {"meta"}


@pytest.fixture
def busy(logs: Logs) -> Logs:
    """A week of two instruments, with errors, a night of clouds and names of every kind."""
    for day in (13, 14, 15, 17, 18, 19):
        for number in range(30):
            logs.tell(
                f"2026-11-{day}T{number % 12:02}:10:00Z",
                instrument=("minicam", "hectospec")[number % 2],
                size=10_000 * 3 ** (number % 9),
                seconds=0.1 + number,
                queued=f"2026-11-{day}T{number % 12:02}:00:00.000Z",
                path=f"2026.11{day - 1}/img{number:04}.fits",
            )
    logs.tell("2026-11-20T05:00:00Z", path=f"2026.1119/{HOSTILE}", queued="2026-11-20T04:00:00.000Z")
    logs.tell("2026-11-20T05:30:00Z", "rejected", reason=f"the checksum of {HOSTILE} is wrong", path=HOSTILE)
    logs.tell("2026-11-20T06:00:00Z", "conflict", path="2026.1118/a~2.fits", **{"with": "2026.1118/a.fits"})
    return logs


def made(logsum: Logsum, logs: Logs, path: Path, *arguments: str) -> Result:
    return logsum("-l", str(logs.directory), "--since", "2026-11-12", "--html", str(path), *arguments)


@pytest.fixture
def page(busy: Logs, logsum: Logsum, tmp_path: Path) -> str:
    result = made(logsum, busy, tmp_path / "page.html", "-i", "minicam", "-z", "MST")
    assert (result.output, result.errors, result.status) == ("", "", 0)
    return (tmp_path / "page.html").read_text()


class Outline(HTMLParser):
    """What a parser of HTML finds in a page; an element that is not ended where it should be is an error."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return "\n".join(self.words)


def test_the_page_needs_nothing_else(page: str) -> None:
    outline = Outline(page)
    assert not {tag for tag, _attributes in outline.tags} & {"script", "img", "link", "iframe", "object", "base", "a"}
    attributes = {name for _tag, attributes in outline.tags for name in attributes}
    assert not attributes & {"src", "href", "xlink:href", "style", "action"}
    assert not [name for name in attributes if name.startswith("on")]
    assert not re.search(r"url\(|@import|https?:", page)
    policies = [attributes for tag, attributes in outline.tags if attributes.get("http-equiv")]
    assert policies == [
        {"http-equiv": "Content-Security-Policy", "content": "default-src 'none'; style-src 'unsafe-inline'"}
    ]


def test_no_file_s_name_becomes_a_part_of_the_page(page: str) -> None:
    shown = "<script>alert('1')</script>&\"\\u202e\\x1b[31m\\n\\udcff<img src=x onerror=y>.fits"
    outline = Outline(page)
    assert f"2026.1119/{shown}" in outline.words
    assert f"the checksum of {shown} is wrong" in outline.words
    assert not re.search("[\x00-\x09\x0b-\x1f\u202a-\u202e]", page)


def test_the_page_tells_the_period_its_figures_and_its_problems(page: str) -> None:
    text = Outline(page).text
    for words in (
        "Data storage: minicam",
        "2026-11-12 00:00 MST to 2026-11-20 11:00 MST",
        "Newest file\n12 h ago",
        "Files\n92",
        "Errors\n1",
        "Median latency\n11 min",
        "2026-11-15\n0\n0",  # the night of clouds
        "2026-11-19 23:00 MST\n2026.1118/a~2.fits\n8.4 MB\n0.70 MB/s",
        "2026-11-19 22:30 MST\nrejected",
        "2026.1118/a.fits\n1\n2026.1118/a~2.fits",
        "at 2026-11-20 11:00 MST, and true as of then.",
    ):
        assert words in text, words


def test_the_latest_come_first_and_not_all(page: str) -> None:
    arrivals = page[page.index("Last arrivals") : page.index("Problems")]
    times = re.findall(r'<th scope="row">(\S+ \S+) MST</th>', arrivals)
    assert len(times) == 20
    assert times == sorted(times, reverse=True)


def test_pictures_have_names_and_words_and_tables_have_headings(page: str) -> None:
    outline = Outline(page)
    ids = [attributes["id"] for _tag, attributes in outline.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    pictures = [attributes for tag, attributes in outline.tags if tag == "svg"]
    assert len(pictures) == 5  # nights are shown by their files and by their volume
    for picture in pictures:
        assert picture["role"] == "img"
        assert set((picture["aria-labelledby"] or "").split()) <= set(ids)
    tags = [tag for tag, _attributes in outline.tags]
    assert tags.count("caption") == tags.count("table") >= 3
    assert all(attributes.get("scope") in {"col", "row"} for tag, attributes in outline.tags if tag == "th")
    assert [tag for tag in tags if re.fullmatch("h[1-6]", tag)][:2] == ["h1", "h2"]


def test_of_all_instruments_the_page_shows_each_and_all_together(busy: Logs, logsum: Logsum, tmp_path: Path) -> None:
    made(logsum, busy, tmp_path / "page.html", "-i", "all")
    text = Outline((tmp_path / "page.html").read_text()).text
    assert "Data storage: all instruments" in text
    assert re.search(r"\nhectospec\n90\n0\n.*\nminicam\n92\n1\n.*\nall\n182\n1\n", text, re.DOTALL)


def test_a_page_of_nothing_says_so(logs: Logs, logsum: Logsum, tmp_path: Path) -> None:
    assert made(logsum, logs, tmp_path / "page.html", "-i", "minicam").status == 0
    text = Outline((tmp_path / "page.html").read_text()).text
    for words in ("Newest file\nnone\n", "Nothing has arrived in this period.", "None in this period."):
        assert words in text
    assert "Median rate" not in text


def test_what_could_not_be_read_is_on_the_page(logs: Logs, logsum: Logsum, tmp_path: Path) -> None:
    (logs.directory / "20261119.tdcin.log").write_bytes(b"2026-11-19T00:00:00Z <b>\n")
    result = made(logsum, logs, tmp_path / "page.html", "-i", "minicam")
    assert "1 line skipped: cannot be read" in result.errors
    text = Outline((tmp_path / "page.html").read_text()).text
    assert result.errors.removeprefix("logsum: ").strip() in text


def test_a_year_of_nights_is_a_picture_and_the_last_of_them_a_table(logs: Logs, logsum: Logsum, tmp_path: Path) -> None:
    logs.tell("2026-01-02T05:00:00Z", path="2026.0101/a.fits")
    logsum("-l", str(logs.directory), "-i", "minicam", "--since", "2026-01-01", "--html", str(tmp_path / "page.html"))
    text = Outline((tmp_path / "page.html").read_text()).text
    assert "taken, the last first; the last 62 of 324\n" in text
    nights = re.findall(r"\n(2026-\d\d-\d\d)\n", text)
    assert (len(nights), nights[0], nights[-1]) == (62, "2026-11-20", "2026-09-20")


def test_an_element_escapes_what_is_no_html() -> None:
    assert element("p", "<&", Html("<br>"), class_='a"b') == '<p class="a&quot;b">&lt;&amp;<br></p>'


def colours(css: str) -> dict[str, tuple[int, int, int]]:
    found = re.findall(r"--(\w+): #([0-9a-f]{6})", css)
    return {name: (int(code[:2], 16), int(code[2:4], 16), int(code[4:], 16)) for name, code in found}


def contrast(one: tuple[int, int, int], other: tuple[int, int, int]) -> float:
    """Return the ratio that WCAG 2 defines."""

    def light(colour: tuple[int, int, int]) -> float:
        parts = [part / 255 for part in colour]
        red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    dark, bright = sorted((light(one), light(other)))
    return (bright + 0.05) / (dark + 0.05)


def test_what_is_written_can_be_read_in_the_light_and_in_the_dark() -> None:
    light, dark = files("logsum.render").joinpath("page.css").read_text().split("prefers-color-scheme: dark")
    for scheme in (colours(light), colours(dark)):
        for ground in ("ground", "card"):
            for ink in ("ink", "faint", "bad", "mark"):
                assert contrast(scheme[ink], scheme[ground]) >= 4.5, (ink, ground)


def test_the_page_fits_a_phone_and_a_desk_in_both_schemes(page: str, tmp_path: Path) -> None:
    chromium = browser(tmp_path)
    schemes = {}
    for width in (390, 1200):
        for scheme in (LIGHT, DARK):
            seen = chromium.look(page, width, scheme)
            assert (seen["width"], seen["asked"], seen["scripts"]) == (width, 0, 0)
            assert all(150 < shown <= width - 32 for shown in seen["svg"])
            assert "<script>alert('1')</script>" in seen["text"]
            schemes[scheme] = (seen["ground"], seen["ink"], seen["bar"])
    assert schemes == {
        LIGHT: ("rgb(251, 250, 247)", "rgb(29, 29, 27)", "rgb(11, 95, 165)"),
        DARK: ("rgb(20, 22, 26)", "rgb(233, 231, 226)", "rgb(125, 184, 239)"),
    }


@pytest.mark.parametrize(("scheme", "ground", "bar"), [(LIGHT, "fbfaf7", "0b5fa5"), (DARK, "14161a", "7db8ef")])
def test_a_screenshot_shows_bars_on_the_ground(page: str, tmp_path: Path, scheme: int, ground: str, bar: str) -> None:
    with Image.open(browser(tmp_path).picture(page, 1200, scheme)) as picture:
        pixels = picture.convert("RGB")
        counts = {f"{r:02x}{g:02x}{b:02x}": n for n, (r, g, b) in pixels.getcolors(1 << 24) or ()}
        assert f"{pixels.getpixel((2, 2))!r}" == repr(tuple(bytes.fromhex(ground)))
    assert counts[bar] > 2000
    assert len(counts) > 50  # letters are smoothed


def test_the_page_is_for_the_web_server_to_read_whatever_the_umask(page: str, tmp_path: Path) -> None:
    assert (tmp_path / "page.html").stat().st_mode & 0o777 == 0o644
    assert sorted(name for name in os.listdir(tmp_path) if "page" in name) == ["page.html"]


def test_the_page_replaces_its_forerunner_keeping_its_mode_and_a_link_to_it(
    busy: Logs, logsum: Logsum, tmp_path: Path
) -> None:
    old, link = tmp_path / "old.html", tmp_path / "status.html"
    old.write_text("old")
    old.chmod(0o640)
    link.symlink_to(old)
    with old.open() as reader:
        made(logsum, busy, link, "-i", "minicam")
        assert reader.read() == "old"  # who reads it meanwhile has the old one to its end
    assert link.is_symlink()
    assert old.read_text().startswith("<!DOCTYPE html>")
    assert old.stat().st_mode & 0o777 == 0o640


def test_a_page_that_cannot_be_written_is_told(busy: Logs, logsum: Logsum, tmp_path: Path) -> None:
    result = made(logsum, busy, tmp_path / "none" / "page.html", "-i", "minicam")
    assert result.errors == f"logsum: cannot create {tmp_path}/none/page.html: No such file or directory\n"
    assert result.status == 73
    os.mkfifo(tmp_path / "fifo")
    result = made(logsum, busy, tmp_path / "fifo", "-i", "minicam")
    assert result.errors == f"logsum: {tmp_path}/fifo is no regular file: give another name for the output\n"
    assert result.status == 73
    assert made(logsum, busy, tmp_path, "-i", "minicam").status == 73


def test_a_page_is_whole_though_several_are_made_at_once(tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    pages = [bytes([65 + number]) * 300_000 for number in range(4)]
    publish(str(page), pages[0])

    def work(content: bytes) -> None:
        for _ in range(20):
            publish(str(page), content)
            assert page.read_bytes() in pages

    with ThreadPoolExecutor(4) as workers:
        assert list(workers.map(work, pages)) == [None] * 4
    assert os.listdir(tmp_path) == ["page.html"]


def test_a_page_without_a_name_is_refused(logsum: Logsum) -> None:
    result = logsum("-i", "minicam", "--html", "")
    assert "a page has to have a name" in result.errors
    assert result.status == 2


def test_the_text_is_left_out_unless_it_is_asked_for(busy: Logs, logsum: Logsum, tmp_path: Path) -> None:
    result = made(logsum, busy, tmp_path / "page.html", "-i", "minicam", "--format", "text")
    assert "Instrument: minicam       92 files       1 errors\n" in result.output
    assert "Night" not in result.output
