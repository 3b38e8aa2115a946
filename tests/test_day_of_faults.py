"""A bad day at the telescope, as one story: at its end every file has arrived once, and the log tells why so late.

Sizes and limits are scaled down (a megabyte stands for 4 GB, two seconds for ten minutes); the servers, the network
connections, the signals and the full disk are real, and so is the hour of outage but for the clock, which runs fast.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import time
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archq.control import parse_control
from tests.archq.instrument import Instrument
from tests.requirements import require
from tests.servers.debian import fetched
from tests.servers.keys import make_ssh_key
from tests.servers.process import AS_ROOT, PASSWORD, RunningServer, family

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CONFIGURATION = """\
default = "ftp"
spool = "{home}/spool"
autostart = false

[queue.ftp]
url = "{ftp.url}"
instrument = "minicam"
password_file = "{home}/password"
idle = 3
connections = 2

[queue.down]
url = "{ftp.url}"
instrument = "minicam"
password_file = "{home}/password"
idle = 0
maxftp = 0

[queue.slow]
url = "{ftp.url}"
instrument = "minicam"
password_file = "{home}/password"
rate_limit = "200kB/s"

[queue.sftp]
url = "{sftp.url}"
instrument = "minicam"
key = "{sftp.key}"
known_hosts = "{home}/known_hosts"
connections = 2
"""
LONG = 120.0  # seconds: what may be awaited on a machine that is busy with other things


class Day:
    """The instrument computer, its archive site, and whoever looks after both."""

    def __init__(self, home: Path, ftp: RunningServer, sftp: RunningServer) -> None:
        self.ftp, self.sftp = ftp, sftp
        self.instrument = Instrument(home)
        self.home = home
        (home / "data").mkdir()
        self.set_password(PASSWORD)
        self.known_hosts = Path(str(sftp.known_hosts)).read_text()
        self.trust(self.known_hosts)
        (home / "archq.toml").write_text(CONFIGURATION.format(home=home, ftp=ftp, sftp=sftp))
        self.submitted: list[str] = []

    def set_password(self, password: str) -> None:
        (self.home / "password").write_text(f"{password}\n")
        (self.home / "password").chmod(0o600)

    def trust(self, known_hosts: str) -> None:
        (self.home / "known_hosts").write_text(known_hosts)

    def submit(self, queue: str, *words: str, size: int = 1000, **settings: Any) -> str:
        name = f"img{len(self.submitted):04d}.fits"
        frame = self.instrument.frame(name, os.urandom(size))
        output = self.instrument.archq("submit", "-d", queue, *words, frame, **settings).stdout
        self.submitted.append(name)
        return re.findall(r"request id is (\S+)", output)[0]

    @contextlib.contextmanager
    def shipper(self, queue: str, **environment: str) -> Iterator[subprocess.Popen[str]]:
        process = self.instrument.begin(
            "ship",
            "--follow",
            "-d",
            queue,
            env={**self.instrument.environment, **environment},
            stderr=subprocess.DEVNULL,
        )
        try:
            yield process
        finally:
            process.terminate()
            process.communicate(timeout=LONG)

    def status(self, request: str) -> dict[str, Any]:
        found = json.loads(self.instrument.archq("status", "--json", request).stdout)["requests"]
        return found[0]  # type: ignore[no-any-return]

    def queue(self, name: str) -> dict[str, Any]:
        found = json.loads(self.instrument.archq("queues", "--json").stdout)
        return next(one for one in found if one["name"] == name)

    def comes(self, request: str, state: str, reason: str = "") -> None:
        eventually(lambda: self.is_in(request, state, reason), lambda: str(self.status(request)))

    def is_in(self, request: str, state: str, reason: str) -> bool:
        status = self.status(request)
        return status["state"] == state and reason in status["reason"]

    def story(self, request: str) -> str:
        return self.instrument.archq("log", request).stdout

    def arrived(self) -> Counter[str]:
        """Return how often each whole file stands at the archive site, by name."""
        found: Counter[str] = Counter()
        for incoming in (self.ftp.incoming, self.sftp.incoming):
            for path in incoming.glob("*.cf"):
                control = parse_control(path.read_bytes())
                data = path.with_suffix(".df").read_bytes()
                assert data == (self.home / "data" / control.name).read_bytes(), control.name
                found[control.name] += 1
        return found


def eventually(true: Callable[[], object], tell: Callable[[], str] = lambda: "") -> None:
    deadline = time.monotonic() + LONG
    while not true():
        assert time.monotonic() < deadline, tell()
        time.sleep(0.05)


@pytest.fixture
def day(tmp_path: Path, vsftpd_drop_box: RunningServer, sshd_full: RunningServer) -> Day:
    require(AS_ROOT, "needs root to fill a disk of its own")
    return Day(tmp_path, vsftpd_drop_box, sshd_full)


@contextlib.contextmanager
def small_disk(path: Path, size: str, uid: int) -> Iterator[None]:
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=770,uid={uid}", "tmpfs", str(path)], check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def fast_clock(speed: int) -> dict[str, str]:
    """Return the environment in which time passes ``speed`` times as fast."""
    root = Path(fetched("libfaketime").program("usr/lib"))
    library = next(root.rglob("libfaketime.so.1"))
    return {"LD_PRELOAD": str(library), "FAKETIME": f"+0 x{speed}"}


def test_every_file_arrives_once_and_the_log_tells_why_it_took_so_long(day: Day) -> None:
    with small_disk(day.ftp.incoming, "8m", day.ftp.uid):
        an_hour_without_the_server(day)
        with day.shipper("ftp"):
            a_wrong_password(day)
            a_full_disk(day)
            a_typing_error_beside_good_requests(day)
            a_hang(day)
            a_wrong_clock(day)
        a_file_that_maxftp_cannot_fit(day)
        a_changed_key(day)
        a_killed_shipper(day)
        cancelled = a_cancel_on_the_way(day)
        assert day.arrived() == Counter(name for name in day.submitted if name != cancelled)
    assert day.instrument.archq("fsck").stdout == ""


def an_hour_without_the_server(day: Day) -> None:
    day.ftp.stop()
    requests = [day.submit("down") for _ in range(3)]
    with day.shipper("down", **fast_clock(240)):
        began = time.monotonic()
        eventually(lambda: day.queue("down")["state"] == "waiting")
        time.sleep(max(0.0, 15.0 - (time.monotonic() - began)))  # an hour for the shipper
        status = day.status(requests[0])
        assert "cannot connect" in status["reason"]
        assert status["files"][0]["tries"] == 0, "an outage is the queue's error: no file has failed"
    day.ftp.start()
    with day.shipper("down"):
        for request in requests:
            day.comes(request, "sent")
    times = [day.story(request).split()[0] for request in requests]
    assert times == sorted(times), "oldest first"


def a_wrong_password(day: Day) -> None:
    day.set_password("something else")
    time.sleep(16)  # sessions that were kept open are closed by now
    request = day.submit("ftp")
    day.comes(request, "blocked", "cannot log in")
    day.set_password(PASSWORD)
    day.instrument.archq("release", "-d", "ftp")
    day.comes(request, "sent")
    assert "something else" not in day.instrument.archq("status", "--all", "--json").stdout


def a_full_disk(day: Day) -> None:
    ballast = day.ftp.incoming / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb") as file:
        while True:
            file.write(bytes(4096))
    request = day.submit("ftp", size=50_000)
    eventually(lambda: day.status(request)["state"] in ("waiting", "blocked"), lambda: str(day.status(request)))
    ballast.unlink()
    # A part that could not be finished stays where it is: nobody may delete from a drop box.  The sweeper sees no
    # control file with it.
    day.comes(request, "sent")


def a_typing_error_beside_good_requests(day: Day) -> None:
    wrong = day.submit("ftp", "-o", "rempath=/incomming")
    good = [day.submit("ftp") for _ in range(2)]
    for request in good:
        day.comes(request, "sent")
    day.comes(wrong, "waiting", "cannot enter the directory")
    assert day.queue("ftp")["state"] == "working"
    day.instrument.archq("alter", wrong, "-o", "rempath=/incoming")
    day.comes(wrong, "sent")


def a_hang(day: Day) -> None:
    daemon = day.ftp.daemon.process
    assert daemon is not None
    stopped = list(family(daemon.pid))
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    request = day.submit("ftp")
    day.comes(request, "waiting", "idle=3")
    for pid in reversed(stopped):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)
    day.comes(request, "sent")


def a_wrong_clock(day: Day) -> None:
    library = fast_clock(1)["LD_PRELOAD"]
    ahead = {**day.instrument.environment, "LD_PRELOAD": library, "FAKETIME": "+3h"}
    day.comes(day.submit("ftp", env=ahead), "sent")


def a_file_that_maxftp_cannot_fit(day: Day) -> None:
    with day.shipper("slow"):
        request = day.submit("slow", "-o", "maxftp=2", size=1_000_000)
        day.comes(request, "held", "1.0 MB at ")
        assert re.search(r"needs about \d+ s, maxftp is 2: archq alter \S+ -o maxftp=0", day.status(request)["reason"])
        day.instrument.archq("alter", request, "-o", "maxftp=0")
        day.comes(request, "sent")
    assert [line.split()[2] for line in day.story(request).splitlines()] == [
        "queued",
        "failed",
        "held",
        "altered",
        "sent",
    ]


def a_changed_key(day: Day) -> None:
    stranger = make_ssh_key(day.home / "stranger")
    day.trust(f"{day.known_hosts.split()[0]} {stranger}\n")
    with day.shipper("sftp"):
        request = day.submit("sftp")
        day.comes(request, "blocked", "the host key has changed")
        day.trust(day.known_hosts)
        day.instrument.archq("retry", request)
        day.comes(request, "sent")


def a_killed_shipper(day: Day) -> None:
    with day.shipper("slow") as process:
        request = day.submit("slow", size=600_000)
        eventually(lambda: list(day.ftp.incoming.glob("*.1.df")) and day.status(request)["files"][0]["tries"] == 1)
        process.kill()
    assert day.status(request)["state"] == "queued"
    with day.shipper("slow"):
        day.comes(request, "sent")
    assert day.status(request)["files"][0]["tries"] == 2


def a_cancel_on_the_way(day: Day) -> str:
    with day.shipper("slow"):
        request = day.submit("slow", size=2_000_000)
        eventually(lambda: day.status(request)["files"][0]["tries"] == 1)
        day.instrument.archq("cancel", request)
        after = day.submit("slow")
        day.comes(after, "sent")  # at once, though the cancelled one would have taken ten seconds
    assert day.status(request)["state"] == "cancelled"
    return day.submitted[-2]
