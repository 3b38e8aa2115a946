"""Shippers that stay: started on demand, or as a service."""

from __future__ import annotations

import contextlib
import fcntl
import os
import select
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archq.durable import is_locked
from archq.shipping import starting
from tests.archq.instrument import Instrument

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


def eventually(true: Callable[[], object], within: float = 30.0) -> None:
    deadline = time.monotonic() + within
    while not true():
        assert time.monotonic() < deadline, "it did not come true"
        time.sleep(0.02)


@pytest.fixture
def follower(tmp_path: Path) -> Iterator[tuple[Instrument, subprocess.Popen[str]]]:
    instrument = Instrument.at(tmp_path)
    process = instrument.begin("ship", "--follow", "-d", "archive")
    eventually(lambda: "a shipper runs" in instrument.archq("status", "-d", "archive").stdout)
    yield instrument, process
    process.kill()
    process.communicate()


def owners(instrument: Instrument) -> list[int]:
    """Return the processes that hold the queue's lock, their workers too."""
    path = Path(instrument.spool.queue_place("archive", "lock"))
    if not path.exists():
        return []
    lock = path.stat()
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            held = [os.stat(file) for file in (process / "fd").iterdir()]
        except OSError:
            continue
        found += [int(process.name)] * any((one.st_dev, one.st_ino) == (lock.st_dev, lock.st_ino) for one in held)
    return found


def test_a_follower_sends_what_comes_and_ends_in_good_order(follower: tuple[Instrument, subprocess.Popen[str]]) -> None:
    instrument, process = follower
    instrument.submit()
    eventually(lambda: instrument.arrivals() == ["minicam.1"])
    process.send_signal(signal.SIGTERM)
    _output, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, "")
    assert owners(instrument) == []


def test_a_second_follower_leaves_the_queue_to_the_first(follower: tuple[Instrument, subprocess.Popen[str]]) -> None:
    instrument, _process = follower
    done = instrument.archq("ship", "--follow", "-d", "archive")
    assert done.stderr == "archq: another shipper has the queue archive\n"
    assert instrument.archq("ship", "--once", "-d", "archive").stderr == ""


def test_a_follower_heeds_hold_release_and_cancel(follower: tuple[Instrument, subprocess.Popen[str]]) -> None:
    instrument, _process = follower
    instrument.archq("hold", "-d", "archive")
    first, second = instrument.submit(), instrument.submit()
    instrument.archq("cancel", str(first))
    instrument.archq("release", "-d", "archive")
    eventually(lambda: instrument.spool.requests("sent") == [second])
    assert instrument.arrivals() == ["minicam.1"]


def test_a_follower_heeds_a_changed_configuration(follower: tuple[Instrument, subprocess.Popen[str]]) -> None:
    instrument, _process = follower
    text = (instrument.home / "archq.toml").read_text()
    (instrument.home / "archq.toml").write_text(text.replace("/incoming", "/other", 1))
    # It looks every five seconds, or later on a busy machine: what is submitted until then still goes the old way.

    def goes_the_new_way() -> list[str]:
        instrument.submit()
        time.sleep(0.5)
        return instrument.arrivals("other")

    eventually(goes_the_new_way, within=60.0)
    assert set(instrument.arrivals("other")) == {"minicam.1"}


def test_a_killed_follower_frees_its_queue_and_takes_its_workers_along(
    follower: tuple[Instrument, subprocess.Popen[str]],
) -> None:
    instrument, process = follower
    instrument.submit()
    eventually(lambda: instrument.arrivals() == ["minicam.1"])
    process.kill()
    eventually(lambda: owners(instrument) == [])
    assert "no shipper runs" in instrument.archq("status", "-d", "archive").stdout


def heard(manager: socket.socket) -> Iterator[bytes]:
    manager.setblocking(False)
    with contextlib.suppress(BlockingIOError):
        while True:
            yield manager.recv(100)


