"""A desk with archq's lp family on it, and CUPS with two printers beside it."""

from __future__ import annotations

import getpass
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archq.spool import QUEUED, RequestId, Spool
from tests.requirements import require
from tests.servers import cups
from tests.servers.process import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archq.spool import SpooledFile, Ticket

ROOT = Path(__file__).parents[3]
PROGRAMS = ("lp", "lpstat", "cancel", "lpmove")
SCRIPT = """\
#!{python}
import sys
from archq.lpfamily.{program} import main
if __name__ == "__main__":
    sys.exit(main())
"""
# As long as "printer" and with a file of 1024 bytes, so that lines of lpstat can be compared.
CONFIGURATION = """\
spool = "{home}/spool"
autostart = false
[queue.archive]
url = "file:{home}/incoming"
[queue.backups]
url = "file:{home}/backups"
"""
DATA = b"SIMPLE  " * 128


@dataclass(frozen=True)
class Desk:
    """A user's directory with a file to send, the installed programs, and a spool."""

    home: Path

    @property
    def bin(self) -> Path:
        return self.home / "bin"

    @property
    def frame(self) -> Path:
        return self.home / "img0001.fits"

    def configure(self, *lines: str) -> None:
        """Put ``lines`` before the usual configuration."""
        text = CONFIGURATION.format(home=self.home)
        (self.home / "archq.toml").write_text("\n".join([*lines, text]))

    def run(
        self, *command: str | bytes | Path, data: bytes | None = b"", path: str = "", **variables: str
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a command in the user's directory; our programs are the last in ``path``."""
        environment = {name: value for name, value in os.environ.items() if name not in ("LPDEST", "PRINTER")}
        environment |= {"PATH": f"{path}:{self.bin}", "ARCHQ_CONFIG": str(self.home / "archq.toml"), "LC_ALL": "C"}
        words = [os.fsdecode(word) for word in command]
        return subprocess.run(
            words,
            cwd=self.home,
            env=environment | {"PYTHONPATH": str(ROOT)} | variables,
            input=data,
            stdin=subprocess.DEVNULL if data is None else None,
            capture_output=True,
            timeout=30,
        )

    def submit(self, *words: str) -> str:
        """Submit the frame and return the request's id."""
        done = self.run("archq-lp", "-d", "archive", *words, self.frame)
        assert done.returncode == 0, done.stderr
        return done.stdout.decode().split()[3]

    @property
    def spool(self) -> Spool:
        return Spool(str(self.home / "spool"))

    def queued(self) -> list[str]:
        return [str(request) for request in self.spool.requests(QUEUED)]

    def ticket(self, request: str) -> Ticket:
        state, found = self.spool.find(identified(request))
        return self.spool.ticket(state, found)

    def files(self, request: str) -> list[SpooledFile]:
        state, found = self.spool.find(identified(request))
        return self.spool.files(state, found)


def identified(text: str) -> RequestId:
    request = RequestId.parse(text)
    assert request
    return request


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    desk = Desk(tmp_path)
    desk.bin.mkdir()
    for program in PROGRAMS:
        script = desk.bin / f"archq-{program}"
        script.write_text(SCRIPT.format(python=sys.executable, program=program))
        script.chmod(0o755)
    desk.frame.write_bytes(DATA)
    desk.configure()
    return desk


@pytest.fixture
def user() -> str:
    return getpass.getuser()


@pytest.fixture(scope="session")
def scheduler() -> Iterator[cups.Cups | str]:
    """CUPS with the printers "printer" and "second", or why there is none."""
    try:
        with cups.running() as scheduler:
            for name in ("printer", "second"):
                scheduler.add_printer(name)
            yield scheduler
    except UnavailableError as error:
        yield str(error)


@pytest.fixture
def system(scheduler: cups.Cups | str) -> cups.Cups:
    require(not isinstance(scheduler, str), str(scheduler))
    assert isinstance(scheduler, cups.Cups)
    scheduler.run("bin/cancel", "-a")
    return scheduler
