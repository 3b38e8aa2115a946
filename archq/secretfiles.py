"""Files that nobody else may read: looked at on the open descriptor, so that nothing changes between look and use."""

from __future__ import annotations

import os
import stat

from archq.errors import ConfigurationError, from_os_error

_READ = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


def read_private(path: str, limit: int) -> bytes:
    """Return the first ``limit`` bytes of a file that only its owner, this account or root, may read.

    A link may be followed: what counts are the owner and the mode of what was opened.  Raise ConfigurationError.
    """
    try:
        with open(os.open(path, _READ), "rb") as file:
            _refuse_public(os.fstat(file.fileno()), path)
            return file.read(limit)
    except OSError as error:
        raise ConfigurationError(f"{from_os_error(error, f'read {path}')}: is it there, for this account?") from error


def _refuse_public(status: os.stat_result, path: str) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise ConfigurationError(f"{path} is not a regular file: name the file that holds the secret")
    if status.st_uid not in (0, os.geteuid()):
        raise ConfigurationError(
            f"{path} belongs to another account (uid {status.st_uid}), which may change it: "
            f"chown it to uid {os.geteuid()} or to root"
        )
    if status.st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise ConfigurationError(
            f"{path} may be read by others (mode {stat.S_IMODE(status.st_mode):04o}): chmod 600 {path}"
        )