def test_a_service_manager_is_told_when_shipping_begins_and_ends(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(str(tmp_path / "notify"))
        manager.settimeout(30)
        environment = {**instrument.environment, "NOTIFY_SOCKET": str(tmp_path / "notify")}
        process = instrument.begin("ship", "--follow", env=environment)  # two queues: a process each
        try:
            assert [manager.recv(100), manager.recv(100)] == [b"READY=1", b"WATCHDOG=1"]
            instrument.submit(queue="other", options="inst=minicam")
            eventually(lambda: instrument.arrivals("other") == ["minicam.1"])
        finally:
            process.terminate()
            process.communicate(timeout=30)
        assert process.returncode == 0
        assert b"STOPPING=1" in list(heard(manager))


def test_submit_starts_a_shipper_and_returns_at_once(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path, autostart=True)
    try:
        # The pipe ends when nobody holds the pipe any more: a shipper that inherited it would keep it open.
        output = subprocess.run(
            ["/bin/sh", "-c", '"$0" -m archq.cli submit "$1" | cat', sys.executable, str(instrument.frame())],
            env=instrument.environment,
            capture_output=True,
            check=True,
            timeout=50,
        )
        assert output.stdout == b"request id is archive-1 (1 file(s))\n"
        eventually(lambda: instrument.arrivals() == ["minicam.1"])
        assert all(os.getsid(owner) != os.getsid(0) for owner in owners(instrument))
        assert os.readlink(f"/proc/{owners(instrument)[0]}/cwd") == "/"
    finally:
        for owner in owners(instrument):
            os.kill(owner, signal.SIGKILL)


@pytest.fixture
def demanding(tmp_path: Path) -> Iterator[Instrument]:
    """Lend an instrument computer where submitting starts a shipper, which is killed at the end."""
    instrument = Instrument.at(tmp_path, autostart=True)
    yield instrument
    for owner in owners(instrument):
        os.kill(owner, signal.SIGKILL)


def test_a_shipper_holds_no_descriptor_of_whoever_started_it(demanding: Instrument) -> None:
    reader, writer = os.pipe()
    demanding.archq("submit", demanding.frame(), pass_fds=(writer,))
    os.close(writer)
    assert select.select([reader], [], [], 30)[0]
    assert os.read(reader, 1) == b""
    os.close(reader)
    eventually(lambda: demanding.arrivals() == ["minicam.1"])


def test_a_shipper_loads_nothing_from_the_directory_where_it_was_started(demanding: Instrument) -> None:
    there = demanding.home / "data"
    (there / "paramiko.py").write_text("raise SystemExit('not this one')\n")
    (there / "archq.py").write_text("raise SystemExit('nor this one')\n")
    command = [sys.executable, "-P", "-m", "archq.cli", "submit", demanding.frame()]
    subprocess.run(command, cwd=there, env=demanding.environment, check=True, timeout=50)
    eventually(lambda: demanding.arrivals() == ["minicam.1"])


def test_a_shipper_is_started_by_a_python_that_knows_no_sessions(
    demanding: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> int:
        raise NotImplementedError("posix_spawn: setsid unavailable on this platform")

    monkeypatch.setattr(os, "posix_spawn", refuse)
    demanding.submit()
    eventually(lambda: demanding.arrivals() == ["minicam.1"])
    assert all(os.getsid(owner) != os.getsid(0) for owner in owners(demanding))


def test_shippers_that_have_ended_are_forgotten(demanding: Instrument) -> None:
    demanding.submit()
    eventually(lambda: demanding.arrivals() == ["minicam.1"])
    [first] = starting._started
    for owner in owners(demanding):
        os.kill(owner, signal.SIGKILL)
    os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    demanding.submit("img0002.fits")
    eventually(lambda: demanding.arrivals() == ["minicam.1"] * 2)
    assert first not in starting._started
    with pytest.raises(ChildProcessError):
        os.waitpid(first, os.WNOHANG)


def test_looking_whether_a_shipper_runs_keeps_none_from_starting(tmp_path: Path) -> None:
    instrument = Instrument.at(tmp_path)
    request = instrument.submit()
    lock = instrument.spool.queue_place("archive", "lock")
    with instrument.spool.own_queue("archive"):
        pass
    with open(lock, "rb") as looker:  # a look that lasts far longer than any does
        fcntl.flock(looker, fcntl.LOCK_SH)
        process = instrument.begin("ship", "--once")
        time.sleep(0.4)
    process.communicate(timeout=60)
    assert instrument.spool.find(request)[0] == "sent"


@pytest.fixture
def service(tmp_path: Path) -> Iterator[tuple[Instrument, subprocess.Popen[str]]]:
    instrument = Instrument.at(tmp_path)
    process = instrument.begin("ship", "--follow")  # all queues, a process each
    yield instrument, process
    process.kill()
    process.communicate()


def follows(instrument: Instrument, queue: str) -> bool:
    return f"queue {queue}: a shipper runs" in instrument.archq("status", "-d", queue).stdout


def test_a_queue_that_is_added_is_followed_and_one_that_is_removed_no_longer(
    service: tuple[Instrument, subprocess.Popen[str]],
) -> None:
    instrument, _process = service
    eventually(lambda: follows(instrument, "other"))
    configuration = instrument.home / "archq.toml"
    before = configuration.read_text()
    configuration.write_text(before + f'[queue.third]\nurl = "file:{instrument.home}/other"\n')
    eventually(lambda: follows(instrument, "third"))
    configuration.write_text(before)
    eventually(lambda: not is_locked(instrument.spool.queue_place("third", "lock")))


def test_a_queue_s_process_that_is_killed_is_started_again(service: tuple[Instrument, subprocess.Popen[str]]) -> None:
    instrument, _process = service
    eventually(lambda: follows(instrument, "archive"))
    killed = owners(instrument)
    for owner in killed:
        os.kill(owner, signal.SIGKILL)
    eventually(lambda: owners(instrument) and not set(owners(instrument)) & set(killed))
    instrument.submit()
    eventually(lambda: instrument.arrivals() == ["minicam.1"])


def test_queues_end_with_the_service_that_started_them(service: tuple[Instrument, subprocess.Popen[str]]) -> None:
    instrument, process = service
    eventually(lambda: follows(instrument, "archive"))
    process.kill()
    eventually(lambda: owners(instrument) == [])


def test_a_service_takes_a_queue_over_when_another_shipper_ends(
    follower: tuple[Instrument, subprocess.Popen[str]],
) -> None:
    instrument, other = follower
    service = instrument.begin("ship", "--follow")
    try:
        assert service.stderr
        told = service.stderr.readline()
        assert told == "archq: another shipper has the queue archive; it is taken over when that one ends\n"
        other.terminate()
        other.wait(timeout=30)
        instrument.submit()
        eventually(lambda: instrument.arrivals() == ["minicam.1"])
    finally:
        service.terminate()
        service.communicate(timeout=30)
