"""Claims: arrivals taken out of everybody's reach, and the private work place in which they lie meanwhile.

::

    INCOMING/.archq-work/           one for all sweepers of this directory
        UID/                        0700, one for each sweeper's account
            ballast                 room that is given up when the disk is full
            HOST~BOOT~…~SERIAL/     one claim: a process and what it is at work on
                minicam.….1.df .cf  an arrival, taken by rename: exactly one of many sweepers gets it
                temporaries.N       where in the archive this process makes temporary files, and how it names them
                intents.N           what is about to be published and logged (see sweeper.journal)
                minicam.….1.rejected/   an arrival that is being set aside
                minicam.….1.owed        a command to be run for a file that was filed (see sweeper.hooks)

The claim's directory is touched while its process lives: its timestamp is the sign of life for other machines.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from dataclasses import dataclass, field, replace
from itertools import count
from typing import TYPE_CHECKING, Self

from archq import durable
from archq.errors import ConfigurationError
from archq.instants import SECOND
from archq.names import parse_wire_name
from sweeper.hooks import OWED
from sweeper.owner import Owner, is_dead, parse_owner, this_process
from sweeper.tree import free_space

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from archq.names import WireName
    from sweeper.incoming import Incoming

WORK = ".archq-work"
REJECTED = ".archq-rejected"
SET_ASIDE = ".rejected"  # ends the name of a directory that will be moved to where rejected arrivals go

BALLAST = "ballast"
_BALLAST = 4 << 20  # bytes: as much as the records of some batches

_serials = count(1)
_busy: set[str] = set()  # paths of the claims that this process works on now

_BEAT = 60.0  # seconds between two signs of life


class WorkPlace:
    """The private directory of this account, beside the arrivals."""

    def __init__(self, incoming: Incoming, path: str | None = None) -> None:
        """Open it, and make it where it is missing; raise ConfigurationError where it cannot serve."""
        self.incoming = incoming
        self.path, self.descriptor = open_private(incoming, path or os.path.join(incoming.path, WORK), "work")
        self._owner = this_process()
        self._keep_ballast()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def _keep_ballast(self) -> None:
        """Hold some room while there is enough, and give it up when there is none.

        A claim needs a little: without it a full disk of arrivals could never be swept.
        """
        free = free_space(self.descriptor)
        if free < _BALLAST // 4:
            durable.remove(BALLAST, directory=self.descriptor)
        elif free > _BALLAST * 8:
            with contextlib.suppress(OSError):
                descriptor = durable.create(BALLAST, directory=self.descriptor)
                try:
                    os.posix_fallocate(descriptor, 0, _BALLAST)
                finally:
                    os.close(descriptor)

    def now(self) -> int:
        """Return the file server's time, in nanoseconds since 1970: what it stamps on a file touched now."""
        with durable.naming(self.descriptor):
            os.utime(self.descriptor)
            return os.fstat(self.descriptor).st_mtime_ns

    def new_claim(self) -> Claim:
        """Make a claim that holds nothing yet."""
        owner = self._next_owner()
        os.mkdir(str(owner), 0o700, dir_fd=self.descriptor)
        return self._opened(owner)

    def take_over_dead(self) -> Iterator[Claim]:
        """Yield the claims whose process has died; each is ours from now on, and nobody else's."""
        for name in durable.names_in(self.descriptor):
            if (owner := parse_owner(name)) and self._is_dead(owner):
                successor = self._next_owner()
                with contextlib.suppress(FileNotFoundError):  # another one was faster
                    durable.rename_new(
                        name, str(successor), source_directory=self.descriptor, target_directory=self.descriptor
                    )
                    yield self._opened(successor)

    def holds(self, wire: WireName) -> bool:
        """Say whether any claim of this account holds the control file of ``wire`` just now."""
        return any(
            os.path.lexists(os.path.join(self.path, name, str(wire.control)))
            for name in durable.names_in(self.descriptor)
        )

    def _is_dead(self, owner: Owner) -> bool:
        if replace(owner, serial=self._owner.serial) == self._owner:
            return os.path.join(self.path, str(owner)) not in _busy
        try:
            seen = os.stat(str(owner), dir_fd=self.descriptor, follow_symlinks=False).st_mtime_ns
        except FileNotFoundError:
            return False
        return is_dead(owner, (self.now() - seen) / SECOND)

    def _opened(self, owner: Owner) -> Claim:
        descriptor = durable.open_directory(str(owner), directory=self.descriptor)
        _busy.add(os.path.join(self.path, str(owner)))
        return Claim(name=str(owner), place=self, descriptor=descriptor)

    def _next_owner(self) -> Owner:
        return replace(self._owner, serial=next(_serials))


