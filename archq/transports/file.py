"""Files put into a directory of this machine, or of one that it mounts."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from archq import durable
from archq.checksum import write_all
from archq.transports.base import UNWATCHED, Scope, Stage
from archq.transports.faults import told
from archq.transports.pipeline import AtOnce

if TYPE_CHECKING:
    from typing import BinaryIO

    from archq.transports.base import Watch

_CHUNK = 1 << 20  # bytes
_CLOSED = -1  # no descriptor: the number of a closed one may be somebody else's by now


class FileTransport:
    """A directory; what is put into it is on stable storage, name included, when the call returns."""

    def __init__(self, path: str, watch: Watch = UNWATCHED) -> None:
        """Open the directory ``path``; raise TransferError if that cannot be done."""
        self.label = f"file:{path}"
        watch.begin(Stage.DIRECTORY)
        with told(f"{self.label}: cannot enter the directory", Scope.QUEUE):
            self._directory = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)

    def pipeline(self) -> AtOnce:
        """Return what does one thing after the other."""
        return AtOnce(self)

    def put(self, source: BinaryIO, name: str, *, offset: int = 0) -> None:
        """Send ``source`` as :class:`~archq.transports.base.Transport` says."""
        with told(f"{self.label}: cannot write {name}"):
            target = self._opened(name, offset)
            try:
                while chunk := source.read(_CHUNK):
                    write_all(target, chunk)
                durable.sync(target)
            finally:
                os.close(target)
            durable.sync(self._directory)

    def _opened(self, name: str, offset: int) -> int:
        if not offset:
            return durable.create(name, 0o640, directory=self._directory)
        target = os.open(name, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=self._directory)
        os.ftruncate(target, offset)
        os.lseek(target, offset, os.SEEK_SET)
        return target

    def size(self, name: str) -> int | None:
        """Return the size of ``name`` in bytes, None if it is not there."""
        with told(f"{self.label}: cannot look at {name}"):
            try:
                return os.stat(name, dir_fd=self._directory, follow_symlinks=False).st_size
            except FileNotFoundError:
                return None

    def rename(self, old: str, new: str) -> None:
        """Rename ``old``; the new name is durable, and never replaces another."""
        with told(f"{self.label}: cannot rename {old}"):
            durable.rename_new(old, new, source_directory=self._directory, target_directory=self._directory)
            durable.sync(self._directory)

    def remove(self, name: str) -> None:
        """Remove ``name``; already gone is fine."""
        with told(f"{self.label}: cannot remove {name}"), contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self._directory)

    def names(self) -> list[str]:
        """Return the names in the directory."""
        with told(f"{self.label}: cannot list the directory"):
            return os.listdir(self._directory)

    def modified(self, name: str) -> float:
        """Return when ``name`` was changed last, in seconds since 1970: a file server has a clock of its own."""
        with told(f"{self.label}: cannot look at {name}"):
            return os.stat(name, dir_fd=self._directory, follow_symlinks=False).st_mtime

    def may_rename(self) -> bool | None:
        """Return whether this directory lets us rename: whoever may write it may."""
        return os.access(".", os.W_OK | os.X_OK, dir_fd=self._directory)

    def is_alive(self) -> bool:
        """Return that a directory does not go away."""
        return True

    def close(self) -> None:
        """Close the directory."""
        if self._directory != _CLOSED:
            os.close(self._directory)
        self._directory = _CLOSED
