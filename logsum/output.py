"""Files that a report is written to: whole or not at all, since a web server may be reading them."""

from __future__ import annotations

import contextlib
import errno
import os
import stat

from archq import durable
from archq.errors import ArchqError, CannotCreateError, from_os_error

_READABLE = 0o644  # by the web server, whatever cron's umask is

_NO_PLACE = {errno.ENOENT, errno.ENOTDIR, errno.EISDIR, errno.ENAMETOOLONG}


def publish(path: str, content: bytes) -> None:
    """Put ``content`` where ``path`` is or leads to, keeping the mode of a file that was there."""
    target = os.path.realpath(path)
    try:
        with durable.opened_directory(os.path.dirname(target)) as directory:
            with contextlib.suppress(OSError):  # some file servers know no locks on directories
                durable.lock(directory)  # cron may have begun the next page before the last one was done
            durable.write_over(target, content, _mode_of(target))
    except OSError as error:
        raise _refusal(path, error) from error


def _mode_of(target: str) -> int:
    try:
        mode = os.stat(target).st_mode
    except FileNotFoundError:
        return _READABLE
    if not stat.S_ISREG(mode):  # renaming would do away with a device
        raise CannotCreateError(f"{target} is no regular file: give another name for the output")
    return stat.S_IMODE(mode)


def _refusal(path: str, error: OSError) -> ArchqError:
    if error.errno in _NO_PLACE:
        return CannotCreateError(f"cannot create {path}: {error.strerror}")
    return from_os_error(error, f"write {path}")
