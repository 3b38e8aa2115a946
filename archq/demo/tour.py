"""The tutorial run: a night's frames go down the whole line, by the commands that a user would type."""

from __future__ import annotations

import glob
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import textwrap
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from archq.checksum import Checksum, sum_file
from archq.console import complain
from archq.demo import stage
from archq.durable import open_unfollowed
from archq.errors import ConfigurationError, MalformedError
from archq.instants import format_instant

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date
    from pathlib import Path

LIBRARIES = ("astropy", "pyftpdlib")  # of the extra `demo`
WIDTH = 80  # columns of what we tell
RATE_LIMIT = "8MB/s"


@dataclass(frozen=True, slots=True, kw_only=True)
class _Guide:
    """Tells what happens and types the commands, in the tour's directory and environment."""

    directory: Path
    environment: Mapping[str, str]

    def tell(self, text: str) -> None:
        """Print ``text`` as a paragraph."""
        print("\n" + textwrap.fill(" ".join(text.split()), WIDTH), flush=True)

    def type(self, command: str) -> None:
        """Print ``command`` and run it, patterns replaced as a shell would; raise CalledProcessError if it fails."""
        print(f"\n$ {command}", flush=True)
        words = [word for pattern in shlex.split(command) for word in self._matching(pattern)]
        program = shutil.which(words[0], path=self.environment["PATH"])
        if not program:
            raise ConfigurationError(f"cannot find the program {words[0]}: install archq wholly, with its scripts")
        # What it prints goes where we print: a terminal shows progress, and a pipe gets plain text.
        subprocess.run(
            [program, *words[1:]], cwd=self.directory, env=self.environment, stdin=subprocess.DEVNULL, check=True
        )

    def _matching(self, pattern: str) -> Sequence[str]:
        if not glob.has_magic(pattern):
            return [pattern]
        return sorted(glob.glob(pattern, root_dir=self.directory)) or [pattern]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Copy:
    """What has to be the same at both ends of the line."""

    size: int  # bytes
    changed: int  # nanoseconds
    checksum: Checksum


def run_tour(directory: Path, *, binning: int = 1, rate_limit: str = RATE_LIMIT) -> int:
    """Take the tour in ``directory`` and return the exit status: 0, or that of the command which failed.

    Raise ConfigurationError where the extra's libraries are missing; CannotCreateError, TemporaryError for the
    directory.  ``binning`` makes frames smaller by its square.
    """
    _check_libraries()
    with stage.cleared(directory) as place:
        guide = _Guide(directory=place, environment=stage.environment(place))
        try:
            _guide_through(guide, binning, rate_limit)
        except subprocess.CalledProcessError as error:
            return _broken_off(error)
    return 0


def _guide_through(guide: _Guide, binning: int, rate_limit: str) -> None:
    # Imported here, because they need the extra's libraries.
    from archq.demo import frames
    from archq.demo.servers import FULL, UPLOAD_ONLY, ftp_server, sftp_server

    night = frames.latest_night(datetime.now(UTC))
    guide.tell(f"Two instruments observed in the night of {night}, and left their frames on their computer.")
    instruments = guide.directory / stage.INSTRUMENTS
    sources = {
        camera.name: frames.write_frames(camera, instruments, night, binning=binning)
        for camera in (frames.MINICAM, frames.HECTOSPEC)
    }
    site = guide.directory / stage.SITE
    site.mkdir()
    with ftp_server(site, account=UPLOAD_ONLY) as ftp, sftp_server(site, account=FULL) as sftp:
        stage.configure(guide.directory, ftp, sftp, rate_limit=rate_limit)
        _submit(guide, night)
        _ship(guide)
    _sweep(guide)
    _compare(guide, sources)
    _report(guide)


def _submit(guide: _Guide, night: date) -> None:
    minicam = f"{stage.INSTRUMENTS}/ARCHMINICAM/{night:%Y.%m%d}"
    guide.type(f"ls -l {minicam} {stage.INSTRUMENTS}/hectospec")
    guide.tell("The archive site runs an FTP and an SFTP server. The configuration has a queue for each:")
    guide.type(f"cat {stage.CONFIG}")
    guide.tell(
        """Submit minicam's frames to the first. As soon as the request id is printed, copies of all frames are safe in
        the spool, and the instrument may delete or overwrite its own."""
    )
    guide.type(f"archq submit -d archive -o inst=minicam,maxftp=60 -o observer=Lowell {minicam}/*.fits")
    guide.tell("Submit hectospec's to the second, bias and arc before the rest. This queue knows its instrument.")
    guide.type(f"archq submit -d spectra -q 80 -t 'bias and arc' {stage.INSTRUMENTS}/hectospec/spec.000[12].fits")
    guide.type(f"archq submit -d spectra {stage.INSTRUMENTS}/hectospec/spec.000[34].fits")
    guide.tell("Nothing has been sent yet.")
    guide.type("archq status")


