"""A sweeper killed at any instant: the next one finishes its work, and every arrival gets exactly one final line."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import time
from collections import Counter
from typing import TYPE_CHECKING

import pytest

from archq.instants import SECOND
from archq.transferlog import FINAL
from tests.sweeper.arrivals import MTIME, SILENT_SUCCESS, Site, contents, control_file, new_site, wire_of
from tests.tools import tool

if TYPE_CHECKING:
    from pathlib import Path

# What changes the world; each is hit at its first, its last and some calls between.
CALLS = ["rename", "renameat", "renameat2", "linkat", "unlink", "unlinkat", "mkdir", "mkdirat", "fsync", "fdatasync"]
POINTS = 4  # for each call: all of them take minutes, and belong to the fault programme


def prepared(root: Path, uploader: int | None) -> Site:
    """One arrival for each outcome, in one batch."""
    site = new_site(root, uploader=uploader)
    (site.archive / "2026.1120").mkdir()
    (site.archive / "2026.1120" / "taken.fits").write_bytes(b"before")
    first = site.arrive(b"first", name="first.fits")
    site.leave(first, b"first", attempt=2)
    site.arrive(b"beside", name="taken.fits")
    site.arrive(b"before", name="taken.fits")
    site.leave(control_file(b"damaged", name="damaged.fits"), b"dAmaged")
    return site


EXPECTED = {
    "2026.1120/first.fits": b"first",
    "2026.1120/taken.fits": b"before",
    "2026.1120/taken~2.fits": b"beside",
}
OUTCOMES = Counter({"filed": 1, "duplicate": 2, "conflict": 1, "rejected": 1})


def traced(site: Site, output: Path, *words: str) -> subprocess.CompletedProcess[str]:
    strace = [tool("strace"), "-f", "-o", str(output), *words]
    return subprocess.run(
        [*strace, *site.command("-i", "minicam")], env=site.environment(), capture_output=True, text=True, check=False
    )


def calls_of_a_clean_run(tmp_path: Path, uploader: int | None) -> Counter[str]:
    (tmp_path / "clean").mkdir()
    output = tmp_path / "trace"
    result = traced(prepared(tmp_path / "clean", uploader), output, "-e", f"trace={','.join(CALLS)}")
    assert result.returncode == 3, result.stderr
    return Counter(re.findall(r"^\d+ +(\w+)\(", output.read_text(), re.MULTILINE))


def test_a_sweeper_killed_at_any_call_loses_and_repeats_nothing(tmp_path: Path, site: Site) -> None:
    tmp_path = tmp_path / "killed"
    tmp_path.mkdir()
    counts = calls_of_a_clean_run(tmp_path, site.uploader)
    assert {"renameat2", "fsync", "unlinkat"} <= set(counts) <= set(CALLS)
    points = [(call, number) for call, count in counts.items() for number in sampled(count)]
    for call, number in points:
        (tmp_path / f"{call}-{number}").mkdir()
        site = prepared(tmp_path / f"{call}-{number}", site.uploader)
        killed = traced(site, tmp_path / "trace", "-e", f"inject={call}:signal=SIGKILL:when={number}")
        assert killed.returncode in {-signal.SIGKILL, 128 + signal.SIGKILL}, (call, number, killed)
        nothing_visible_is_wrong(site)
        site.sweep("-i", "minicam")
        everything_is_settled_once(site)


def sampled(count: int) -> list[int]:
    if count <= POINTS:
        return list(range(1, count + 1))
    return sorted({1 + round(step * (count - 1) / (POINTS - 1)) for step in range(POINTS)})


def nothing_visible_is_wrong(site: Site) -> None:
    for name, content in site.archived().items():
        if not name.rpartition("/")[2].startswith("."):
            assert EXPECTED[name] == content
            if name != "2026.1120/taken.fits":
                assert (site.archive / name).stat().st_mtime_ns == MTIME


def everything_is_settled_once(site: Site) -> None:
    assert contents(site.archive, without="xferlogs") == EXPECTED
    lines = [line for line in site.lines() if line.outcome in FINAL]
    assert Counter(line.outcome for line in lines) == OUTCOMES
    assert len({line.facts["wire"] for line in lines}) == len(lines)
    assert site.arrivals() == {}
    assert sorted(name.rpartition(".")[2] for name in site.rejected()) == ["1/reason", "cf", "df"]
    assert site.claims() == []
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS


def test_what_a_dead_sweeper_had_only_claimed_is_given_back(site: Site) -> None:
    """Whatever instrument it is of: the sweep that finds it need not be the one that files it."""
    control = site.arrive(b"content", instrument="megacam")
    dead = claim_of_another_machine(site)
    for name in (wire_of(control), wire_of(control).control):
        (site.incoming / str(name)).rename(dead / str(name))
    os.utime(dead, (1, 1))
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert len(site.arrivals()) == 2
    assert not dead.exists()


@pytest.mark.parametrize("silence", [0, 500])  # seconds
def test_a_claim_of_another_machine_is_left_alone_while_it_gives_signs_of_life(site: Site, silence: int) -> None:
    control = site.arrive(b"content")
    living = claim_of_another_machine(site)
    (site.incoming / str(wire_of(control).control)).rename(living / str(wire_of(control).control))
    os.utime(living, (time.time() - silence, time.time() - silence))
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert living.exists()
    os.utime(living, (1, 1))
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert site.outcomes() == ["filed"]


def test_whether_another_machine_gives_signs_of_life_is_told_by_the_file_servers_clock(site: Site, monkeypatch) -> None:
    """Ours may be a day ahead."""
    control = site.arrive(b"content")
    living = claim_of_another_machine(site)
    (site.incoming / str(wire_of(control).control)).rename(living / str(wire_of(control).control))
    ahead, ahead_ns = time.time() + 86_400, time.time_ns() + 86_400 * SECOND
    monkeypatch.setattr(time, "time", lambda: ahead)
    monkeypatch.setattr(time, "time_ns", lambda: ahead_ns)
    assert site.sweep("-i", "minicam") == SILENT_SUCCESS
    assert living.exists()


def claim_of_another_machine(site: Site) -> Path:
    site.sweep("-i", "nothing")
    (work,) = (site.incoming / ".archq-work").iterdir()
    claim = work / "elsewhere~abc~1~2~3~1"
    claim.mkdir()
    return claim
