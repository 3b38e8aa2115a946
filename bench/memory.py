"""What archq needs of the machine: memory for a file larger than it may hold, time and memory for a long queue."""

from __future__ import annotations

import os
import subprocess
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archq.config import load
from archq.submission import submit
from bench import site
from tests.servers import sshd
from tests.servers.process import family

if TYPE_CHECKING:
    from bench.harness import Report
    from bench.site import Site

LARGE = 2 * 10**9  # bytes
QUEUED = 1_000  # requests
FILES = 10  # in each
MOST = 100.0  # MB
LOOK_EVERY = 0.05  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a program and its workers held at most, together; memory in MB, and the time they took in seconds."""

    memory: float
    descriptors: int
    seconds: float


def run(report: Report, *, long: bool) -> None:
    """Measure submitting, shipping and sweeping of one large file, then a long queue."""
    report.note(f"memory is that of a program with its workers, looked at every {LOOK_EVERY * 1000:.0f} ms (PSS)")
    large_file(report, 2 * LARGE if long else LARGE)
    long_queue(report, 10 * QUEUED if long else QUEUED, 1 if long else FILES)


def large_file(report: Report, size: int) -> None:
    with site.made() as place, sshd.running("full") as server:
        place.configure(server.url, f'key = "{server.key}"', f'known_hosts = "{server.known_hosts}"')
        source = place.home / "large.fits"
        with source.open("wb") as file:
            file.truncate(size)  # a hole: what it holds does not matter to memory
        archive = place.home / "archive"
        archive.mkdir()
        sweep = ("sweeper", "-i", "minicam", "-d", archive, "-f", server.incoming)
        for words in (("archq", "submit", source), ("archq", "ship", "--once"), sweep):
            usage = watched(place, *words)
            report.check(f"memory: {' '.join(map(str, words[:2]))} of {size / 1e9:.0f} GB", usage.memory, MOST, "MB")
        assert [path.stat().st_size for path in archive.rglob("large.fits")] == [size], "the archive has not got it"


def long_queue(report: Report, count: int, files: int) -> None:
    """Measure a queue of so many requests of so many files each."""
    what = f"{count:,} requests of {files}"
    with site.made() as place:
        incoming = place.home / "incoming"
        incoming.mkdir()
        place.configure(f"file:{incoming}")
        sources, config = place.files(files, 1_000), load("archq", environment=place.environment)
        for _ in range(count):
            submit(sources, config=config)
        status = watched(place, "archq", "status")
        report.check(f"time: archq status, {what}", status.seconds, 1.0, "s")
        report.check(f"memory: archq status, {what}", status.memory, MOST, "MB")
        shipping = watched(place, "archq", "ship", "--once")
        report.check(f"memory: archq ship, {what}", shipping.memory, MOST, "MB")
        report.check(f"descriptors: archq ship, {what}", shipping.descriptors, 100, "open files")
        assert len(list(incoming.iterdir())) == 2 * count * files, "not everything was delivered"


def watched(place: Site, program: str, *words: str | os.PathLike[str]) -> Usage:
    """Run one of our programs and look at it until it ends; it has to succeed."""
    begun = time.perf_counter()
    with subprocess.Popen(
        (site.installed(program), *words),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env=place.environment,
    ) as process:
        looks = []
        while process.poll() is None:
            looks.append(look(process.pid))
            with suppress(subprocess.TimeoutExpired):
                process.wait(LOOK_EVERY)
        seconds = time.perf_counter() - begun
        if process.returncode:
            raise RuntimeError(f"{program} failed: {process.stderr.read().decode()}")
    return Usage(
        memory=max(memory for memory, _descriptors in looks) / 1e6,
        descriptors=max(descriptors for _memory, descriptors in looks),
        seconds=seconds,
    )


def look(pid: int) -> tuple[int, int]:
    """Return the bytes and descriptors that a process and all it has started hold now; shared pages count once."""
    memory = descriptors = 0
    for one in family(pid):
        with suppress(FileNotFoundError, ProcessLookupError, PermissionError):
            memory += proportional(Path(f"/proc/{one}/smaps_rollup").read_text())
            descriptors += len(os.listdir(f"/proc/{one}/fd"))
    return memory, descriptors


def proportional(rollup: str) -> int:
    line = next(line for line in rollup.split("\n") if line.startswith("Pss:"))
    return int(line.split()[1]) * 1024
