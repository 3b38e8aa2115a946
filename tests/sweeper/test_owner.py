"""Whether the process that a claim belongs to still lives."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace

import pytest

from sweeper.owner import DEAD_AFTER, is_dead, parse_owner, this_process


def test_an_owner_survives_as_a_name() -> None:
    owner = replace(this_process(), serial=17)
    assert parse_owner(str(owner)) == owner
    assert len(str(owner)) < 200


@pytest.mark.parametrize("name", ["", "0", "ballast", "a~b~c~d~e~f", "host~0~1~2~3", "../x~0~1~2~3~4", "h~0~1~2~3~4\n"])
def test_other_names_are_no_owners(name: str) -> None:
    assert parse_owner(name) is None


def test_this_process_lives_however_long_it_has_been_silent() -> None:
    assert not is_dead(this_process(), DEAD_AFTER * 100)


def test_a_process_that_has_ended_is_dead_at_once_even_before_its_parent_takes_note() -> None:
    with subprocess.Popen(["sleep", "60"]) as process:
        with open(f"/proc/{process.pid}/stat") as file:
            start = int(file.read().rpartition(")")[2].split()[19])
        owner = replace(this_process(), pid=process.pid, start=start)
        assert not is_dead(owner, 0.0)
        process.send_signal(signal.SIGKILL)
        os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
        assert is_dead(owner, 0.0)
    assert is_dead(owner, 0.0)


def test_another_process_of_the_same_number_is_not_the_owner() -> None:
    assert is_dead(replace(this_process(), start=1), 0.0)


def test_after_a_restart_of_this_machine_all_before_are_dead() -> None:
    assert is_dead(replace(this_process(), boot="0123456789ab"), 0.0)


@pytest.mark.parametrize("change", [{"host": "elsewhere", "boot": "0123"}, {"space": 1}])
def test_of_processes_that_cannot_be_seen_from_here_silence_decides(change: dict[str, str | int]) -> None:
    owner = replace(this_process(), **change)
    assert not is_dead(owner, DEAD_AFTER)
    assert is_dead(owner, DEAD_AFTER + 1)
