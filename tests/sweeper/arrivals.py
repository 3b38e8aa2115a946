"""Arrivals as a sender leaves them, and an archive for them, without a network."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import time
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING, Any
from unittest import mock

from archq import console
from archq.checksum import Checksum
from archq.control import ControlFile, format_control
from archq.instants import SECOND
from archq.names import WireName, new_id
from archq.transferlog import Outcome, parse_outcome
from sweeper import cli

if TYPE_CHECKING:
    from pathlib import Path

QUEUED = 1_795_144_456_102_345_678  # 2026-11-20T03:14:16.1Z: the night of 2026-11-19 in Arizona
MTIME = 1_795_144_455_926_535_897


_sequence = count(step=1_000_000)  # nanoseconds: ids sort as they were made


@dataclass(frozen=True)
class Result:
    """What a run of the sweeper came to."""

    status: int
    output: str = ""
    errors: str = ""


SILENT_SUCCESS = Result(status=0)


@dataclass(frozen=True)
class Site:
    """An incoming directory, an archive and a configuration, below one temporary directory."""

    root: Path
    uploader: int | None = None  # whose the arrivals are; None: ours, so that they need not be copied

    @property
    def incoming(self) -> Path:
        return self.root / "incoming"

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    @property
    def logs(self) -> Path:
        return self.archive / "xferlogs"

    @property
    def configuration(self) -> Path:
        return self.root / "archq.toml"

    def arrive(self, content: bytes = b"content", *, attempt: int = 1, place: str = "", **facts: Any) -> ControlFile:
        """Leave a data and a control file as a sender does; return what the control file says."""
        control = control_file(content, **facts)
        self.leave(control, content, attempt=attempt, place=place)
        return control

    def leave(
        self,
        control: ControlFile,
        content: bytes | None,
        *,
        attempt: int = 1,
        place: str = "",
        text: bytes | None = None,
    ) -> None:
        """Leave the two files of one try; ``text`` instead of the control file's own, no data file without content."""
        directory = self.incoming / place
        directory.mkdir(exist_ok=True)
        wire = wire_of(control, attempt)
        if content is not None:
            (directory / str(wire)).write_bytes(content)
        (directory / str(wire.control)).write_bytes(format_control(control) if text is None else text)
        if self.uploader is not None:
            for name in (wire, wire.control):
                with suppress(FileNotFoundError):
                    os.chown(directory / str(name), self.uploader, -1)

    def sweep(self, *words: str) -> Result:
        """Run the sweeper in this process, as a user would, with ``-f`` and ``-d`` for this site."""
        return self.run("-f", str(self.incoming), "-d", str(self.archive), *words)

    def run(self, *words: str) -> Result:
        """Run the sweeper in this process with just these words."""
        output, errors = io.StringIO(), io.StringIO()
        environment = mock.patch.dict(os.environ, self.environment())
        with environment, redirect_stdout(output), redirect_stderr(errors):
            status = console.run_click("sweeper", cli.command, [*words])
        return Result(status=status, output=output.getvalue(), errors=errors.getvalue())

    def command(self, *words: str) -> list[str]:
        """Return the command of a sweeper process of its own, to be run in :meth:`environment`."""
        program = [sys.executable, "-c", "from sweeper.cli import main; main()"]
        return [*program, "-f", str(self.incoming), "-d", str(self.archive), *words]

    def environment(self) -> dict[str, str]:
        return {**os.environ, "ARCHQ_CONFIG": str(self.configuration), "XDG_STATE_HOME": str(self.root / "state")}

    def lines(self, *, logs: Path | None = None) -> list[Outcome]:
        """Return all that the transfer logs say."""
        logs = logs or self.logs
        files = sorted(path for path in logs.iterdir() if not path.name.startswith(".")) if logs.is_dir() else [logs]
        return [parse_outcome(line) for path in files for line in path.read_bytes().splitlines(keepends=True)]

    def outcomes(self) -> list[str]:
        return [line.outcome for line in self.lines()]

    def archived(self) -> dict[str, bytes]:
        """Return the files of the archive by their path, those of the logs left out."""
        return contents(self.archive, without="xferlogs")

    def arrivals(self) -> dict[str, bytes]:
        """Return what still lies in the incoming directory, those of the sweeper's own places left out."""
        return {name: data for name, data in contents(self.incoming).items() if not name.startswith(".archq-")}

    def claims(self) -> list[str]:
        """Return what is left in the work places of all accounts."""
        places = (self.incoming / ".archq-work").glob("*/*")
        return [str(path) for path in places if path.name != "ballast"]

    def rejected(self) -> dict[str, bytes]:
        """Return what was set aside."""
        own = self.incoming / ".archq-rejected" / str(os.geteuid())
        return contents(own) if own.is_dir() else {}


def new_site(root: Path, configuration: str = "", *, uploader: int | None = None) -> Site:
    site = Site(root, uploader)
    site.incoming.mkdir()
    site.archive.mkdir()
    site.configuration.write_text(configuration)
    return site


def control_file(content: bytes, **facts: Any) -> ControlFile:
    """Return a control file for ``content``; ``facts`` replace what it would say by itself."""
    queued = facts.get("queued", QUEUED)
    control = ControlFile(
        id=new_id(queued + next(_sequence)),
        instrument="minicam",
        name="img0001.fits",
        path="/data/ARCHMINICAM/raw/img0001.fits",
        size=len(content),
        checksum=Checksum("sha256", hashlib.sha256(content).hexdigest()),
        mtime=MTIME,
        queued=queued,
        request="archive-17",
        part="1/1",
        host="packrat",
        spool="01jcz0000000000000000000aa",
        started=time.time_ns() - 2 * SECOND,
        seconds=2.0,
        tries=1,
    )
    return replace(control, **facts)


def wire_of(control: ControlFile, attempt: int = 1) -> WireName:
    return WireName(instrument=control.instrument, id=control.id, attempt=attempt)


def contents(root: Path, *, without: str = "") -> dict[str, bytes]:
    paths = (path for path in sorted(root.rglob("*")) if path.is_file() or path.is_symlink())
    found = {str(path.relative_to(root)): path for path in paths}
    return {
        name: b"-> " + os.fsencode(os.readlink(path)) if path.is_symlink() else path.read_bytes()
        for name, path in found.items()
        if not without or not name.startswith(f"{without}/")
    }
