"""Submitting, beside ``lp``: how long a data system waits for its request id."""

from __future__ import annotations

import contextlib
import functools
import gzip
import os
from pathlib import Path
from typing import TYPE_CHECKING

from archq.checksum import copy_and_sum
from bench import site
from bench.harness import Contender, first_line, succeed
from tests.servers import cups
from tests.servers.process import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from bench.harness import Report
    from bench.site import Site

    Peer = Callable[[Sequence[Path]], Contender]

GIGABYTE = 10**9  # bytes
MEMORY = Path("/dev/shm")
MANY = 1_000
PRINTER = "peer"
# Name, bytes, the goals of archq-lp and of archq submit, turns.
SIZES: tuple[tuple[str, int, float, float | None, int], ...] = (
    ("1 kB", 1_000, 1.5, 2.5, 31),
    ("8 MB", 8_000_000, 1.0, 1.2, 15),
)
LONG_SIZES = (*SIZES, ("1 GB", GIGABYTE, 0.5, None, 5))


def run(report: Report, *, long: bool) -> None:
    """Measure one file of each size, many files in one call, and the copying loop alone."""
    report.versions["pip"] = first_line(site.installed("pip"), "--version")
    with site.made() as place, printing(report, place.home) as peer:
        place.configure(f"file:{place.home}")
        place.run("archq", "status")  # the spool is made
        for name, size, lp_goal, submit_goal, turns in LONG_SIZES if long else SIZES:
            files = [place.file(name, size)]
            ours = [
                submitting(place, files, "archq-lp", goal=lp_goal),
                submitting(place, files, "archq", "submit", goal=submit_goal),
            ]
            lp, durably = peer(files), copying(place.home / "copies", files)
            peers = {one.name: one for one in (lp, durably)}  # one and the same where there is no lp
            report.compare(f"submit {name}", ours, [*peers.values()], against=lp.name, turns=turns)
        many = place.files(MANY, 1_000)
        ours = [submitting(place, many, "archq", "submit", goal=0.25)]
        report.compare(f"submit {MANY:,} x 1 kB in one call", ours, [peer(many)])
    copy_in_memory(report, GIGABYTE if long else GIGABYTE // 4)


def submitting(place: Site, files: Sequence[Path], *command: str, goal: float | None) -> Contender:
    """Return one of our commands, its spool used but nothing queued in it."""
    return Contender(
        name=" ".join(command),
        run=lambda: place.run(*command, *files),
        prepare=place.empty,
        goal=goal,
    )


@contextlib.contextmanager
def printing(report: Report, home: Path) -> Iterator[Peer]:
    """Lend what other programs do with files: CUPS's lp, else a copy with a checksum that is on the disk."""
    try:
        with cups.running() as server:
            report.versions["lp"] = f"CUPS {debian_version(server.package.root / 'usr/share/doc/cups-daemon')}"
            server.add_printer(PRINTER)
            server.run("sbin/cupsdisable", PRINTER)  # jobs are taken and kept: nothing prints in our time
            yield functools.partial(queueing, server)
    except UnavailableError as error:
        report.note(f"not compared with lp but with cp, sha256sum and sync: {error}")
        report.versions["cp"] = first_line("cp", "--version")
        yield functools.partial(copying, home / "copies")


def debian_version(documents: Path) -> str:
    """Return the version that a Debian package's change log begins with: neither cupsd nor lp tells its own."""
    with gzip.open(documents / "changelog.Debian.gz", "rt", encoding="utf-8") as lines:
        return next(lines).partition("(")[2].partition(")")[0]


def queueing(server: cups.Cups, files: Sequence[Path]) -> Contender:
    return Contender(
        name="lp",
        run=lambda: succeed(
            server.package.program("usr/bin/lp"), "-d", PRINTER, *files, environment={**os.environ, **server.variables}
        ),
    )


def copying(target: Path, files: Sequence[Path]) -> Contender:
    script = 'target=$1; shift; cp -- "$@" "$target" && sha256sum -- "$@" && sync "$target"/*'
    return Contender(
        name="cp, sha256sum, sync",
        run=lambda: succeed("sh", "-c", script, "sh", target, *files),
        prepare=lambda: target.mkdir(exist_ok=True),  # no file is removed, for the reason that Site.empty gives
    )


def copy_in_memory(report: Report, size: int) -> None:
    """Compare the loop that copies and sums with summing alone, where no disk slows either down."""
    report.versions["openssl"] = first_line("openssl", "version")
    source, target = MEMORY / f"archq-bench-{os.getpid()}", MEMORY / f"archq-bench-{os.getpid()}.copy"
    try:
        with source.open("wb") as file:
            for _ in range(size // site.BLOCK):
                file.write(os.urandom(site.BLOCK))
        ours = Contender(
            name="copy and sum",
            goal=1.1,
            run=lambda: copied(source, target),
            prepare=lambda: target.unlink(missing_ok=True),
        )
        plain = Contender(
            name="cp", run=lambda: succeed("cp", source, target), prepare=lambda: target.unlink(missing_ok=True)
        )
        peer = Contender(name="openssl dgst", run=lambda: succeed("openssl", "dgst", "-sha256", source))
        work = f"copy and sha256 of {size / 1e6:.0f} MB in memory"
        report.compare(work, [ours], [peer, plain], against=peer.name, turns=7)
    finally:
        source.unlink(missing_ok=True)
        target.unlink(missing_ok=True)


def copied(source: Path, target: Path) -> None:
    with source.open("rb") as reader, target.open("wb") as writer:
        copy_and_sum(reader.fileno(), writer.fileno())
