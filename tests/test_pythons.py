"""`make pythons` finds each Python that is new enough, once, and nothing else."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

ROOT = Path(__file__).parents[1]


@pytest.fixture
def machine(tmp_path: Path) -> Callable[[dict[str, str]], subprocess.CompletedProcess[str]]:
    """Run the script on a machine that has Pythons of these versions at these places; make only says its words."""

    def run(versions: dict[str, str]) -> subprocess.CompletedProcess[str]:
        for place, version in versions.items():
            program(tmp_path / place / "python3", f"echo {version}" if version else "exit 1")
        program(tmp_path / "tools/make", 'echo "make $*"')
        path = ":".join(str(tmp_path / place) for place in ("tools", *versions) if "versions" not in place)
        environment = {"PATH": f"{path}:/usr/bin:/bin", "PYENV_ROOT": str(tmp_path), "HOME": os.devnull}
        command = ["bash", ROOT / ".ci/pythons"]
        return subprocess.run(command, env=environment, capture_output=True, text=True, cwd=tmp_path)

    return run


def program(path: Path, does: str) -> None:
    path.parent.mkdir(parents=True)
    path.write_text(f"#!/bin/sh\n{does}\n")
    path.chmod(0o755)


def test_each_minor_version_from_3_11_on_is_tried_once_in_order(tmp_path: Path, machine: Callable) -> None:
    done = machine(
        {
            "old": "3.10",
            "new": "3.13",
            "broken": "",
            "versions/3.9.18/bin": "3.9",
            "versions/3.12.1/bin": "3.12",
            "versions/3.12.0/bin": "3.12",
        }
    )
    assert (done.returncode, done.stderr) == (0, "")
    made = [line for line in done.stdout.splitlines() if line.startswith("make ")]
    tried = [line.partition("VENV=.cache/pythons/")[2] for line in made]
    assert [one for one in tried if one in {"3.12 quick", "3.13 quick"}] == ["3.12 quick", "3.13 quick"]
    assert len(tried) == len(set(tried))
    assert not {"3.9 quick", "3.10 quick"} & set(tried)
    assert f"PYTHON={tmp_path}/new/python3" in done.stdout


def test_a_failure_with_one_python_is_a_failure(tmp_path: Path, machine: Callable) -> None:
    machine({"new": "3.12"})
    (tmp_path / "tools/make").write_text("#!/bin/sh\nexit 2\n")
    environment = {"PATH": f"{tmp_path}/tools:{tmp_path}/new:/usr/bin:/bin", "PYENV_ROOT": str(tmp_path)}
    done = subprocess.run(["bash", ROOT / ".ci/pythons"], env=environment, capture_output=True, text=True)
    assert done.returncode == 2
