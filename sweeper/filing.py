"""Making the file that will stand in the archive: copied and summed under a temporary name beside its place."""

from __future__ import annotations

import errno
import grp
import os
import pwd
import secrets
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from archq import durable
from archq.checksum import copy_and_sum, sum_file, write_all
from archq.errors import ConfigurationError
from archq.transferlog import DUPLICATE, SWEPT
from sweeper import journal
from sweeper.inspection import NO_REGULAR_FILE, Refusal, refused_content, refused_data
from sweeper.journal import Move

if TYPE_CHECKING:
    from archq.config import InstrumentSettings
    from sweeper.claim import Claim
    from sweeper.inspection import Letter
    from sweeper.journal import Intent
    from sweeper.placement import Parts
    from sweeper.tree import Tree

TEMPORARY = ".archq-"  # begins every temporary name in an archive


@dataclass(frozen=True, slots=True)
class Appearance:
    """How archived files and directories look.  Ids are None where they stay as the system makes them."""

    mode: int = 0o444
    directory_mode: int | None = None
    owner: int | None = None
    group: int | None = None

    def give_file(self, descriptor: int) -> None:
        """Give an open file its owner, group and mode."""
        self._give_owner(descriptor)
        os.fchmod(descriptor, self.mode)

    def give_directory(self, descriptor: int) -> None:
        """Give a new directory its owner, group and mode."""
        self._give_owner(descriptor)
        if self.directory_mode is not None:
            os.fchmod(descriptor, self.directory_mode)

    def _give_owner(self, descriptor: int) -> None:
        if self.owner is not None or self.group is not None:
            os.fchown(descriptor, -1 if self.owner is None else self.owner, -1 if self.group is None else self.group)


def appearance_of(settings: InstrumentSettings) -> Appearance:
    """Return what the configuration asks for; raise ConfigurationError for an account that does not exist."""
    try:
        owner = pwd.getpwnam(settings.owner).pw_uid if settings.owner else None
        group = grp.getgrnam(settings.group).gr_gid if settings.group else None
    except KeyError as error:
        raise ConfigurationError(f"[instrument.{settings.name}] owner or group: {error.args[0]}") from error
    if owner is not None and os.geteuid() not in {0, owner}:
        raise ConfigurationError(
            f"[instrument.{settings.name}] owner = {settings.owner!r}: only root can give files away"
        )
    return Appearance(mode=settings.mode, owner=owner, group=group)


@dataclass(slots=True)
class Filer:
    """Makes one claim's temporary files in one archive."""

    claim: Claim
    tree: Tree
    appearance: Appearance
    sync_each: bool  # else the caller syncs the whole filesystem
    _token: str = field(default_factory=lambda: secrets.token_hex(8))
    _noted: set[Parts] = field(default_factory=set)
    _made: list[tuple[Parts, str]] = field(default_factory=list)

    def prepare(self, letter: Letter, plan: Intent) -> Intent | Refusal:
        """Make what ``plan`` publishes; return it with the renames that do so, or why the data are not what was sent.

        Raise OSError where reading or writing fails, with ENOSPC where there is not even room for it.
        """
        repeats = plan.outcome.outcome == DUPLICATE
        if repeats and "with" not in plan.outcome.facts:
            return plan  # a further try: what its id stands for is in the archive, or has been
        try:
            source = durable.open_unfollowed(str(letter.wire.data), directory=self.claim.descriptor)
        except OSError as error:
            if error.errno in NO_REGULAR_FILE:
                return Refusal("the data file is not a regular file")
            raise
        try:
            if reason := refused_data(os.fstat(source), letter.control):
                return Refusal(reason)
            return self._verified(source, letter, plan) if repeats else self._copied(source, letter, plan)
        finally:
            os.close(source)

    def discard(self) -> None:
        """Remove the temporary files that have not been published."""
        for directory, name in self._made:
            durable.remove(name, directory=self.tree.directory(directory))
        self._made.clear()
        journal.forget_temporaries(self.claim)

    def _verified(self, source: int, letter: Letter, plan: Intent) -> Intent | Refusal:
        return refused_content(letter.control, *sum_file(source, letter.control.checksum.algorithm)) or plan

    def _copied(self, source: int, letter: Letter, plan: Intent) -> Intent | Refusal:
        if letter.control.size > self.tree.free():
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.tree.root)
        name, descriptor = self._new_temporary(plan.directory)
        try:
            summed = copy_and_sum(source, descriptor, letter.control.checksum.algorithm)
            if refusal := refused_content(letter.control, *summed):
                return refusal
            self._finish(descriptor, letter.control.mtime)
        finally:
            os.close(descriptor)
        moves = (Move(source=name, target=plan.name),)
        return replace(plan, moves=(*moves, self._control(letter, plan)) if plan.outcome.outcome == SWEPT else moves)

    def _control(self, letter: Letter, plan: Intent) -> Move:
        """Copy the control file as it came, its time of arrival included."""
        name, descriptor = self._new_temporary(plan.directory)
        try:
            write_all(descriptor, letter.text)
            self._finish(descriptor, letter.arrived)
        finally:
            os.close(descriptor)
        return Move(source=name, target=str(letter.wire.control))

    def _finish(self, descriptor: int, mtime: int) -> None:
        self.appearance.give_file(descriptor)
        os.utime(descriptor, ns=(mtime, mtime))
        if self.sync_each:
            durable.sync(descriptor)

    def _new_temporary(self, directory: Parts) -> tuple[str, int]:
        opened = self.tree.directory(directory, make=True)
        prefix = f"{TEMPORARY}{self._token}-"
        if directory not in self._noted:
            journal.write_temporaries(self.claim, prefix, os.path.join(self.tree.root, *directory))
            self._noted.add(directory)
        name = f"{prefix}{len(self._made)}"
        descriptor = durable.create(name, 0o600, directory=opened)
        self._made.append((directory, name))
        return name, descriptor
