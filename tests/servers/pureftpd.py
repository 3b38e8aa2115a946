"""Pure-FTPd: an anonymous drop box that renames what it has already, and a full account."""

from __future__ import annotations

import functools
import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.servers import debian
from tests.servers.process import (
    HOST,
    PASSIVE_PORTS,
    PASSWORD,
    PASSWORD_HASH,
    UPLOADER,
    Daemon,
    Kind,
    RunningServer,
    UnavailableError,
    free_port,
    in_url,
    require_root,
    served_directory,
    uploader,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# Users and their homes are looked up in fixed places, and so is a directory below /run: the server
# sees its own of either.  All of /etc is covered, as a file alone would come to light again as soon as
# somebody replaces it: useradd does, and the mount over the old file goes with that.
OWN_FILES = ("unshare", "--mount", "--propagation", "private", "sh", "-c")
MOUNT_AND_RUN = 'mount --bind "$0" /etc && mount -t tmpfs none /run && exec "$@"'

# No look-up of names; no CHMOD; files 0600.
SETTINGS = ("-H", "-R", "-U", "177:077", "-p", f"{PASSIVE_PORTS[0]}:{PASSIVE_PORTS[1]}")
ACCOUNTS = {
    # Authenticated users only, confined to their homes.
    "full": ("-E", "-A", "-l", "unix"),
    # Anonymous only, who cannot fetch uploads, delete them or write over them.
    "upload-only": ("-e", "-s", "-K", "-r"),
}
USERS = {"full": UPLOADER, "upload-only": "ftp"}
# One log only: given two, this version writes neither.
LOG_FORMATS = {"full": "xferlog", "upload-only": "clf"}


@functools.cache
def require_own_files() -> None:
    """Raise UnavailableError where root may not mount, as in many containers."""
    done = subprocess.run((*OWN_FILES, MOUNT_AND_RUN, "/etc", "true"), capture_output=True, text=True)
    if done.returncode:
        raise UnavailableError(f"pure-ftpd needs a mount namespace of its own: {done.stderr.strip()}")


@contextmanager
def running(kind: Kind, *, host: str = HOST) -> Iterator[RunningServer]:
    """Serve an account of ``kind`` by Pure-FTPd; the drop box takes any password."""
    require_root("Pure-FTPd")
    user = uploader()
    require_own_files()
    package = debian.fetched("pure-ftpd")
    with served_directory(user) as home:
        port = free_port()
        name, log = USERS[kind], home / LOG_FORMATS[kind]
        etc = home / "etc"
        etc.mkdir()
        (etc / "passwd").write_text(f"{name}:{PASSWORD_HASH}:{user.pw_uid}:{user.pw_gid}::{home}/root:/bin/sh\n")
        listening = ("-S", f"{host},{port}", "-g", f"{home}/pid", "-O", f"{LOG_FORMATS[kind]}:{log}")
        program = (package.program("usr/sbin/pure-ftpd"), *listening, *SETTINGS, *ACCOUNTS[kind])
        command = (*OWN_FILES, MOUNT_AND_RUN, str(etc), *program)
        with Daemon(command, port=port, output=home / "output", environment=package.environment, host=host) as daemon:
            yield RunningServer(
                url=f"ftp://{name}@{in_url(host)}:{port}/incoming",
                kind=kind,
                incoming=home / "root" / "incoming",
                uid=user.pw_uid,
                gid=user.pw_gid,
                daemon=daemon,
                password=PASSWORD,
                logs={LOG_FORMATS[kind]: log},
            )
