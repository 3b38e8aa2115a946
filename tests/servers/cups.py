"""CUPS: the system's own lp family, with a scheduler of its own whose printers write into files."""

from __future__ import annotations

import os
import subprocess
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import debian
from tests.servers.process import HOST, PATIENCE, Daemon, UnavailableError, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

SETTINGS = f"""\
Listen {HOST}:{{port}}
LogLevel info
Browsing No
WebInterface No
PreserveJobHistory No
DefaultAuthType None
<Location />
  Order allow,deny
  Allow all
</Location>
<Policy default>
  <Limit All>
    Order deny,allow
  </Limit>
</Policy>
"""
FILES = """\
ServerRoot {home}
ServerBin {home}/programs
DataDir {package}/usr/share/cups
CacheDir {home}/cache
StateDir {home}/state
RequestRoot {home}/requests
TempDir {home}/temporary
AccessLog {home}/access_log
ErrorLog {home}/error_log
PageLog {home}/page_log
Printcap {home}/printcap
"""
# CUPS runs it for each job: the device is a file, named by the printer.  The job's files follow five other words.
BACKEND = """\
#!/bin/sh
test $# -gt 0 || exit 0
shift 5
exec cat -- "$@" >> "${DEVICE_URI#keep:}"
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cups:
    """A scheduler that runs, and its clients."""

    home: Path
    package: debian.Unpacked
    variables: Mapping[str, str]  # of the environment, by which the clients find their libraries and the scheduler

    @property
    def programs(self) -> Path:
        """The directory of lp, lpstat and cancel."""
        return Path(self.package.program("usr/bin/lp")).parent

    def run(
        self, program: str, *words: str | os.PathLike[str], cwd: Path | None = None
    ) -> subprocess.CompletedProcess[bytes]:
        """Run a client of CUPS, found below usr/ and called by its name alone, with nothing on its standard input."""
        return subprocess.run(
            (os.path.basename(program), *words),
            executable=self.package.program(f"usr/{program}"),
            input=b"",
            cwd=cwd,
            capture_output=True,
            env={**os.environ, **self.variables},
            timeout=PATIENCE,
        )

    def add_printer(self, name: str) -> None:
        """Make a printer that accepts jobs and adds each to the file that :meth:`has_printed` reads."""
        target = self._target(name)
        target.touch()
        words = ("-p", name, "-E", "-v", f"keep:{target}", "-m", "raw")
        done = self.run("sbin/lpadmin", *words)
        if done.returncode:
            raise UnavailableError(f"lpadmin: {done.stderr.decode(errors='replace').strip()}")

    def has_printed(self, name: str, expected: bytes) -> bool:
        """Wait until the last that the printer wrote is ``expected``; raise TimeoutError if it never is."""
        wait_until(lambda: self._target(name).read_bytes().endswith(expected), f"{name} has printed {expected!r}")
        return True

    def _target(self, name: str) -> Path:
        return self.home / f"{name}.printed"


@contextmanager
def running() -> Iterator[Cups]:
    """Run a scheduler without printers."""
    package = debian.fetched("cups-daemon", "cups-client")
    with tempfile.TemporaryDirectory(prefix="archq-cups-", ignore_cleanup_errors=True) as directory:
        home = Path(directory)
        home.chmod(0o755)
        port = free_port()
        for name in ("cache", "state", "requests", "temporary"):
            (home / name).mkdir()
        make_programs(home / "programs", package.root / "usr/lib/cups")
        (home / "cupsd.conf").write_text(SETTINGS.format(port=port))
        (home / "cups-files.conf").write_text(FILES.format(home=home, package=package.root))
        words = ("-f", "-c", str(home / "cupsd.conf"), "-s", str(home / "cups-files.conf"))
        command = (package.program("usr/sbin/cupsd"), *words)
        variables = {name: package.environment[name] for name in ("LD_LIBRARY_PATH",)}
        variables |= {"CUPS_SERVER": f"{HOST}:{port}", "LC_ALL": "C", "HOME": str(home)}
        with Daemon(command, port=port, output=home / "output", environment=package.environment):
            yield Cups(home=home, package=package, variables=variables)


def make_programs(directory: Path, original: Path) -> None:
    """Fill ``directory`` with the scheduler's own helpers and with our backend."""
    (directory / "backend").mkdir(parents=True)
    for name in ("daemon", "notifier"):
        (directory / name).symlink_to(original / name)
    backend = directory / "backend" / "keep"
    backend.write_text(BACKEND)
    backend.chmod(0o700)  # not open to others, so it keeps the scheduler's own account
