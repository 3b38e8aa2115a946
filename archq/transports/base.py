"""What we ask of any transport, and what it promises.

A transport is small and dumb: it does one thing at a time and says what went wrong.  When to try again, in which order
files go, what is resumed and how long it may take is decided above it, once for all protocols.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Protocol

from archq.errors import ArchqError, ExitStatus

if TYPE_CHECKING:
    from typing import BinaryIO

    from archq.transports.pipeline import Pipeline


class Scope(StrEnum):
    """What an error belongs to, and so what has to wait for it."""

    FILE = "file"
    REQUEST = "request"
    QUEUE = "queue"


class Stage(StrEnum):
    """What a connection goes through before the first file, in this order; not every protocol has each."""

    RESOLVE = "resolve"
    CONNECT = "connect"
    CERTIFICATE = "certificate"
    HOST_KEY = "host key"
    LOG_IN = "log in"
    DIRECTORY = "directory"


class Watch:
    """Is told how a connection comes about; this one does not care."""

    def begin(self, stage: Stage) -> None:
        """Take note that what came before is done, and that ``stage`` begins."""

    def found(self, fact: str) -> None:
        """Take note of what the current stage has found."""


UNWATCHED = Watch()


class TransferError(ArchqError):
    """A transfer failed; the two kinds of it answer whether a later try may work."""

    def __init__(self, message: str, scope: Scope = Scope.FILE) -> None:
        super().__init__(message)
        self.scope = scope


class TemporaryTransferError(TransferError):
    """A later try may work."""

    status = ExitStatus.TEMPORARY


class PermanentTransferError(TransferError):
    """The same try cannot work before somebody has changed something."""

    status = ExitStatus.REFUSED


class NotPermittedTransferError(PermanentTransferError):
    """The account may not do this, or the server cannot: an upload-only drop box is no error."""


class Transport(Protocol):
    """A remote directory that files can be put into.

    Raises TemporaryTransferError when a later try may work, PermanentTransferError when it cannot; nothing else
    escapes, except what reading ``source`` raises.  Names are single components in the queue's directory.
    """

    label: str  # for messages; never holds a password

    def put(self, source: BinaryIO, name: str, *, offset: int = 0) -> None:
        """Send ``source`` from where it stands to its end, to ``name``.

        At ``offset`` 0 the file is made new: where the protocol can tell, a name that is taken is refused and its
        content untouched; FTP servers may refuse, replace or rename.  At another offset the file is there with at least
        so many bytes, and what follows them is replaced.  Once this returns, the server has acknowledged every byte; on
        an error a part may be left behind.
        """

    def size(self, name: str) -> int | None:
        """Return the size of ``name`` in bytes, None if it is not there; NotPermittedTransferError: cannot say."""

    def rename(self, old: str, new: str) -> None:
        """Rename ``old``.  Callers use fresh names only: FTP's RNTO may replace."""

    def remove(self, name: str) -> None:
        """Remove ``name``; already gone is fine."""

    def names(self) -> list[str]:
        """Return the names in the directory, of visible files at least."""

    def modified(self, name: str) -> float:
        """Return when ``name`` was changed last by the clock there, in seconds since 1970."""

    def pipeline(self) -> Pipeline:
        """Return a way to ask several things before the first is answered, where the protocol allows it."""

    def may_rename(self) -> bool | None:
        """Return whether this account can rename, None if that cannot be told without leaving something behind."""

    def is_alive(self) -> bool:
        """Return whether the other side still keeps the session, after a while without use.  Never raises."""

    def close(self) -> None:
        """End the session.  Never raises."""
