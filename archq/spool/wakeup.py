"""A FIFO through which commands wake a queue's shipper, as Postfix's and qmail's triggers do.

What is read from it only says where to look: the spool is the truth, and a wake-up may be lost.
"""

from __future__ import annotations

import errno
import os

from archq.light import dataclass, suppress
from archq.spool import RequestId, Spool

_READ = 65_536  # bytes: a pipe's whole content
_NEARLY_FULL = 60_000  # bytes: from here on the next call may have found no room, as pages of a pipe are not filled up


@dataclass(frozen=True, slots=True)
class Call:
    """A request to look at: a new one, or one that was changed."""

    request: RequestId
    is_new: bool


def wake(spool: Spool, queue: str, request: RequestId | None = None, *, is_new: bool = False) -> bool:
    """Tell the queue's shipper to look at ``request``, or at the queue itself; return whether one listens."""
    try:
        descriptor = os.open(spool.queue_place(queue, "wake"), os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENOENT):
            return False
        raise
    try:
        with suppress(BlockingIOError):  # full: whoever reads it sees that, and looks at everything
            os.write(descriptor, f"{'+' * is_new}{request or ''}\n".encode())
    finally:
        os.close(descriptor)
    return True


class Wakeup:
    """The shipper's end of the FIFO."""

    def __init__(self, spool: Spool, queue: str) -> None:
        """Open the FIFO, made if missing.  Open for writing too, so that it does not end when a writer leaves."""
        path = spool.queue_place(queue, "wake")
        with suppress(FileExistsError):
            os.mkfifo(path)
            os.chmod(path, spool.file_mode)
        self.has_missed = False  # whether calls may have found no room before the last read
        self._descriptor = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def fileno(self) -> int:
        """Return the descriptor to wait for."""
        return self._descriptor

    def read(self) -> list[Call]:
        """Return what was called since the last time."""
        try:
            content = os.read(self._descriptor, _READ)
        except BlockingIOError:
            return []
        self.has_missed = len(content) > _NEARLY_FULL
        lines = content.decode("ascii", "replace").split("\n")
        found = ((RequestId.parse(line.removeprefix("+")), line.startswith("+")) for line in lines)
        return [Call(request, is_new) for request, is_new in found if request]

    def ring(self) -> None:
        """Make the FIFO readable: whoever waits for it looks up.  May be called from a signal handler."""
        with suppress(BlockingIOError):
            os.write(self._descriptor, b"\n")

    def close(self) -> None:
        """Stop listening."""
        os.close(self._descriptor)
