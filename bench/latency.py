"""How long it takes from the submission of a file until it is filed: one shipper and one sweeper that are always there.

Keck's archive promises a minute (KOA's ingestion).  Here both ends are on one machine, and the link between them is
loopback: what is measured is what the line itself adds.
"""

from __future__ import annotations

import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from bench import site
from tests.servers import sshd

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.harness import Report
    from bench.site import Site

FRAMES = 100
SIZE = 1_000_000  # bytes
MEDIAN, NEARLY_ALL = 0.3, 1.0  # seconds
PATIENCE = 30.0  # seconds
LOOK_EVERY = 0.002  # seconds


def run(report: Report, *, long: bool) -> None:
    """Submit frame after frame, each when the last was filed; measure from the call to the name in the archive."""
    count = FRAMES if long else FRAMES // 2
    with site.made() as place, sshd.running("full") as server:
        place.configure(server.url, f'key = "{server.key}"', f'known_hosts = "{server.known_hosts}"')
        archive = place.home / "archive"
        archive.mkdir()
        frames = place.files(count + 1, SIZE)
        sweep = ("sweeper", "-i", "minicam", "-d", archive, "+D", "-f", server.incoming, "--watch")
        with always(place, "archq", "ship", "--follow", "-d", "archive"), always(place, *sweep):
            submitted_and_filed(place, frames[0], archive)  # they may still be on their way up
            seconds = sorted(submitted_and_filed(place, frame, archive) for frame in frames[1:])
    what = f"submit to filed, {count} frames of {SIZE / 1e6:g} MB by SFTP"
    report.check(f"latency: {what}, median", seconds[count // 2], MEDIAN, "s")
    report.check(f"latency: {what}, 99 %", seconds[-1 - count // 100], NEARLY_ALL, "s")


def submitted_and_filed(place: Site, frame: Path, archive: Path) -> float:
    begun = time.perf_counter()
    place.run("archq-lp", frame)
    while not (archive / frame.name).exists():
        if time.perf_counter() - begun > PATIENCE:
            raise TimeoutError(f"{frame.name} was not filed within {PATIENCE:g} s")
        time.sleep(LOOK_EVERY)
    return time.perf_counter() - begun


@contextmanager
def always(place: Site, program: str, *words: str | Path) -> Iterator[None]:
    """Have one of our programs run until the end of the block."""
    with subprocess.Popen((site.installed(program), *words), env=place.environment) as process:
        try:
            yield
        finally:
            process.terminate()
