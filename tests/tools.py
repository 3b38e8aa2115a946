"""Programs that tests use to look at ours: the installed one, else Debian's, fetched without being installed."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import TYPE_CHECKING

from tests.requirements import require
from tests.servers.debian import fetched
from tests.servers.process import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

DIRECTORIES = ("usr/bin", "bin", "usr/sbin", "sbin")


def tool(name: str, package: str = "") -> str:
    """Return the path of the program ``name`` of a Debian package, by default of the same name.

    Without it, skip the test and say why.
    """
    return located(name, package)[0]


def located(name: str, package: str = "") -> tuple[str, Mapping[str, str]]:
    """Return the path of a program as :func:`tool` does, and the environment in which it finds its libraries."""
    try:
        return found(name, package)
    except UnavailableError as error:
        require(False, str(error))
        raise


def found(name: str, package: str = "") -> tuple[str, Mapping[str, str]]:
    """Return what :func:`located` does; raise UnavailableError where it cannot be had."""
    if installed := shutil.which(name):
        return installed, os.environ
    try:
        unpacked = fetched(package or name)
    except UnavailableError as error:
        raise UnavailableError(f"{name}: {error}") from error
    places = (directory for directory in DIRECTORIES if (unpacked.root / directory / name).exists())
    return unpacked.program(f"{next(places, DIRECTORIES[0])}/{name}"), unpacked.environment


def said(name: str, *words: str | Path, package: str = "", before: tuple[str, ...] = ()) -> str:
    """Return what a program says, on either stream, and fail if it is not content; ``before`` is what starts it."""
    path, environment = located(name, package)
    command = [*before, path, *map(str, words)]
    done = subprocess.run(command, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    assert done.returncode == 0, done.stdout
    return done.stdout
