"""Directories below a root, opened one component at a time so that none is ever followed elsewhere."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
from typing import TYPE_CHECKING, Self

from archq import durable
from archq.checksum import Checksum, sum_file
from archq.errors import CannotCreateError, from_os_error

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sweeper.placement import Parts

_OPEN_AT_ONCE = 64  # directories: a batch may use more, and descriptors are few


class NotADirectoryOfOursError(OSError):
    """A component of the path is a file or a symbolic link."""


class Tree:
    """An archive, or the directory of what was set aside.  ``prepare`` is called with each new directory."""

    def __init__(self, root: str, *, prepare: Callable[[int], None] = lambda _directory: None) -> None:
        """Open ``root``, which has to exist: to make it could fill the disk below a missing mount."""
        self.root = root
        self._prepare = prepare
        self._opened: dict[Parts, int] = {}
        self._unsynced: set[Parts] = set()  # directories that hold new ones
        self._made: list[Parts] = []
        self._contents: dict[tuple[int, int, int, int, str], Checksum] = {}
        try:
            self.descriptor = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except FileNotFoundError as error:
            raise CannotCreateError(f"{root} does not exist: mount it, or make it with mkdir -p {root}") from error
        except OSError as error:
            raise from_os_error(error, f"open the directory {root}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._close_all()
        os.close(self.descriptor)

    def directory(self, parts: Parts, *, make: bool = False) -> int:
        """Return a descriptor of a directory below the root, good until the next call.

        Raise FileNotFoundError where it is missing and not to be made, NotADirectoryOfOursError where a component is a
        file or a link.
        """
        if not parts:
            return self.descriptor
        if parts not in self._opened:
            above = self.directory(parts[:-1], make=make)
            opened = self._open(above, parts, make=make)
            if len(self._opened) >= _OPEN_AT_ONCE:
                self._close_all()
            self._opened[parts] = opened
        return self._opened[parts]

    def _open(self, above: int, parts: Parts, *, make: bool) -> int:
        try:
            return durable.open_directory(parts[-1], directory=above)
        except FileNotFoundError:
            if not make:
                raise
        except OSError as error:
            if error.errno in {errno.ENOTDIR, errno.ELOOP}:
                path = os.path.join(self.root, *parts)
                raise NotADirectoryOfOursError(errno.ENOTDIR, "a file or a symbolic link", path) from error
            raise
        with contextlib.suppress(FileExistsError):
            os.mkdir(parts[-1], dir_fd=above)
            self._made.append(parts)
        opened = durable.open_directory(parts[-1], directory=above)
        if self._made[-1:] == [parts]:
            self._prepare(opened)
        self._unsynced.add(parts[:-1])
        return opened

    def sync(self, directories: Iterable[Parts], *, at_once: bool) -> None:
        """Return when the names in ``directories``, and of directories made since, are on stable storage."""
        unsynced = {*directories, *self._unsynced}
        if at_once:
            durable.sync_filesystem(self.descriptor)
        else:
            for parts in unsynced:
                durable.sync(self.directory(parts))
        self._unsynced.clear()

    def forget_empty(self) -> None:
        """Remove the directories that were made and then not needed."""
        while self._made:
            *above, name = parts = self._made.pop()
            with contextlib.suppress(OSError):
                if parts in self._opened:
                    os.close(self._opened.pop(parts))
                os.rmdir(name, dir_fd=self.directory(tuple(above)))

    def facts(self, parts: Parts, name: str) -> os.stat_result | None:
        """Return what lies under ``name``, itself and not what it points to; None: nothing."""
        try:
            return os.stat(name, dir_fd=self.directory(parts), follow_symlinks=False)
        except FileNotFoundError:
            return None

    def holds(self, parts: Parts, name: str, checksum: Checksum, size: int) -> bool:
        """Say whether the file ``name`` has this content; it is read only where its size fits."""
        facts = self.facts(parts, name)
        if facts is None or not stat.S_ISREG(facts.st_mode) or facts.st_size != size:
            return False
        key = (facts.st_dev, facts.st_ino, facts.st_size, facts.st_mtime_ns, checksum.algorithm)
        if key not in self._contents:
            self._contents[key] = self._sum(parts, name, checksum.algorithm)
        return self._contents[key] == checksum

    def _sum(self, parts: Parts, name: str, algorithm: str) -> Checksum:
        descriptor = durable.open_unfollowed(name, directory=self.directory(parts))
        try:
            return sum_file(descriptor, algorithm)[1]
        finally:
            os.close(descriptor)

    def _close_all(self) -> None:
        while self._opened:
            os.close(self._opened.popitem()[1])


class Forest:
    """Trees by their roots, opened when they are first asked for."""

    def __init__(self, *trees: Tree) -> None:
        """Begin with some that are open already, and that whoever opened them closes."""
        self._trees = {tree.root: tree for tree in trees}
        self._stack = contextlib.ExitStack()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def __call__(self, root: str) -> Tree:
        """Return the directories below ``root``; raise ArchqError as :class:`Tree` does."""
        if root not in self._trees:
            self._trees[root] = self._stack.enter_context(Tree(root))
        return self._trees[root]


def free_space(directory: int) -> int:
    """Return how many bytes may still be written in the filesystem of an open directory."""
    facts = os.fstatvfs(directory)
    return (facts.f_bfree if os.geteuid() == 0 else facts.f_bavail) * facts.f_frsize