def _ship(guide: _Guide) -> None:
    guide.tell(
        """A shipper takes them to the other side: each data file, then its control file with checksum, path, time and
        options. It usually runs as a service; here it runs once, until the queues are empty."""
    )
    guide.type("archq ship --once")
    guide.tell("Sent is not archived: the spool keeps the copies for a week, so that they can be sent again.")
    guide.type("archq status --all")


def _sweep(guide: _Guide) -> None:
    guide.tell("At the archive site the frames lie in the servers' incoming directory, under names unique for ever.")
    guide.type(f"ls {stage.SITE}/files/incoming")
    guide.tell(
        """A sweeper for each instrument, usually run by cron, verifies them and moves them to the archive, whose
        directories have to be there: a missing one may be a disk that is not mounted. It says nothing when all is
        well."""
    )
    guide.type(f"mkdir -p {stage.ARCHIVE}/ARCHMINICAM {stage.ARCHIVE}/hectospec")
    guide.type(f"sweeper -i minicam -d {stage.ARCHIVE}/ARCHMINICAM")
    guide.type(f"sweeper -i hectospec -d {stage.ARCHIVE}/hectospec")


def _compare(guide: _Guide, sources: Mapping[str, Sequence[Path]]) -> None:
    guide.tell(
        """Minicam's frames keep the name of the dated directory they came from; hectospec's had none, and are filed
        under the night in which they were submitted. Size, time and checksum are the sources':"""
    )
    print()
    for paths in sources.values():
        for source in paths:
            print(_archived_line(guide.directory, source), flush=True)


def _archived_line(directory: Path, source: Path) -> str:
    """Return a line about the one archived copy of ``source``; raise MalformedError if it is another or not there."""
    archived = list((directory / stage.ARCHIVE).glob(f"*/*/{source.name}"))
    copy = _copy(source)
    if [_copy(path) for path in archived] != [copy]:
        raise MalformedError(f"the archive in {directory} has no true copy of {source}: please report it")
    place = archived[0].relative_to(directory)
    return f"{place!s:<44} {copy.size:>9} {format_instant(copy.changed)} {str(copy.checksum)[:20]}…"


def _copy(path: Path) -> _Copy:
    descriptor = open_unfollowed(str(path))
    try:
        size, checksum = sum_file(descriptor)
        return _Copy(size=size, changed=os.fstat(descriptor).st_mtime_ns, checksum=checksum)
    finally:
        os.close(descriptor)


def _report(guide: _Guide) -> None:
    guide.tell("The transfer log has one line for each file, for programs and for grep. The last one of each:")
    guide.type(f"tail -n 1 {stage.ARCHIVE}/ARCHMINICAM/xferlogs/*.log")
    guide.type(f"tail -n 1 {stage.ARCHIVE}/hectospec/xferlogs/*.log")
    guide.tell("The FTP server kept its own log:")
    guide.type(f"grep -m 1 .df {stage.SITE}/xferlog")
    guide.tell("Reports take rates from the FTP server's log where there is one, else from the transfer log.")
    guide.type(f"logsum -i minicam -f {stage.SITE}/xferlog -z MST")
    guide.type("logsum -i spec -z MST")
    guide.tell("The same of all instruments as a page for a browser, which cron may make anew every ten minutes:")
    guide.type("logsum -i all -z MST --html report.html")
    if importlib.util.find_spec("matplotlib"):
        guide.tell("And as a picture, which takes pip install 'archq[plot]':")
        guide.type("logsum -i all -z MST --plot report.svg")
    guide.tell("Everything is still there. The servers have stopped; to look around, begin with")
    print(f"\n$ cd {shlex.quote(str(guide.directory))}; export ARCHQ_CONFIG=$PWD/{stage.CONFIG}\n$ archq status --all")


def _check_libraries() -> None:
    missing = [name for name in LIBRARIES if importlib.util.find_spec(name) is None]
    if missing:
        raise ConfigurationError(
            f"the demonstration needs {' and '.join(missing)}, not installed for {sys.executable}: "
            "pip install 'archq[demo]'"
        )


def _broken_off(error: subprocess.CalledProcessError) -> int:
    # A shell's convention for a command that a signal ended.
    status = error.returncode if error.returncode > 0 else 128 - error.returncode
    program = os.path.basename(error.cmd[0])
    complain("archq", f"the tour ends here: {program} failed with exit status {status}, as it says above")
    return status
