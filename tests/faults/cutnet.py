"""Cut a real network between two namespaces, before or amid a transfer: once it is whole, all is filed once."""

from __future__ import annotations

import ctypes
import os
import subprocess
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests import places
from tests.faults import invariants, launch, liars
from tests.faults.errors import judged
from tests.faults.hosts import hosting
from tests.faults.lanes import in_lanes
from tests.faults.line import Line
from tests.faults.programme import Limits, Tally
from tests.servers import lying
from tests.tools import located

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.faults.launch import Started
    from tests.faults.scenarios import Stage

QUICK = Limits(seconds=25, points=1000)
LONG = Limits(seconds=900, points=10_000)

LANES = 4
HASTY = 'idle = 1\nmaxftp = 5\nrate_limit = "1MB/s"\n'
SIZE = 2_000_000  # bytes: two seconds at that rate
SERVER, CLIENT = "10.203.0.2", "10.203.0.1"

# In the server's namespace: what packets from the client come to.
RULES = {
    "packets are dropped": "drop",
    "connections are reset": "meta l4proto tcp reject with tcp reset",
    "a third of the packets is lost": "numgen random mod 3 < 1 drop",
}
LINK_DOWN = "the link is down"
FAULTS = (*RULES, LINK_DOWN)


def run(stage: Stage, limits: Limits = QUICK, meddle: Callable[[], object] | None = None) -> Tally:
    tally = Tally("cut networks", limits, left_out=lacking())
    if tally.left_out:
        return tally
    kinds = [(scheme, upload_only) for scheme in ("ftp", "sftp") for upload_only in (False, True)]
    cases = [(fault, midway) for fault in FAULTS for midway in (False, True)]
    in_lanes(tally, [((kind, cases), len(cases)) for kind in kinds], partial(_play, stage, meddle), LANES)
    return tally


def lacking() -> str:
    """Return why there can be no networks of our own, "" if there can."""
    if os.geteuid():
        return "only root can make networks of its own"
    try:
        with networks("probe") as net:
            net.cut(next(iter(RULES)))
    except pytest.skip.Exception as error:
        return str(error)
    except subprocess.CalledProcessError as error:
        return f"{' '.join(error.cmd[1:4])}: {error.stderr.strip() or error.returncode}"
    return ""


@dataclass(frozen=True)
class Networks:
    """Two namespaces with one wire between them."""

    client: str
    server: str

    def cut(self, fault: str) -> None:
        if fault == LINK_DOWN:
            _ip("-n", self.server, "link", "set", "wire", "down")
            return
        for command in ("add table inet cut", "add chain inet cut in { type filter hook input priority 0; }"):
            self._nft(command)
        self._nft(f"add rule inet cut in iifname wire {RULES[fault]}")

    def mend(self) -> None:
        self._nft("add table inet cut")
        self._nft("delete table inet cut")
        _ip("-n", self.server, "link", "set", "wire", "up")

    def _nft(self, command: str) -> None:
        path, environment = located("nft", "nftables")
        _ip("netns", "exec", self.server, path, command, environment=dict(environment))


@contextmanager
def networks(name: str) -> Iterator[Networks]:
    net = Networks(f"archq-{os.getpid()}-{name}-c", f"archq-{os.getpid()}-{name}-s")
    with ExitStack() as stack:
        for space in (net.client, net.server):
            _ip("netns", "add", space)
            stack.callback(_ip, "netns", "delete", space)
            _ip("-n", space, "link", "set", "lo", "up")
        _ip(*f"link add name wire netns {net.client} type veth peer name wire netns {net.server}".split())
        for space, address in ((net.client, CLIENT), (net.server, SERVER)):
            _ip("-n", space, "address", "add", f"{address}/24", "dev", "wire")
            _ip("-n", space, "link", "set", "wire", "up")
        yield net


def _ip(*words: str, environment: dict[str, str] | None = None) -> None:
    path, own = located("ip", "iproute2")
    subprocess.run([path, *words], check=True, capture_output=True, text=True, env=environment or dict(own))


def enter(space: str) -> None:
    """Put this process into a network namespace."""
    descriptor = os.open(f"/run/netns/{space}", os.O_RDONLY)
    library = ctypes.CDLL(None, use_errno=True)
    if library.setns(descriptor, 0x40000000):  # CLONE_NEWNET, sched.h
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    os.close(descriptor)


@contextmanager
def _serving(space: str, scheme: str, upload_only: bool, home: Path) -> Iterator[tuple[str, Callable[..., int]]]:
    enter(space)
    lying.HOST = liars.HOST = SERVER  # in this process, which was forked for it
    incoming, known_hosts = home / "incoming", home / "known_hosts"
    serve = liars.ftp(incoming, upload_only) if scheme == "ftp" else liars.sftp(incoming, upload_only, known_hosts)
    with serve as served:
        yield served


def _play(
    stage: Stage,
    meddle: Callable[[], object] | None,
    group: tuple[tuple[str, bool], list[tuple[str, bool]]],
    tally: Tally,
) -> None:
    (scheme, upload_only), cases = group
    label = f"{scheme}{'-drop' if upload_only else ''}"
    with tempfile.TemporaryDirectory(prefix=label, dir=stage.scratch) as scratch, networks(label) as net:
        home = Path(scratch)
        (home / "incoming").mkdir()
        with hosting(partial(_serving, net.server, scheme, upload_only, home)) as host:
            line = _line(home, host.facts, scheme, upload_only)
            line = line.meddled(partial(_begin_in, net.client, meddle))
            for fault, midway in tally.sampled(cases):
                where = f"{label}: {fault}, {'midway' if midway else 'from the beginning'}"
                tally.blame(where, _case(line, net, fault, midway, tally))


def _begin_in(space: str, meddle: Callable[[], object] | None) -> None:
    enter(space)
    if meddle:
        meddle()


def _line(home: Path, url: str, scheme: str, upload_only: bool) -> Line:
    password = places.password_file(home / "password", "any will do")
    secrets = f'password_file = "{password}"\n'
    if scheme == "sftp":
        secrets += f'known_hosts = "{home / "known_hosts"}"\n'
    return Line(home / "line", home / "incoming", url, places.UPLOAD_ONLY if upload_only else places.FULL, secrets)


def _case(line: Line, net: Networks, fault: str, midway: bool, tally: Tally) -> Iterator[str]:
    line.build("connections = 1\n")
    patient = (line.home / "archq.toml").read_text()
    (line.home / "archq.toml").write_text(patient.replace("idle = 20\n", HASTY))
    line.submit("one.fits", "two.fits", size=SIZE)
    if not midway:
        net.cut(fault)
    try:
        words = ("ship", "--once", "-d", "archive")
        with launch.started("archq", words, line.environment, meddle=line.meddle) as shipper:
            shipper.go()
            if midway:
                _wait_for_data(line, shipper)
                net.cut(fault)
            tally.injected += 1
            yield from judged(shipper.ended())
    finally:
        net.mend()
    yield from invariants.always(line)
    (line.home / "archq.toml").write_text(patient)
    yield from invariants.recover_at_last(line)
    yield from invariants.settled(line)


def _wait_for_data(line: Line, shipper: Started) -> None:
    """Return in the middle of a transfer; on a machine that is too busy for one it has failed already."""
    while shipper.process.exitcode is None and not _has_begun(line):
        time.sleep(0.01)


def _has_begun(line: Line) -> bool:
    with suppress(FileNotFoundError):  # it was renamed just now
        return any(path.stat().st_size for path in line.incoming.iterdir() if path.is_file())
    return True
