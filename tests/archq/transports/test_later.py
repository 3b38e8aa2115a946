"""Modules that others import, loaded when they are used."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from archq.transports.later import put_off

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def slow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module that can be told whether it is loaded: who loads it, finds it in sys.modules."""
    (tmp_path / "slow_to_load.py").write_text("ANSWER = 42\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "slow_to_load", raising=False)
    return "slow_to_load"


def test_what_is_put_off_is_loaded_when_something_of_it_is_used(slow: str) -> None:
    with put_off(slow):
        stand_in = __import__(slow)
    assert slow not in sys.modules
    assert stand_in.ANSWER == 42
    assert vars(sys.modules[slow])["ANSWER"] == 42


def test_it_may_be_used_at_once(slow: str) -> None:
    with put_off(slow):
        assert __import__(slow).ANSWER == 42
        assert "ANSWER" in vars(sys.modules[slow])
    assert "ANSWER" in vars(sys.modules[slow])


def test_what_is_loaded_already_stays_what_it_is(slow: str) -> None:
    loaded = __import__(slow)
    with put_off(slow):
        assert __import__(slow) is loaded
    assert sys.modules[slow] is loaded


def test_what_is_not_installed_is_missed_when_it_is_used(slow: str) -> None:
    with put_off(f"{slow}_and_missing"):
        stand_in = __import__(f"{slow}_and_missing")
    with pytest.raises(ModuleNotFoundError, match="slow_to_load_and_missing"):
        _ = stand_in.ANSWER


def test_shipping_by_sftp_does_not_wait_for_what_only_a_rare_line_of_sshs_configuration_needs(tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh/config").write_text('Match exec "test %h = here.example"\n  User somebody\n')
    script = (
        "import sys; from archq.config import QueueSettings; from archq.transports.accounts import load_protocol; "
        "load_protocol(QueueSettings(name='q', url='sftp://here.example/in')); print('asyncio' in sys.modules); "
        "from archq.transports.sshroute import route_to; from archq.transports.destination import Destination; "
        "print(route_to(Destination.parse('sftp://here.example/in', 'url')).user); "
        "print(route_to(Destination.parse('sftp://elsewhere.example/in', 'url')).user)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], env={"HOME": str(tmp_path)}, stdout=subprocess.PIPE, text=True, check=True
    )
    assert done.stdout.split() == ["False", "somebody", "None"]
