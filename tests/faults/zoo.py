"""Plant a zoo as another account, and swap entries while the sweeper looks: nothing outside is touched."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import random
import signal
import struct
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING

from archq.control import format_control
from archq.errors import ExitStatus
from archq.transferlog import FILED
from tests.faults.programme import Limits, Tally
from tests.sweeper.accounts import UPLOADER, as_account
from tests.sweeper.arrivals import Result, control_file, wire_of
from tests.sweeper.zoo import (
    HANGS,
    IGNORED,
    REFUSED,
    SECRET,
    TAKEN,
    control_of,
    data,
    hostile_site,
    plant_all,
    protection,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.scenarios import Stage
    from tests.sweeper.arrivals import Site

    Pair = Callable[[Site], tuple[str, str]]  # makes two entries; returns their names, to be swapped

QUICK = Limits(seconds=20, points=10_000_000)
LONG = Limits(seconds=3600, points=1_000_000_000)

GOOD = b"what was sent, as long as a secret is".ljust(len(SECRET))
SWEEPS = 3  # of each turn
TURNS = 500  # swaps after which new entries are made, if the sweeper has not taken these before
_AT_FDCWD, _RENAME_EXCHANGE = -100, 2  # renameat2(2)
_WATCHED = 0x1 | 0x2 | 0x4 | 0xC0 | 0x300  # inotify(7): read, written, chmod, moved, made or removed
_EVENT = struct.Struct("iIII")


def run(stage: Stage, limits: Limits = QUICK, meddle: Callable[[], object] | None = None) -> Tally:
    """Count a swap as a point, and a planted entry as a fault."""
    tally = Tally("hostile zoo", limits)
    if os.geteuid():
        tally.left_out = "only root can act as another account"
        return tally
    chance = random.Random(limits.seed)
    for level in (1, 0):
        tally.blame(f"planted, fs.protected_*={level}", _planted(level, tally, meddle))
    while not tally.is_over:
        name, pair = chance.choice(list(PAIRS.items()))
        tally.blame(f"swapped: {name}", _swapped(pair, chance.randrange(2), tally, meddle))
    return tally


@contextmanager
def _ground(level: int) -> Iterator[Site]:
    """Hold a site with a directory outside that looks inviting."""
    with ExitStack() as stack:
        with suppress(OSError):  # where it cannot be set, it stays as it is
            stack.enter_context(protection(level))
        site = stack.enter_context(hostile_site())
        outside = site.root / "outside"
        outside.mkdir(mode=0o700)
        bait = control_file(SECRET)
        (outside / str(wire_of(bait))).write_bytes(SECRET)
        (outside / str(wire_of(bait).control)).write_bytes(format_control(bait))
        yield site


def _planted(level: int, tally: Tally, meddle: Callable[[], object] | None) -> Iterator[str]:
    zoo = {**REFUSED, **IGNORED, **{name: plant for name, (plant, _archived) in TAKEN.items()}}
    with _ground(level) as site:
        planted = plant_all(site, zoo)
        tally.injected += len(planted)
        with _watched_outside(site) as seen:
            yield from _judged(_sweep(site, meddle))
            yield from seen()
        filed = {line.facts["wire"] for line in site.lines() if line.outcome == FILED}
        for name in REFUSED.keys() | IGNORED.keys():
            if str(wire_of(planted[name])) in filed:
                yield f"{name}: was filed"
        yield from _nothing_leaked(site)


def _swapped(pair: Pair, level: int, tally: Tally, meddle: Callable[[], object] | None) -> Iterator[str]:
    with _ground(level) as site, _watched_outside(site) as seen, _swapping(site, pair) as count:
        for _ in range(SWEEPS):
            yield from _judged(_sweep(site, meddle))
        yield from seen()
        tally.points += count()
        yield from _nothing_leaked(site)


def _sweep(site: Site, meddle: Callable[[], object] | None) -> Result:
    """Sweep as root, in a process of its own that is ended if it hangs."""

    def limited() -> Result:
        signal.alarm(HANGS)
        if meddle:
            meddle()
        return site.sweep("-i", "minicam")

    try:
        return as_account(0, limited, 0)  # type: ignore[no-any-return]
    except EOFError:
        return Result(status=-signal.SIGALRM, errors=f"ended from outside: it hung for {HANGS} s, or died")


def _judged(result: Result) -> Iterator[str]:
    if result.status in {ExitStatus.BUG, ExitStatus.USAGE} or result.status not in set(ExitStatus):
        yield f"exit status {result.status}: {result.errors}"


def _nothing_leaked(site: Site) -> Iterator[str]:
    strangers = {path.name for path in site.root.iterdir()} - {
        "incoming", "archive", "archq.toml", "secret", "state", "outside",
    }  # fmt: skip
    yield from (f"made outside: {name}" for name in sorted(strangers))
    yield from (f"the secret is in the archive as {name}" for name, it in site.archived().items() if it == SECRET)
    if sorted(os.listdir(site.archive)) != sorted({*os.listdir(site.archive), "a-file", "a-link"}):
        yield "the archive has lost what it had"
    if (site.root / "secret").read_bytes() != SECRET:
        yield "the secret was changed"


# Who looks at, or touches, what is outside.


@contextmanager
def _watched_outside(site: Site) -> Iterator[Callable[[], Iterator[str]]]:
    """Yield what tells, as problems, all that was done to the secret and to the directory outside (inotify(7))."""
    library = ctypes.CDLL(None, use_errno=True)
    watch = library.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
    assert watch >= 0, os.strerror(ctypes.get_errno())
    places = {}
    for path in (site.root / "secret", site.root / "outside"):
        places[library.inotify_add_watch(watch, os.fsencode(path), _WATCHED)] = path.name

    def seen() -> Iterator[str]:
        with suppress(BlockingIOError):
            while events := os.read(watch, 1 << 16):
                yield from _told(events, places)

    try:
        yield seen
    finally:
        os.close(watch)


def _told(events: bytes, places: dict[int, str]) -> Iterator[str]:
    told = set()
    while events:
        number, mask, _cookie, length = _EVENT.unpack_from(events)
        told.add((places.get(number, "?"), mask & 0xFFF))
        events = events[_EVENT.size + length :]
    for name, mask in sorted(told):
        yield f"{name} was touched (inotify event {mask:#x})"


# Entries in quick turns.


@contextmanager
def _swapping(site: Site, pair: Pair) -> Iterator[Callable[[], int]]:
    """Let the uploader make pairs of entries, and swap them, in a process of its own; yield what counts the swaps."""
    counter = mmap.mmap(-1, 8)
    if not (child := os.fork()):
        try:
            os.setgroups([])
            os.setresgid(UPLOADER, UPLOADER, UPLOADER)
            os.setresuid(UPLOADER, UPLOADER, UPLOADER)
            os.umask(0o022)
            os.chdir(site.incoming)
            _swap_for_ever(site, pair, counter)
        finally:
            os._exit(1)
    try:
        yield lambda: struct.unpack("=q", counter[:])[0]
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _swap_for_ever(site: Site, pair: Pair, counter: mmap.mmap) -> None:
    exchange = ctypes.CDLL(None, use_errno=True).renameat2
    done = 0
    while True:
        with suppress(OSError):
            one, other = map(os.fsencode, pair(site))
            for _ in range(TURNS):
                if exchange(_AT_FDCWD, one, _AT_FDCWD, other, _RENAME_EXCHANGE):
                    assert ctypes.get_errno() in {errno.ENOENT, errno.EACCES, errno.EPERM, errno.EBUSY}
                    break  # the sweeper has taken one of them
                done += 1
                counter[:] = struct.pack("=q", done)


def _beside(path: Path) -> Path:
    return path.with_name(f"beside-{path.name}"[:255])


def data_and_a_link(site: Site) -> tuple[str, str]:
    """What is there under the data file's name is now a file, and now the secret, of which its control file tells."""
    control = control_file(SECRET)
    path = data(site, control)
    path.write_bytes(GOOD)
    _beside(path).symlink_to(site.root / "secret")
    control_of(site, control).write_bytes(format_control(control))
    return path.name, _beside(path).name


