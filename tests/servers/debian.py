"""Debian's servers, fetched and unpacked under the project's cache without being installed."""

from __future__ import annotations

import fcntl
import functools
import os
import shutil
import subprocess
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers.process import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

CACHE = Path(__file__).parents[2] / ".cache" / "debian"

# Everything that apt writes is ours: no root, no lock of the system's, and no hook of the system's that would
# clean the system's own cache.  The sources and the keys that sign them stay the system's.
APT_SETTINGS = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Pre-Invoke;
#clear DPkg::Post-Invoke;
Dir::State "{apt}/state";
Dir::State::status "/var/lib/dpkg/status";
Dir::Cache "{apt}/cache";
Dir::Log "{apt}/log";
APT::Sandbox::User "root";
Debug::NoLocking "true";
Acquire::Retries "2";
Acquire::http::Timeout "20";
Acquire::https::Timeout "20";
"""
MOST_SECONDS = 300


@dataclass(frozen=True, slots=True, kw_only=True)
class Unpacked:
    """A package and the shared libraries that this machine lacks, unpacked below ``root``."""

    root: Path

    def program(self, path: str) -> str:
        """Give the absolute path of ``usr/sbin/NAME``: ours, or the installed one that apt would not replace."""
        found = next((place / path for place in (self.root, Path("/")) if (place / path).exists()), None)
        if found is None:
            raise UnavailableError(f"{path} is not among the files of {self.root.name}")
        return str(found)

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment in which the unpacked programs find their libraries."""
        libraries = [
            str(path) for pattern in ("lib/*-linux-*", "usr/lib/*-linux-*") for path in self.root.glob(pattern)
        ]
        return {**os.environ, "LD_LIBRARY_PATH": ":".join(libraries)}


def fetched(*packages: str) -> Unpacked:
    """Unpack Debian packages, fetching them the first time; they are kept until ``make clean``.

    Raises UnavailableError where there is no apt, no network or no such package.
    """
    root = CACHE / "+".join(packages)
    if not root.exists():
        with locked(CACHE):
            if not root.exists():  # still, now that no other test run is at it
                unpack(packages, root)
    return Unpacked(root=root)


def unpack(packages: tuple[str, ...], root: Path) -> None:
    """Fill ``root`` out of sight; the rename says that it is whole."""
    building = root.with_name(f"{root.name}.building")
    archives = root.with_name(f"{root.name}.archives")
    for leftover in (building, archives):
        shutil.rmtree(leftover, ignore_errors=True)
    (archives / "partial").mkdir(parents=True)
    download(packages, archives, failed_update())
    for archive in sorted(archives.glob("*.deb")):
        run("dpkg", "-x", str(archive), str(building))
    building.mkdir(exist_ok=True)  # nothing to unpack: the installed program is the newest
    building.rename(root)
    shutil.rmtree(archives)


def download(packages: tuple[str, ...], archives: Path, failed: UnavailableError | None) -> None:
    """Ask apt what installing would need on this machine, shared libraries too, and download just that.

    Lists that could not be updated may still do: that they ``failed`` is only told if the packages do not come either.
    """
    wishes = ("--reinstall", "--no-install-recommends", "--download-only", "--yes")
    try:
        apt("install", *wishes, "-o", f"Dir::Cache::archives={archives}", *packages)
    except UnavailableError as error:
        raise failed or error from error


# Once a run: a machine without network should say so after one attempt, not after one for each server.
@functools.cache
def failed_update() -> UnavailableError | None:
    for directory in ("state/lists/partial", "cache/archives/partial", "log"):
        (CACHE / "apt" / directory).mkdir(parents=True, exist_ok=True)
    (CACHE / "apt.conf").write_text(APT_SETTINGS.format(apt=CACHE / "apt"))
    try:
        apt("update", "-o", "APT::Update::Error-Mode=any")
    except UnavailableError as error:
        return error
    return None


def apt(*words: str) -> None:
    run("apt-get", "-c", str(CACHE / "apt.conf"), "-qq", *words)


def run(*command: str) -> None:
    """Run a program of Debian's; UnavailableError tells what it said."""
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=MOST_SECONDS)
    except FileNotFoundError:
        raise UnavailableError(
            f"{command[0]} is not on this machine, and the real servers are Debian packages"
        ) from None
    except subprocess.TimeoutExpired:
        raise UnavailableError(f"{command[0]} did not end within {MOST_SECONDS} seconds") from None
    if done.returncode:
        raise UnavailableError(f"{command[0]} cannot fetch the real servers: {first_error(done.stderr)}")


def first_error(messages: str) -> str:
    """Pick the reason out of what apt and dpkg say: the errors that follow the first come of it."""
    lines = messages.strip().split("\n")
    return next((line for line in lines if line.startswith(("E: ", "dpkg"))), lines[-1])


@contextmanager
def locked(directory: Path) -> Iterator[None]:
    """Let one test run at a time work in ``directory``."""
    directory.mkdir(parents=True, exist_ok=True)
    with (directory / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield
