"""Every fault of an FTP or SFTP server, at the first try or at every: once it is over, all is filed once."""

from __future__ import annotations

import re
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import places
from tests.faults import invariants, liars, proxy
from tests.faults.errors import judged
from tests.faults.hosts import hosting
from tests.faults.lanes import in_lanes
from tests.faults.line import Line
from tests.faults.programme import Limits, Tally

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.hosts import Host
    from tests.faults.scenarios import Stage
    from tests.places import Place

QUICK = Limits(seconds=75, points=10_000)
LONG = Limits(seconds=1800, points=100_000)

LANES = 6
HASTY = "idle = 0.5\nmaxftp = 3\n"  # while the fault lasts
SIZE = 30_000  # bytes of each file
AFTER = (20, 4000, 20_000)  # bytes of one connection after which it is cut
WITHOUT_SIZE = ("lying ftp, drop box", "proftpd, drop box")
# What no sender can find out by itself: the sweeper rejects it, and whoever reads that says `archq retry`.
SPOILS = frozenset({"flips a byte and says 226", "flips a byte and says ok"})
# Where the server answers no SIZE, a part that it was told is all passes for all: FTP has no other end of a file.
SPOILS_WITHOUT_SIZE = frozenset({"truncates and says 226", *(f"closes after {after}" for after in AFTER)})
LETS_NOTHING_IN = {"has another host key", "refuses login", "has no such directory"}

Case = tuple[str, bool]  # a fault, and whether it happens at every try


@dataclass(frozen=True)
class Group:
    """One account of one server, with the faults that are tried there."""

    name: str
    faults: tuple[str, ...]
    host: Callable[[Path], object]  # given a directory of our own, a context that gives a Host and a line's own words

    @property
    def cases(self) -> list[Case]:
        return [(fault, every) for fault in self.faults for every in (False, True)]

    def only(self, beginning: str) -> Group:
        chosen = tuple(fault for fault in self.faults if f"{self.name}: {fault}".startswith(beginning))
        return replace(self, faults=chosen)

    def __str__(self) -> str:
        return self.name


def run(stage: Stage, limits: Limits = QUICK, meddle: Callable[[], object] | None = None, *, only: str = "") -> Tally:
    """``only`` is what the names of the points have to begin with: "lying sftp, full: drips"."""
    tally = Tally("network faults", limits)
    servers = [*_liars(), *([] if only.startswith("lying") else _real_ones(stage, tally))]
    groups = [group for server in servers if (group := server.only(only)).faults]
    in_lanes(tally, [(group, len(group.cases)) for group in groups], partial(_play, stage, meddle), LANES)
    return tally


def _liars() -> Iterator[Group]:
    for upload_only in (False, True):
        kind = "drop box" if upload_only else "full"
        yield Group(f"lying ftp, {kind}", tuple(liars.FTP_FAULTS), partial(_lying, "ftp", upload_only))
        yield Group(f"lying sftp, {kind}", liars.SFTP_FAULTS, partial(_lying, "sftp", upload_only))


def _real_ones(stage: Stage, tally: Tally) -> Iterator[Group]:
    faults = tuple(f"{how} after {after}" for how in proxy.HOWS for after in AFTER)
    for name in places.REAL:
        if "TLS" in name:
            continue  # a proxy cannot tell where its data connections go
        try:
            place = stage.place(name)
        except pytest.skip.Exception as error:
            tally.left_out = str(error)
            continue
        yield Group(name, faults, partial(_behind_proxy, place))


# A server, and the line that leads to it.


@contextmanager
def _lying(scheme: str, upload_only: bool, home: Path) -> Iterator[tuple[Host, Line]]:
    incoming, known_hosts = home / "incoming", home / "known_hosts"
    incoming.mkdir()
    serve = (
        partial(liars.ftp, incoming, upload_only)
        if scheme == "ftp"
        else partial(liars.sftp, incoming, upload_only, known_hosts)
    )
    password = places.password_file(home / "password", "any will do")
    secrets = f'password_file = "{password}"\n' + (f'known_hosts = "{known_hosts}"\n' if scheme == "sftp" else "")
    account = places.UPLOAD_ONLY if upload_only else places.FULL
    with hosting(serve) as host:
        yield host, Line(home / "line", incoming, host.facts, account, secrets)


@contextmanager
def _behind_proxy(place: Place, home: Path) -> Iterator[tuple[Host, Line]]:
    match = re.search(r":(\d+)/", place.settings.url)
    assert match
    with hosting(partial(proxy.leading_to, int(match[1]), place.scheme == "ftp")) as host:
        url = place.settings.url.replace(match[0], f":{host.facts}/")
        settings = replace(place.settings, url=url)
        if place.settings.known_hosts:
            known = home / "known_hosts"
            known.write_text(Path(place.settings.known_hosts).read_text().replace(f":{match[1]} ", f":{host.facts} "))
            settings = replace(settings, known_hosts=str(known))
        yield host, Line.at(home / "line", replace(place, settings=settings))


# The cases of one group.


def _play(stage: Stage, meddle: Callable[[], object] | None, group: Group, tally: Tally) -> None:
    with (
        tempfile.TemporaryDirectory(prefix=group.name.replace(" ", "-"), dir=stage.scratch) as home,
        group.host(Path(home)) as (host, line),
    ):
        line = line.meddled(meddle) if meddle else line
        for fault, every in tally.sampled(group.cases):
            where = f"{group.name}: {fault}, {'at every try' if every else 'once'}"
            tally.blame(where, _case(line, host, group, (fault, every), tally))
        line.clear()


def _case(line: Line, host: Host, group: Group, case: Case, tally: Tally) -> Iterator[str]:
    host.behave(liars.HONEST, False)
    line.build()
    patient = (line.home / "archq.toml").read_text()
    (line.home / "archq.toml").write_text(patient.replace("idle = 20\n", HASTY))
    line.submit("one.fits", "two.fits", size=SIZE)
    host.behave(*case)
    yield from judged(line.run("archq", "ship", "--once", "-d", "archive"))
    if case[0] in LETS_NOTHING_IN and case[1] and line.arrivals():
        yield f"has sent {line.arrivals()[0]} all the same"
    spoils = case[0] in (SPOILS | SPOILS_WITHOUT_SIZE if group.name in WITHOUT_SIZE else SPOILS)
    yield from (problem for problem in invariants.always(line) if not (spoils and "without its data" in problem))
    tally.injected += host.behave(liars.HONEST, False)
    (line.home / "archq.toml").write_text(patient)
    yield from invariants.recover_at_last(line)
    if spoiled := invariants.spoiled(line):
        if not spoils:
            yield f"{', '.join(sorted(spoiled))}: taken for sent, and the sweeper had to reject it"
        for request in invariants.requests_of(line, spoiled):
            line.run("archq", "retry", request)
        yield from invariants.recover_at_last(line)
    yield from invariants.settled(line)
