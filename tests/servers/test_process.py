"""Starting a program that listens: one that does not is reported in its own words."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.servers.process import Daemon, free_port

if TYPE_CHECKING:
    from pathlib import Path


def test_a_server_that_fails_to_start_is_reported_in_its_own_words(tmp_path: Path) -> None:
    command = ("sh", "-c", "echo 'line 3: unknown setting' >&2; exit 7")
    daemon = Daemon(command, port=free_port(), output=tmp_path / "output", environment=os.environ)
    with pytest.raises(RuntimeError, match=r"sh: ended with status 7 instead of listening\nline 3: unknown setting"):
        daemon.start()
