"""Sweeping: how long an archive's computer needs for what has arrived, beside verifying or copying it alone."""

from __future__ import annotations

import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench import memory, site
from bench.harness import Contender, first_line, succeed
from tests.sweeper.accounts import UPLOADER
from tests.sweeper.arrivals import control_file, format_control, new_site, wire_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from bench.harness import Report
    from bench.site import Site
    from tests.sweeper.arrivals import Site as ArchiveSite

SMALL = 16_384  # bytes
MANY = 10_000
LARGE = 10**9  # bytes
BACKLOG = 100_000
STEADY = 1.3  # how much longer an arrival may take among ten times as many


def run(report: Report, *, long: bool) -> None:
    """Measure many small arrivals, one large one, and a backlog in one directory."""
    report.versions["sha256sum"] = first_line("sha256sum", "--version")
    for whose, uploader in _uploaders():
        with site.made() as place:
            many_small(report, place, whose, uploader)
        with site.made() as place:
            one_large(report, place, whose, uploader, 4 * LARGE if long else LARGE // 2)
    backlog(report, BACKLOG if long else BACKLOG // 5)


def _uploaders() -> Iterator[tuple[str, int | None]]:
    """Yield whose the uploads are: our own can be renamed, those of others, which root alone can make, are copied."""
    yield "our own", None
    if os.geteuid() == 0:
        yield "of others", UPLOADER


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Arrivals that are kept, so that each turn can have them again."""

    place: ArchiveSite
    kept: Path

    def arrive(self) -> None:
        """Put a fresh copy of each into an empty incoming directory, for an empty archive.

        What the last turn has left is set aside, not removed, but takes no room: ext4 without a journal looks at each
        inode that was freed lately before it makes a file, which would charge whoever comes after.
        """
        for directory in (self.place.incoming, self.place.archive):
            aside = directory.rename(tempfile.mkdtemp(dir=self.kept.parent))
            for path, _directories, files in os.walk(aside):
                for file in files:
                    os.truncate(os.path.join(path, file), 0)
        self.place.archive.mkdir()
        shutil.copytree(self.kept, self.place.incoming)
        if self.place.uploader is not None:
            for path in self.place.incoming.iterdir():
                os.chown(path, self.place.uploader, -1)
        os.sync()


def pool(home: Path, uploader: int | None, sizes: list[int]) -> Pool:
    """Make one arrival of each size, and the list that sha256sum -c takes."""
    place, kept = new_site(home, uploader=uploader), home / "kept"
    kept.mkdir()
    with (home / "sums").open("w") as sums:
        for number, size in enumerate(sizes):
            content = os.urandom(size)
            control = control_file(content, name=f"{number:06d}.fits")
            (kept / str(wire_of(control))).write_bytes(content)
            (kept / str(wire_of(control).control)).write_bytes(format_control(control))
            sums.write(f"{control.checksum.digest}  {wire_of(control)}\n")
    return Pool(place=place, kept=kept)


def sweeping(place: Site, arrivals: Pool, count: int, goal: float | None = None) -> Contender:
    """Return our program, run as cron does."""
    archive = arrivals.place
    return Contender(
        name="sweeper",
        run=lambda: place.run("sweeper", "-i", "minicam", "-d", archive.archive, "-f", archive.incoming),
        prepare=arrivals.arrive,
        verify=lambda: archived(archive, count),
        goal=goal,
    )


def archived(place: ArchiveSite, count: int) -> None:
    """Raise where not everything was filed."""
    found = sum(len(files) for path, _directories, files in os.walk(place.archive) if "xferlogs" not in path)
    if found != count or place.arrivals():
        raise RuntimeError(f"{found} of {count} files are in the archive")


def many_small(report: Report, place: Site, whose: str, uploader: int | None) -> None:
    arrivals = pool(place.home, uploader, [SMALL] * MANY)
    peer = Contender(
        name="sha256sum -c",
        run=lambda: succeed("sh", "-c", "cd $0 && sha256sum -c --quiet ../sums", arrivals.place.incoming),
        prepare=arrivals.arrive,
    )
    work = f"sweep {MANY:,} x 16 kB, uploads {whose}"
    report.compare(work, [sweeping(place, arrivals, MANY, goal=2.0)], [peer], turns=3)


def one_large(report: Report, place: Site, whose: str, uploader: int | None, size: int) -> None:
    arrivals = pool(place.home, uploader, [size])
    copy = place.home / "copy"
    script = "tee $1 < $0/*.df | openssl dgst -sha256 && sync $1"
    peer = Contender(
        name="tee, openssl, sync",  # one read, one write and the sum of what passes
        run=lambda: succeed("bash", "-c", script, arrivals.place.incoming, copy),
        prepare=lambda: (arrivals.arrive(), copy.unlink(missing_ok=True)),
    )
    verify = Contender(
        name="sha256sum -c",
        run=lambda: succeed("sh", "-c", "cd $0 && sha256sum -c --quiet ../sums", arrivals.place.incoming),
        prepare=arrivals.arrive,
    )
    work = f"sweep {size / 1e6:.0f} MB, uploads {whose}"
    report.compare(work, [sweeping(place, arrivals, 1, goal=1.1)], [peer, verify], against=peer.name, turns=3)


def backlog(report: Report, count: int) -> None:
    """Show that time grows as the number of arrivals does, and memory does not."""
    seconds = {}
    for part in (count // 10, count):
        with site.made() as place:
            arrivals = pool(place.home, None, [0] * part)
            arrivals.arrive()
            archive = arrivals.place
            words = ("-i", "minicam", "-d", archive.archive, "-f", archive.incoming)
            usage = memory.watched(place, "sweeper", *words)
            archived(archive, part)
            again = time.perf_counter()
            place.run("sweeper", *words)
            seconds[part] = usage.seconds / part
            again = time.perf_counter() - again
    report.check(f"memory: sweeping {count:,} arrivals in one directory", usage.memory, 100.0, "MB")
    growth = seconds[count] / seconds[count // 10]
    report.check(f"time: each of {count:,} arrivals, to each of {count // 10:,}", growth, STEADY, "times")
    report.check(f"time: sweeping nothing, {count:,} lines in the log", again, 1.0, "s")
