"""Many sweepers at once: each arrival is filed by one of them, once, with one final line."""

from __future__ import annotations

import os
import pkgutil
import random
import signal
import subprocess
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from archq import durable
from archq.transferlog import FINAL
from tests.sweeper.arrivals import SILENT_SUCCESS, Site

if TYPE_CHECKING:
    from collections.abc import Callable

    from archq.control import ControlFile

MANY = 120
PATIENCE = 60.0  # seconds


def start(site: Site, *words: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        site.command(*words), env=site.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def each_has_one_final_line(site: Site, controls: list[ControlFile], *outcomes: str) -> None:
    final = [line for line in site.lines() if line.outcome in FINAL]
    wires = Counter(line.facts["wire"] for line in final)
    assert set(wires.values()) == {1}, [wire for wire, count in wires.items() if count > 1]
    filed = Counter(line.facts["wire"].split(".")[1] for line in final if line.outcome in outcomes)
    assert filed == Counter(control.id for control in controls)


def test_overlapping_runs_file_each_arrival_once(site: Site) -> None:
    controls = [site.arrive(b"%d" % number, name=f"{number}.fits") for number in range(MANY)]
    for control, number in zip(controls, range(MANY), strict=True):
        if not number % 3:
            site.leave(control, b"%d" % number, attempt=2)
    running = [start(site, "-i", "minicam") for _ in range(4)]
    assert [process.wait(PATIENCE) for process in running] == [0] * 4
    assert site.sweep("-i", "minicam").status == 0
    assert site.archived() == {f"2026.1120/{number}.fits": b"%d" % number for number in range(MANY)}
    assert (site.arrivals(), site.claims()) == ({}, [])
    each_has_one_final_line(site, controls, "filed")


def test_a_sweep_of_any_and_one_of_an_instrument_share_what_both_want(site: Site) -> None:
    """What is swept away under the other's nose is filed from there later."""
    lparchive = site.root / "lparchive"
    lparchive.mkdir()
    controls = [site.arrive(b"%d" % number, name=f"{number}.fits", instrument="newcam") for number in range(MANY)]
    any_words = ["-A", "-d", str(lparchive)]
    running = [start(site, "-i", "newcam"), start(site, *any_words), start(site, "-i", "newcam")]
    assert [process.wait(PATIENCE) for process in running] == [0] * 3
    assert site.arrivals() == {}
    later = site.run("-i", "newcam", "-f", str(lparchive), "-d", str(site.archive))
    assert later == SILENT_SUCCESS
    assert site.archived() == {f"2026.1120/{number}.fits": b"%d" % number for number in range(MANY)}
    each_has_one_final_line(site, controls, "filed")
    assert list(lparchive.glob("2026.1120/*")) == []


def test_several_machines_share_a_directory_on_a_file_server(site: Site, monkeypatch) -> None:
    """None can see the others' processes, and locks do not reach from one to the other."""
    controls = [site.arrive(b"%d" % number, name=f"{number}.fits") for number in range(MANY)]
    monkeypatch.setattr(durable, "locks_reach_everybody", lambda _path: False)
    machines = []
    for number in range(3):
        if not (machine := os.fork()):
            monkeypatch.setattr("sweeper.owner._here", lambda name=f"machine{number}": (name, name, 0))
            os._exit(site.sweep("-i", "minicam").status)
        machines.append(machine)
    assert [os.waitstatus_to_exitcode(os.waitpid(machine, 0)[1]) for machine in machines] == [0] * 3
    assert site.archived() == {f"2026.1120/{number}.fits": b"%d" % number for number in range(MANY)}
    assert (site.arrivals(), site.claims()) == ({}, [])
    each_has_one_final_line(site, controls, "filed")


@pytest.mark.parametrize("processes", ["1", "2"])
def test_sweepers_that_are_killed_again_and_again_lose_and_repeat_nothing(site: Site, processes: str) -> None:
    """Those that a killed one has forked go on without it."""
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    controls, running = [], []
    for turn in range(25):
        for number in range(8):
            controls.append(site.arrive(b"%d" % len(controls), name=f"{turn}-{number}.fits"))
        running.append(start(site, "-i", "minicam", "-j", processes))
        if len(running) > 2:
            running.pop(chance.randrange(3)).kill()
        time.sleep(chance.random() * 0.15)
    for process in running:
        process.kill()
        process.wait()
    until(lambda: is_settled(site))
    assert len(site.archived()) == len(controls)
    each_has_one_final_line(site, controls, "filed")


def is_settled(site: Site) -> bool:
    """Sweep and look; what is gone while we look is being filed by a process that a killed one has forked."""
    with suppress(FileNotFoundError):
        return not site.sweep("-i", "minicam").errors and not site.arrivals() and not site.claims()
    return False


def until(condition: Callable[[], bool]) -> None:
    give_up = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < give_up


@pytest.mark.parametrize("stopped_before", ["sweeper.round.settle", "sweeper.filing.Filer.prepare"])
def test_a_sweeper_that_only_slept_while_its_claim_was_taken_over_does_no_harm(
    site: Site, monkeypatch, stopped_before: str
) -> None:
    """As one on a machine that was suspended: it comes back and goes on with what others have finished."""
    control = site.arrive(b"content")
    sleeper = os.fork()
    if not sleeper:
        try:
            stop_before(monkeypatch, stopped_before)
            status = site.sweep("-i", "minicam").status
        finally:
            os._exit(status)
    os.waitpid(sleeper, os.WUNTRACED)
    with monkeypatch.context() as taken_for_dead:
        taken_for_dead.setattr("sweeper.claim.is_dead", lambda *_: True)
        assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.outcomes() == ["filed"]
    inode = (site.archive / "2026.1120" / "img0001.fits").stat().st_ino
    os.kill(sleeper, signal.SIGCONT)
    os.waitpid(sleeper, 0)
    assert (site.archive / "2026.1120" / "img0001.fits").stat().st_ino == inode
    site.sweep("-i", "minicam")
    assert site.archived() == {"2026.1120/img0001.fits": b"content"}
    assert (site.arrivals(), site.claims()) == ({}, [])
    each_has_one_final_line(site, [control], "filed")


def stop_before(monkeypatch, name: str) -> None:
    module, _dot, function = name.rpartition(".")
    real = getattr(pkgutil.resolve_name(module), function)

    def stopping(*words, **more):
        os.kill(os.getpid(), signal.SIGSTOP)
        return real(*words, **more)

    monkeypatch.setattr(name, stopping)
