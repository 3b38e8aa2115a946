"""What a user installs: the packages that the build makes, and an environment with the wheel in it."""

from __future__ import annotations

import functools
import subprocess
import sys
import tempfile
from pathlib import Path

from tests.requirements import require

ROOT = Path(__file__).parents[1]


@functools.cache
def built() -> Path:
    """Return a directory with the sdist and the wheel that was built from it."""
    keeper = tempfile.TemporaryDirectory(prefix="archq-dist-")
    _KEPT.append(keeper)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", keeper.name, ROOT)
    return Path(keeper.name)


@functools.cache
def installed() -> Path:
    """Return an environment made as the README says, with the source distribution as the copy of the repository.

    pip fetches what we depend on from its registry.
    """
    from tests.readme import INSTALLING  # whose first commands make the environment

    keeper = tempfile.TemporaryDirectory(prefix="archq-installed-")
    _KEPT.append(keeper)
    home = Path(keeper.name)
    [sdist] = built().glob("*.tar.gz")
    run("tar", "-xzf", sdist, "-C", home)
    [copy] = (path for path in home.iterdir() if path.is_dir())
    for command in INSTALLING[:2]:
        done = subprocess.run(
            ["sh", "-c", command.replace("/opt/archq", f"{home}/archq").replace("python3 ", f"{sys.executable} ")],
            cwd=copy,
            capture_output=True,
            text=True,
        )
        require("Could not find a version" not in done.stderr, "no package registry answers")
        assert done.returncode == 0, done.stdout + done.stderr
    return home / "archq"


_KEPT: list[tempfile.TemporaryDirectory] = []  # removed when the tests end


def run(*words: str | Path) -> str:
    done = subprocess.run([*map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert done.returncode == 0, done.stdout
    return done.stdout