def data_and_other_data(site: Site) -> tuple[str, str]:
    control = control_file(GOOD)
    path = data(site, control)
    path.write_bytes(GOOD)
    _beside(path).write_bytes(GOOD[::-1])
    control_of(site, control).write_bytes(format_control(control))
    return path.name, _beside(path).name


def data_and_a_directory(site: Site) -> tuple[str, str]:
    control = control_file(GOOD)
    path = data(site, control)
    path.write_bytes(GOOD)
    _beside(path).mkdir()
    control_of(site, control).write_bytes(format_control(control))
    return path.name, _beside(path).name


def control_and_a_link(site: Site) -> tuple[str, str]:
    control = control_file(GOOD)
    data(site, control).write_bytes(GOOD)
    path = control_of(site, control)
    path.write_bytes(format_control(control))
    _beside(path).symlink_to(site.root / "secret")
    return path.name, _beside(path).name


def control_and_a_fifo(site: Site) -> tuple[str, str]:
    control = control_file(GOOD)
    data(site, control).write_bytes(GOOD)
    path = control_of(site, control)
    path.write_bytes(format_control(control))
    os.mkfifo(_beside(path))
    return path.name, _beside(path).name


def night_and_a_link_outside(site: Site) -> tuple[str, str]:
    """A directory of an earlier `sweeper -A` is now a directory, and now leads to one with arrivals that look good."""
    control = control_file(GOOD)
    night = site.incoming / "2026.1120"
    night.mkdir(exist_ok=True)
    (night / str(wire_of(control))).write_bytes(GOOD)
    (night / str(wire_of(control).control)).write_bytes(format_control(control))
    with suppress(FileExistsError):
        (site.incoming / "beside").symlink_to(site.root / "outside")
    return night.name, "beside"


def work_place_and_a_link(site: Site) -> tuple[str, str]:
    """The sweeper's own place, which whoever may write the incoming directory can move away."""
    control = control_file(GOOD)
    data(site, control).write_bytes(GOOD)
    control_of(site, control).write_bytes(format_control(control))
    with suppress(FileExistsError):
        (site.incoming / "beside").symlink_to(site.root / "outside")
    return ".archq-work", "beside"


PAIRS: dict[str, Pair] = {
    "a data file and a link to a secret": data_and_a_link,
    "a data file and another": data_and_other_data,
    "a data file and a directory": data_and_a_directory,
    "a control file and a link to a secret": control_and_a_link,
    "a control file and a FIFO": control_and_a_fifo,
    "a night's directory and a link outside": night_and_a_link_outside,
    "the work place and a link outside": work_place_and_a_link,
}