@dataclass(slots=True)
class Claim:
    """The arrivals that one process is at work on."""

    name: str
    place: WorkPlace
    descriptor: int
    _beaten: float = field(default_factory=time.monotonic)
    _owing: bool = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Close it, and remove it if nothing is left in it; what is left is found by the next sweeper."""
        os.close(self.descriptor)
        if not self._owing:
            release(os.path.join(self.place.path, self.name))

    def take(self, wire: WireName, place: str = "", *, control: bool = True, data: bool = True) -> bool:
        """Take an arrival out of the incoming directory; return whether it is ours.

        Who gets the control file has won: the data file is taken second.
        """
        with self.place.incoming.opened(place) as directory:
            if control and not self._take_one(str(wire.control), directory):
                return False
            if data and not self._take_one(str(wire.data), directory):
                if control:
                    self.put_back(wire)
                return False
        return True

    def _take_one(self, name: str, directory: int) -> bool:
        try:
            return durable.take(name, source_directory=directory, target_directory=self.descriptor)
        except OSError as error:
            raise _cannot_claim(error, self.place) from error

    def put_back(self, wire: WireName) -> None:
        """Give an arrival back to the incoming directory, its data file first; raise FileExistsError if it is taken."""
        for name in (str(wire.data), str(wire.control)):
            with contextlib.suppress(FileNotFoundError):
                durable.rename_new(
                    name, name, source_directory=self.descriptor, target_directory=self.place.incoming.descriptor
                )

    def names(self) -> frozenset[str]:
        """Return all names that lie here."""
        return frozenset(durable.names_in(self.descriptor))

    def has(self, name: str) -> bool:
        """Say whether ``name`` lies here."""
        try:
            os.stat(name, dir_fd=self.descriptor, follow_symlinks=False)
        except FileNotFoundError:
            return False
        return True

    def set_aside(self, wire: WireName, reason: str) -> str:
        """Put an arrival and the reason for its refusal into a directory of their own; return the directory's name.

        Nothing of it is opened or changed.  Doing it again is fine.
        """
        name = f"{_base(wire)}{SET_ASIDE}"
        with contextlib.suppress(FileExistsError):
            os.mkdir(name, 0o750, dir_fd=self.descriptor)
        with durable.opened_directory(name, directory=self.descriptor) as aside:
            for file in (str(wire.data), str(wire.control)):
                if self.has(file):
                    durable.take(file, source_directory=self.descriptor, target_directory=aside)
            durable.remove("reason", directory=aside)
            durable.write_new("reason", f"{reason}\n".encode("utf-8", "backslashreplace"), 0o640, directory=aside)
            durable.sync(aside)
        return name

    def undo_set_aside(self) -> None:
        """Take arrivals out of the directories that were to be moved away, but have not been."""
        for name in durable.names_in(self.descriptor):
            if name.endswith(SET_ASIDE):
                with durable.opened_directory(name, directory=self.descriptor) as aside:
                    for file in durable.names_in(aside):
                        if parse_wire_name(file):
                            durable.take(file, source_directory=aside, target_directory=self.descriptor)
                    durable.remove("reason", directory=aside)
                os.rmdir(name, dir_fd=self.descriptor)

    def owing(self) -> list[str]:
        """Return this claim's path, if commands are owed in it: it is then in use until :func:`release` is called."""
        if not any(name.endswith(OWED) for name in durable.names_in(self.descriptor)):
            return []
        self._owing = True
        return [os.path.join(self.place.path, self.name)]

    def wires(self) -> list[WireName]:
        """Return the arrivals of which something lies here."""
        found = {wire.data for name in durable.names_in(self.descriptor) if (wire := parse_wire_name(name))}
        return sorted(found)

    def remove(self, files: Iterable[WireName]) -> None:
        """Remove files of arrivals that have been settled; already gone is fine."""
        durable.remove_all([str(file) for file in files], directory=self.descriptor)

    def beat(self) -> None:
        """Give a sign of life, if the last one is long enough ago; cheap enough for the innermost loop."""
        now = time.monotonic()
        if now - self._beaten > _BEAT:
            self._beaten = now
            with contextlib.suppress(FileNotFoundError), durable.naming(self.descriptor):
                os.utime(self.descriptor)

    def sync(self) -> None:
        """Return when it is on stable storage that these arrivals are here, and no longer where they were."""
        durable.sync(self.place.descriptor)
        durable.sync(self.descriptor)
        durable.sync(self.place.incoming.descriptor)


