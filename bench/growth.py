"""How the cost of one file or line grows with their number, stage by stage: it should not."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING

from bench import reports, site, sweep
from bench.ship import shipping
from bench.submit import submitting
from tests.servers import sshd

if TYPE_CHECKING:
    from collections.abc import Callable

    from bench.harness import Contender, Report
    from bench.site import Site
    from tests.servers.process import RunningServer

STEPS = (1, 2, 4, 8)
TINY = 1_000  # bytes
MOST = 1.3  # times the cost among the fewest
LINES_A_FILE = 500


def run(report: Report, *, long: bool) -> None:
    """Let each stage do the same work at four sizes."""
    least = 1_000 if long else 250
    stages: dict[str, Callable[[Site], Callable[[int], Contender]]] = {
        "submitting {:,} files in one request": _submitting,
        "sweeping {:,} arrivals": _sweeping,
        "reporting on {:,} files of a log": _reporting,
    }
    for what, stage in stages.items():
        with site.made() as place:
            place.configure(f"file:{place.home}")
            report.grow(what, [least * step for step in STEPS], stage(place), MOST)
    with site.made() as place, sshd.running("full") as server:
        what = "shipping {:,} files of one request by SFTP"
        report.grow(what, [least * step for step in STEPS], partial(_shipping, place, server), MOST)


def _submitting(place: Site) -> Callable[[int], Contender]:
    return lambda count: submitting(place, place.files(count, TINY), "archq", "submit", goal=None)


def _shipping(place: Site, server: RunningServer, count: int) -> Contender:
    place.configure(server.url, f'key = "{server.key}"', f'known_hosts = "{server.known_hosts}"')
    return shipping(place, server, place.files(count, TINY), goal=None)


def _sweeping(place: Site) -> Callable[[int], Contender]:
    def of(count: int) -> Contender:
        home = place.home / f"{count}"
        home.mkdir()
        return sweep.sweeping(place, sweep.pool(home, None, [TINY] * count), count)

    return of


def _reporting(place: Site) -> Callable[[int], Contender]:
    def of(count: int) -> Contender:
        shutil.rmtree(place.home / "xferlogs", ignore_errors=True)
        return reports.summing(place, reports.written(place, count * LINES_A_FILE), *reports.WHOLE)

    return of
