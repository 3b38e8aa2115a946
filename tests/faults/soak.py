"""A shipper and a sweeper that run on and on, in all weathers, as the clock jumps: all is filed, neither grows."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests import places
from tests.faults import invariants, liars
from tests.faults.errors import judged
from tests.faults.hosts import hosting
from tests.faults.line import Line
from tests.faults.network import SPOILS
from tests.faults.programme import Limits, Tally
from tests.servers.debian import fetched
from tests.servers.process import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.faults.hosts import Host
    from tests.faults.scenarios import Stage

QUICK = Limits(seconds=60, points=1_000_000)  # by hand, to try the technique itself
LONG = Limits(seconds=7200, points=1_000_000)

PROGRAMS = {
    "shipper": (sys.executable, "-m", "archq.cli", "ship", "--follow", "-d", "archive"),
    "sweeper": (sys.executable, "-c", "from sweeper.cli import main; main()", "-i", "minicam", "--watch"),
}
TURN = 2.0  # seconds between two changes of the weather
JUMPS = (-86_400, -3600, -61, 0, 0, 61, 3600, 86_400)  # seconds
LARGEST = 200_000  # bytes
# What a program may take more at the end than at the beginning: the index of a log, names that it remembers.
MEMORY_GROWTH = 0.25
MEMORY_AT_LEAST = 8 << 20  # bytes
DESCRIPTOR_GROWTH = 4

Sample = tuple[int, int]  # resident bytes, open descriptors


def run(stage: Stage, limits: Limits = QUICK) -> Tally:
    """Count a submission as a point."""
    tally = Tally("soak", limits)
    try:
        library = _faketime()
    except UnavailableError as error:
        tally.left_out = str(error)
        return tally
    with tempfile.TemporaryDirectory(prefix="soak", dir=stage.scratch) as scratch, ExitStack() as stack:
        home = Path(scratch)
        (home / "incoming").mkdir()
        host = stack.enter_context(hosting(partial(liars.ftp, home / "incoming", upload_only=False)))
        password = places.password_file(home / "password", "any will do")
        line = Line(home / "line", home / "incoming", host.facts, secrets=f'password_file = "{password}"\n')
        line.build("connections = 2\n")
        patient = (line.home / "archq.toml").read_text()
        (line.home / "archq.toml").write_text(patient.replace("idle = 20\n", "idle = 1\nmaxftp = 5\n"))
        tally.blame("soak", _weathered(line, host, library, tally))
        (line.home / "archq.toml").write_text(patient)
        tally.blame("soak, at its end", _settling(line))
    tally.stop()
    return tally


def _faketime() -> Path:
    return next(Path(fetched("libfaketime").program("usr/lib")).rglob("libfaketime.so.1"))


def _weathered(line: Line, host: Host, library: Path, tally: Tally) -> Iterator[str]:
    chance = random.Random(tally.limits.seed)
    clock = line.home / "user" / "clock"
    samples: dict[str, list[Sample]] = {name: [] for name in PROGRAMS}
    with ExitStack() as stack:
        _set(clock, 0)
        running = {name: stack.enter_context(_running(line, name, library, clock)) for name in PROGRAMS}
        while not tally.is_over:
            fault = chance.choice((liars.HONEST, liars.HONEST, *sorted(set(liars.FTP_FAULTS) - SPOILS)))
            tally.injected += host.behave(fault, chance.random() < 0.5)
            _set(clock, chance.choice(JUMPS))
            yield from judged(line.run("archq", "submit", *_sources(line, chance)))
            tally.points += 1
            time.sleep(min(TURN, max(0.0, tally.limits.seconds - tally.took)))
            for name, process in running.items():
                if process.poll() is not None:
                    yield f"the {name} has ended with status {process.returncode}"
                    return
                samples[name].append(_sample(process.pid))
        tally.injected += host.behave(liars.HONEST, False)
    tally.facts["files filed before its end"] = len(invariants.archived(line))
    for name, seen in samples.items():
        yield from (f"the {name} {problem}" for problem in growth(seen))
        tally.facts[f"MB of the {name} at most"] = max((memory for memory, _open in seen), default=0) >> 20


@contextmanager
def _running(line: Line, name: str, library: Path, clock: Path) -> Iterator[subprocess.Popen[bytes]]:
    environment = {
        **line.environment,
        "PYTHONPATH": str(Path(__file__).parents[2]),
        "LD_PRELOAD": str(library),
        "FAKETIME_TIMESTAMP_FILE": str(clock),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    errors = (line.home / "user" / f"{name}.errors").open("ab")
    with errors, subprocess.Popen(PROGRAMS[name], env=environment, stdout=errors, stderr=errors) as process:
        try:
            yield process
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()


def _set(clock: Path, offset: int) -> None:
    """Let the programs' clock be ``offset`` seconds ahead; they read the file whenever they ask for the time."""
    clock.with_suffix(".new").write_text(f"{offset:+d}s\n")
    clock.with_suffix(".new").rename(clock)


def _sources(line: Line, chance: random.Random) -> Iterator[str]:
    for _ in range(chance.randint(1, 4)):
        yield line.source(f"img{len(line.contents):06d}.fits", chance.randbytes(chance.randint(0, LARGEST)))


def _sample(pid: int) -> Sample:
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE"), len(os.listdir(f"/proc/{pid}/fd"))


def growth(samples: Sequence[Sample]) -> Iterator[str]:
    """Yield in what a program has grown from the second quarter of its life, when all is loaded, to the last."""
    quarter = len(samples) // 4
    if quarter < 2:
        return
    early, late = samples[quarter : 2 * quarter], samples[-quarter:]
    memory: Callable[[Sequence[Sample]], int] = lambda some: sorted(one[0] for one in some)[len(some) // 2]  # noqa: E731
    opened = max(one[1] for one in late) - max(one[1] for one in early)
    allowed = max(MEMORY_AT_LEAST, int(memory(early) * MEMORY_GROWTH))
    if memory(late) - memory(early) > allowed:
        yield f"has grown from {memory(early)} to {memory(late)} bytes"
    if opened > DESCRIPTOR_GROWTH:
        yield f"has {opened} descriptors more open than before"


def _settling(line: Line) -> Iterator[str]:
    yield from invariants.recover_at_last(line)
    for request in invariants.requests_of(line, invariants.spoiled(line)):
        line.run("archq", "retry", request)
    yield from invariants.recover_at_last(line)
    yield from invariants.settled(line)
