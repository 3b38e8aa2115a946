"""Comparing an archive with its logs, long after."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

import pytest

from sweeper import check
from tests.sweeper.arrivals import Result, Site, new_site

if TYPE_CHECKING:
    from pathlib import Path

NIGHT = "2026.1120"
ALL_WELL = Result(status=0)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """An archive of five files, one of which has another name than it came with, and one that no text can name."""
    site = new_site(tmp_path)
    for number in range(3):
        site.arrive(b"content %d" % number, name=f"img{number}.fits")
    site.arrive(b"other", name="img0.fits")
    site.arrive(b"bytes", name="\udcff.fits")
    assert site.sweep("-i", "minicam").status == 0
    return site


def check_of(site: Site) -> Result:
    return site.sweep("-i", "minicam", "--check")


def file(site: Site, name: str) -> Path:
    return site.archive / NIGHT / name


def change(site: Site, name: str, content: bytes) -> None:
    file(site, name).chmod(0o644)
    file(site, name).write_bytes(content)


def test_an_archive_as_it_was_filed_is_all_well_and_nothing_is_left_behind(site: Site) -> None:
    before = sorted(path.name for path in site.logs.iterdir())
    assert check_of(site) == ALL_WELL
    assert sorted(path.name for path in site.logs.iterdir()) == before


def test_what_differs_is_told(site: Site) -> None:
    file(site, "img0.fits").unlink()
    change(site, "img1.fits", b"Content 1")
    change(site, "img2.fits", b"longer than it was")
    (site.archive / "stray.fits").write_bytes(b"")
    file(site, ".archq-0123-4").write_bytes(b"half")
    result = check_of(site)
    assert result.status == 3
    found = dict(line.split(": ", 1) for line in result.output.splitlines())
    assert set(found) == {
        *(f"{NIGHT}/img{number}.fits" for number in range(3)),
        f"{NIGHT}/.archq-0123-4",
        "stray.fits",
    }
    assert found[f"{NIGHT}/img0.fits"].startswith("missing (filed 2026-")
    assert found[f"{NIGHT}/img1.fits"].startswith("changed: its checksum is sha256:")
    assert found[f"{NIGHT}/img2.fits"].startswith("changed: it has 18 bytes and had 9 (filed ")
    assert found["stray.fits"] == "not in the logs"
    assert found[f"{NIGHT}/.archq-0123-4"].startswith("left behind by a sweeper")


def test_a_link_in_a_files_place_is_not_followed(site: Site) -> None:
    target = site.root / "elsewhere"
    target.write_bytes(b"content 0")
    file(site, "img0.fits").unlink()
    file(site, "img0.fits").symlink_to(target)
    result = check_of(site)
    assert result.status == 3
    assert f"{NIGHT}/img0.fits: cannot be read: Too many levels of symbolic links" in result.output


def test_a_file_that_was_filed_again_counts_as_it_was_last(site: Site) -> None:
    file(site, "img0.fits").unlink()
    site.arrive(b"again", name="img0.fits")
    site.sweep("-i", "minicam")
    assert check_of(site) == ALL_WELL


def test_packed_logs_are_read_as_well(site: Site) -> None:
    (log,) = (path for path in site.logs.iterdir() if not path.name.startswith("."))
    log.with_suffix(".log.gz").write_bytes(gzip.compress(log.read_bytes()))
    log.unlink()
    assert check_of(site) == ALL_WELL


def test_an_interrupted_check_goes_on_where_it_stopped(site: Site, monkeypatch) -> None:
    file(site, "img0.fits").unlink()
    monkeypatch.setattr(check, "_SAVE", -1.0)  # note every single file
    read = []
    real = check._verdict

    def interrupted(archive, path: str, *facts) -> str:
        if len(read) == 3:
            raise KeyboardInterrupt
        read.append(path)
        return real(archive, path, *facts)

    monkeypatch.setattr(check, "_verdict", interrupted)
    assert check_of(site).status == 130
    monkeypatch.setattr(
        check, "_verdict", lambda archive, path, *facts: read.append(path) or real(archive, path, *facts)
    )
    result = check_of(site)
    assert result.status == 3
    assert f"{NIGHT}/img0.fits: missing" in result.output
    assert len(read) == len(set(read)) == 5


def test_an_archive_that_is_not_there_is_told(site: Site) -> None:
    site.archive.rename(site.root / "elsewhere")
    result = check_of(site)
    assert result.status == 73
    assert f"{site.archive} does not exist: mount it" in result.errors


def test_one_thing_at_a_time(site: Site) -> None:
    result = site.sweep("-i", "minicam", "--check", "--doctor")
    assert result.status == 2
    assert "say one of them" in result.errors
