"""Every error raised on purpose, with the exit status that it becomes.

The statuses follow BSD's sysexits(3) where it has one; 2, 3 and 130 follow shells and this project's own contract.
"""

from __future__ import annotations

import errno
import os

from archq.light import IntEnum

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import ClassVar


class ExitStatus(IntEnum):
    """What the three programs say when they end."""

    DONE = 0
    USAGE = 2
    SOME_FAILED = 3
    MALFORMED = 65
    NO_INPUT = 66
    REFUSED = 69
    BUG = 70
    CANNOT_CREATE = 73
    INPUT_OUTPUT = 74
    TEMPORARY = 75
    NOT_PERMITTED = 77
    CONFIGURATION = 78
    INTERRUPTED = 130


class ArchqError(Exception):
    """Something a user can act on: the message says what, where, why and what to do, in one line."""

    status: ClassVar[ExitStatus] = ExitStatus.BUG


class UsageError(ArchqError):
    """The words of a command are wrong."""

    status = ExitStatus.USAGE


class SomeFailedError(ArchqError):
    """Some of several things failed; the rest was done."""

    status = ExitStatus.SOME_FAILED


class MalformedError(ArchqError):
    """Data that should have a form do not have it."""

    status = ExitStatus.MALFORMED


class NoInputError(ArchqError):
    """What should be read is not there."""

    status = ExitStatus.NO_INPUT


class RefusedError(ArchqError):
    """The destination will not take this, now or later."""

    status = ExitStatus.REFUSED


class CannotCreateError(ArchqError):
    """An output cannot be made."""

    status = ExitStatus.CANNOT_CREATE


class InputOutputError(ArchqError):
    """Reading or writing failed."""

    status = ExitStatus.INPUT_OUTPUT


class TemporaryError(ArchqError):
    """A later try may work."""

    status = ExitStatus.TEMPORARY


class NotPermittedError(ArchqError):
    """The account may not do this."""

    status = ExitStatus.NOT_PERMITTED


class ConfigurationError(ArchqError):
    """The configuration, or what it points to, has to be mended first."""

    status = ExitStatus.CONFIGURATION


DISK_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})

_BY_ERRNO: dict[int, type[ArchqError]] = {
    errno.ENOENT: NoInputError,
    errno.ENOTDIR: NoInputError,
    errno.EISDIR: NoInputError,
    errno.ELOOP: NoInputError,
    errno.ENXIO: NoInputError,  # what has to be a regular file is a socket, a device or a FIFO
    errno.EACCES: NotPermittedError,
    errno.EPERM: NotPermittedError,
    errno.EROFS: CannotCreateError,
    errno.EEXIST: CannotCreateError,
    errno.ENOSPC: TemporaryError,
    errno.EDQUOT: TemporaryError,
    errno.EFBIG: TemporaryError,
    errno.EMFILE: TemporaryError,
    errno.ENFILE: TemporaryError,
    errno.ENOMEM: TemporaryError,
    errno.EAGAIN: TemporaryError,
    errno.ESTALE: TemporaryError,
}


def at_open_file(error: OSError, descriptor: int) -> OSError:
    """Return ``error`` with the name of the open file that it is about, where that is known (proc_pid_fd(5))."""
    try:
        return OSError(error.errno, error.strerror, os.readlink(f"/proc/self/fd/{descriptor}"))
    except OSError:
        return error


def named(error: OSError, name: str) -> OSError:
    """Return ``error`` with the name of what it is about, which the system leaves out of many."""
    has_name = isinstance(error.filename, str | bytes)  # and not a descriptor's number
    return error if has_name else OSError(error.errno, error.strerror, name)


def from_os_error(error: OSError, what: str) -> ArchqError:
    """Return the error that ``error`` is for a user; ``what`` says what was tried ("read the source x.fits")."""
    kind = _BY_ERRNO.get(error.errno or 0, InputOutputError)
    return kind(f"cannot {what}: {error.strerror or error}")
