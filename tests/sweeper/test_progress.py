"""A sweep and a check show on a terminal how far they are, if they take longer than a moment."""

from __future__ import annotations

import pytest

from tests.sweeper.arrivals import SILENT_SUCCESS, Site
from tests.terminal import AT_ONCE, left_of, written_by


def shown(site: Site, *words: str) -> str:
    """Return what the sweeper writes on a terminal where nothing is too short for a bar."""
    words = ("sweeper", "-f", str(site.incoming), "-d", str(site.archive), "-i", "minicam", *words)
    return written_by(AT_ONCE.format(words=list(words), module="sweeper.cli"), environment=site.environment())


def arrive(site: Site, count: int) -> None:
    for number in range(count):
        site.arrive(b"%d" % number * 1000, name=f"{number}.fits")


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_sweep_shows_how_many_arrivals_are_filed(workers: str, site: Site) -> None:
    arrive(site, 40)
    written = shown(site, "-j", workers)
    assert "\rfiling 100% [" in written
    assert " 40 of 40 arrivals  " in written
    assert left_of(written) == []
    assert len(site.archived()) == 40


def test_a_check_shows_how_much_is_read(site: Site) -> None:
    arrive(site, 3)
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    written = shown(site, "--check")
    assert "\rchecking archive  33% [" in written
    assert "3.0 kB of 3.0 kB" in written
    assert left_of(written) == []
