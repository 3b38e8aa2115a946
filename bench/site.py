"""An instrument computer for benchmarks: a spool, a configuration and the commands as users run them."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from archq.spool import STATES
from bench.harness import succeed
from tests import packages

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

BLOCK = 1 << 20  # bytes


def installed(program: str) -> Path:
    """Return one of our programs as the README installs it: what is installed for development starts later."""
    return packages.installed() / "bin" / program


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """A directory with a configuration of one queue, whose files leave only when they are told to."""

    home: Path

    @property
    def spool(self) -> Path:
        """Where submitted files lie."""
        return self.home / "spool"

    @property
    def environment(self) -> Mapping[str, str]:
        """The environment in which our programs find the configuration."""
        return {**os.environ, "ARCHQ_CONFIG": str(self.home / "archq.toml")}

    def configure(self, url: str, *settings: str) -> None:
        """Make ``url`` the queue's destination."""
        lines = (
            'default = "archive"',
            f'spool = "{self.spool}"',
            "autostart = false",
            "[queue.archive]",
            f'url = "{url}"',
            'instrument = "minicam"',
            *settings,
        )
        (self.home / "archq.toml").write_text("\n".join(lines) + "\n")

    def run(self, program: str, *words: str | os.PathLike[str]) -> str:
        """Run one of our programs; it has to succeed."""
        return succeed(installed(program), *words, environment=self.environment).decode()

    def empty(self) -> None:
        """Take everything out of the spool that was submitted or sent.

        It is kept aside: ext4 looks at every inode that was freed in the last minutes before it gives one away, and
        would have to look at thousands for each file.
        """
        for state in STATES:
            for request in (self.spool / state).glob("*"):
                request.rename(tempfile.mkdtemp(dir=self.home))

    def file(self, name: str, size: int) -> Path:
        """Return a file of ``size`` bytes that nothing can compress."""
        path = self.home / "sources" / name
        path.parent.mkdir(exist_ok=True)
        if not path.exists():
            with path.open("wb") as file:
                for begin in range(0, size, BLOCK):
                    file.write(os.urandom(min(BLOCK, size - begin)))
        return path

    def files(self, count: int, size: int) -> list[Path]:
        """Return ``count`` files of ``size`` bytes each."""
        return [self.file(f"{size}-{number:05d}", size) for number in range(count)]


@contextmanager
def made() -> Iterator[Site]:
    """Lend a site where temporary files go; it is removed at the end."""
    with tempfile.TemporaryDirectory(prefix="archq-bench-", ignore_cleanup_errors=True) as home:
        yield Site(home=Path(home))