def release(path: str) -> None:
    """Take note that this process no longer works on the claim at ``path``: what is left in it is anybody's."""
    _busy.discard(path)
    with contextlib.suppress(OSError):
        os.rmdir(path)


def _base(wire: WireName) -> str:
    return str(wire).rpartition(".")[0]


def open_private(incoming: Incoming, path: str, purpose: str) -> tuple[str, int]:
    """Return path and descriptor of this account's own directory in the shared directory ``path``.

    It has to lie on the filesystem of the incoming directory: what is claimed, or set aside, is renamed and not copied.
    Raise ConfigurationError with the remedy where it cannot serve.
    """
    own = os.path.join(path, str(os.geteuid()))
    try:
        _make_shared(path, incoming)
        with durable.opened_directory(path) as shared:
            with contextlib.suppress(FileExistsError):
                os.mkdir(str(os.geteuid()), 0o700, dir_fd=shared)
                durable.sync(shared)
            descriptor = durable.open_directory(str(os.geteuid()), directory=shared)
    except OSError as error:
        raise ConfigurationError(
            f"cannot use the {purpose} directory {own}: {error.strerror}; let this account write {path}, "
            f"or name another place on the same filesystem as {incoming.path} in [sweeper] {purpose}"
        ) from error
    try:
        _refuse_foreign(descriptor, own, incoming, purpose)
    except ConfigurationError:
        os.close(descriptor)
        raise
    return own, descriptor


def _make_shared(path: str, incoming: Incoming) -> None:
    """Make the directory that all sweepers share.

    Where a group sweeps (setgid incoming) each member makes its own directory in it, and cannot rename another's.
    """
    facts = os.fstat(incoming.descriptor)
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        return
    if os.path.dirname(path) != incoming.path:  # else a claim's sync does it, and not before what it took is safe
        durable.sync_directory(os.path.dirname(path))
    with durable.opened_directory(path) as made:
        if os.fstat(made).st_uid != os.geteuid():
            return  # not what was made just now: whoever owns the directory above has put another there
        if os.geteuid() == 0:
            os.fchown(made, facts.st_uid, facts.st_gid)
        os.fchmod(made, 0o3770 if facts.st_mode & 0o2020 == 0o2020 else 0o700)


def _refuse_foreign(descriptor: int, path: str, incoming: Incoming, purpose: str) -> None:
    facts = os.fstat(descriptor)
    if facts.st_uid != os.geteuid() or facts.st_mode & 0o077:
        raise ConfigurationError(
            f"the {purpose} directory {path} is not ours alone (owner {facts.st_uid}, mode {facts.st_mode & 0o7777:o}):"
            f" move it away, or chown {os.geteuid()} and chmod 700 it"
        )
    if facts.st_dev != os.fstat(incoming.descriptor).st_dev:
        raise _other_filesystem(path, incoming, purpose)


def _other_filesystem(path: str, incoming: Incoming, purpose: str) -> ConfigurationError:
    return ConfigurationError(
        f"the {purpose} directory {path} is not on the filesystem of {incoming.path}, so that nothing can be renamed "
        f"into it: name a place there in [sweeper] {purpose}"
    )


def _cannot_claim(error: OSError, place: WorkPlace) -> Exception:
    if error.errno == errno.EXDEV:
        return _other_filesystem(place.path, place.incoming, "work")
    if error.errno in {errno.EACCES, errno.EPERM}:
        return ConfigurationError(
            f"may not take files out of {place.incoming.path}: it has to be ours, or a group's (chmod 2770) of which "
            "this account is a member, and not sticky"
        )
    return error
