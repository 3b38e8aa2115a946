"""The directory in which a tour happens: whose it is, its configuration, and the environment of its commands."""

from __future__ import annotations

import json
import os
import shutil
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

from archq import durable
from archq.errors import CannotCreateError, TemporaryError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from archq.demo.servers import DemoServer

MARKER = ".archq-demo"  # tells our directory from a user's, and is locked while a tour runs in it

# Names below the directory, as the commands of the tour use them.
CONFIG = "archq.toml"
INSTRUMENTS = "instruments"
ARCHIVE = "archive"
SITE = "site"
SPOOL = "spool"

# What a caller's environment may say that would lead a command out of the directory, or to another result.
LEFT_OUT = ("LPDEST", "PRINTER", "SSH_AUTH_SOCK")

CONFIGURATION = """\
default = "archive"
spool = {spool}
autostart = false          # the tour ships by hand

[queue.archive]            # an upload-only account: it may store a name once, and nothing else
url = {ftp_url}
password_file = {ftp_password}
instruments = ["minicam", "hectospec"]
rate_limit = "{rate_limit}"      # loopback is faster than any mountain's link

[queue.spectra]            # an account that may rename, so files appear whole
url = {sftp_url}
password_file = {sftp_password}
known_hosts = {known_hosts}
account = "full"
instrument = "hectospec"
rate_limit = "{rate_limit}"

[instrument.minicam]
directory = {minicam}
zone = "MST"
rollover = "12:00"

[instrument.hectospec]
directory = {hectospec}
aliases = ["spec"]
zone = "MST"
rollover = "12:00"

[sweeper]
incoming = {incoming}
rejected = {rejected}
"""


@contextmanager
def cleared(directory: Path) -> Iterator[Path]:
    """Hold ``directory``, empty but for the marker that makes it ours; what an earlier tour left there is removed.

    Raise CannotCreateError if something else is there, TemporaryError if another tour runs in it.
    """
    if not _is_ours(directory):
        raise CannotCreateError(
            f"cannot make the demonstration in {directory}: it is in use, and not by an earlier demonstration "
            f"(it holds no {MARKER}); choose another place with --directory"
        )
    directory.mkdir(parents=True, exist_ok=True)
    try:
        with durable.locked(str(directory / MARKER), wait=False):
            _empty(directory)
            yield directory.resolve()
    except BlockingIOError as error:
        raise TemporaryError(f"another archq demo runs in {directory}: wait for its end, or use --directory") from error


def environment(directory: Path) -> dict[str, str]:
    """Return the caller's environment, but with every place where a command might write below ``directory``."""
    kept = {name: value for name, value in os.environ.items() if name not in LEFT_OUT}
    home = directory / "home"
    places = {
        "HOME": home,
        "XDG_CONFIG_HOME": home / ".config",
        "XDG_STATE_HOME": home / ".local/state",
        "XDG_CACHE_HOME": home / ".cache",
        "XDG_RUNTIME_DIR": home / ".run",
        "TMPDIR": home / "tmp",
    }
    for place in places.values():
        place.mkdir(parents=True, mode=0o700, exist_ok=True)
    search = os.pathsep.join([os.path.dirname(sys.executable), kept.get("PATH", os.defpath)])
    own = {"ARCHQ_CONFIG": str(directory / CONFIG), "PATH": search}
    return kept | {name: str(place) for name, place in places.items()} | own


def configure(directory: Path, ftp: DemoServer, sftp: DemoServer, *, rate_limit: str) -> None:
    """Write the configuration and the password files that it names."""
    for server in (ftp, sftp):
        durable.write_new(str(_password_file(directory, server)), f"{server.password}\n".encode())
    values = {
        "spool": directory / SPOOL,
        "ftp_url": ftp.url,
        "ftp_password": _password_file(directory, ftp),
        "sftp_url": sftp.url,
        "sftp_password": _password_file(directory, sftp),
        "known_hosts": sftp.known_hosts,
        "minicam": directory / ARCHIVE / "ARCHMINICAM",
        "hectospec": directory / ARCHIVE / "hectospec",
        "incoming": ftp.incoming,
        "rejected": directory / SITE / "rejected",
    }
    # A JSON string is a TOML string, too.
    quoted = {key: json.dumps(str(value), ensure_ascii=False) for key, value in values.items()}
    (directory / CONFIG).write_text(CONFIGURATION.format(**quoted, rate_limit=rate_limit))


def _password_file(directory: Path, server: DemoServer) -> Path:
    return directory / f"{server.scheme}.password"


def _is_ours(directory: Path) -> bool:
    if directory.is_symlink() or (directory.exists() and not directory.is_dir()):
        return False
    return not directory.exists() or (directory / MARKER).is_file() or not any(directory.iterdir())


def _empty(directory: Path) -> None:
    for path in directory.iterdir():
        if path.name == MARKER:
            continue
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
