"""The programs that archq is measured against: the installed ones, else Debian's, fetched without being installed."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.harness import Contender, first_line
from tests.servers.debian import fetched
from tests.servers.process import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    from bench.harness import Report

    Builder = Callable[[Sequence[Path]], Contender]


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """A program, and the environment in which it finds its libraries."""

    path: str
    environment: Mapping[str, str]


def peer(report: Report, name: str, package: str, version: str = "--version") -> Peer:
    """Return the program ``name``; ``version`` is the word to which it answers with its version in the first line.

    Raise UnavailableError where it cannot be had.
    """
    found = _found(name, package)
    if name not in report.versions:
        report.versions[name] = first_line(found.path, version, environment=found.environment)
    return found


def _found(name: str, package: str) -> Peer:
    if installed := shutil.which(name):
        return Peer(path=installed, environment=os.environ)
    unpacked = fetched(package)
    return Peer(path=unpacked.program(f"usr/bin/{name}"), environment=unpacked.environment)


def available(report: Report, builders: Sequence[Builder], files: Sequence[Path]) -> Iterator[Contender]:
    """Yield the contenders that can be had, each to send ``files``; ``report`` names the others."""
    for build in builders:
        try:
            yield build(files)
        except UnavailableError as error:
            report.note(f"left out: {error}")
