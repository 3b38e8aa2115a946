"""Making the file that will stand in the archive: copied and summed under a temporary name beside its place."""

from __future__ import annotations

import errno
import grp
import os
import pwd
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archq import durable
from archq.checksum import copy_and_sum, sum_file, write_all
from archq.errors import ConfigurationError
from archq.light import replace
from archq.transferlog import DUPLICATE, SWEPT
from sweeper import journal
from sweeper.inspection import NO_REGULAR_FILE, Refusal, refused_content, refused_data
from sweeper.journal import Move
from sweeper.tree import free_space

if TYPE_CHECKING:
    from archq.config import InstrumentSettings
    from sweeper.claim import Claim
    from sweeper.inspection import Letter
    from sweeper.journal import Intent
    from sweeper.placement import Parts
    from sweeper.tree import Tree

LEFT_FREE = 1 << 20  # bytes: the log may be on the same disk, and has to have room for what is filed

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
    return Appearance(mode=settings.mode, directory_mode=settings.directory_mode, owner=owner, group=group)


@dataclass(slots=True)
class Filer:
    """Makes one claim's files in one archive ready to be published.

    A file of our own that nobody else can write is published as it is; any other is copied while it is summed, for
    whoever has it open could change it after it was found good.
    """

    claim: Claim
    tree: Tree
    appearance: Appearance
    sync_each: bool  # else the caller syncs the whole filesystem
    _token: str = field(default_factory=lambda: os.urandom(8).hex())
    _noted: dict[Parts, int | None] = field(default_factory=dict)  # directories, and from which device we can rename
    _made: list[tuple[Parts, str]] = field(default_factory=list)

    def prepare(self, letter: Letter, plan: Intent) -> Intent | Refusal:
        """Make what ``plan`` publishes; return it with the renames that do so, or why the data are not what was sent.

        Raise OSError where reading or writing fails, with ENOSPC where there is not even room for it.
        """
        if plan.outcome.outcome == DUPLICATE:
            return plan  # a further try: what its id stands for is in the archive, or has been
        try:
            source, facts = durable.open_and_look(str(letter.wire.data), directory=self.claim.descriptor)
        except OSError as error:
            if error.errno in NO_REGULAR_FILE:
                return Refusal("the data file is not a regular file")
            raise
        try:
            if reason := refused_data(facts, letter.control):
                return Refusal(reason)
            return self._published_as_it_is(source, facts, letter, plan) or self._copied(source, letter, plan)
        finally:
            os.close(source)

    def discard(self) -> None:
        """Remove the temporary files that have not been published.

        Durably, as they are forgotten then: nobody would know of those that a power cut brings back.
        """
        for directory in {directory for directory, name in self._made if self._remove(directory, name)}:
            durable.sync(self.tree.directory(directory))
        self._made.clear()
        journal.forget_temporaries(self.claim)

    def _remove(self, directory: Parts, name: str) -> bool:
        return durable.remove(name, directory=self.tree.directory(directory))

    def _content(self, source: int, letter: Letter) -> Refusal | None:
        os.lseek(source, 0, os.SEEK_SET)
        return refused_content(letter.control, *sum_file(source, letter.control.checksum.algorithm))

    def _published_as_it_is(
        self, source: int, facts: os.stat_result, letter: Letter, plan: Intent
    ) -> Intent | Refusal | None:
        """Verify the claimed file itself, to be renamed into the archive; None: it has to be copied."""
        if facts.st_uid != os.geteuid() or not self._is_near(facts, plan.directory):
            return None
        with durable.without_writers(source) as nobody_writes:
            if nobody_writes is None:
                return None
            if refusal := self._content(source, letter):
                return refusal
            if not nobody_writes():
                return None
            self._finish(source, letter.control.mtime)
        move = Move(source=str(letter.wire.data), target=plan.name, claimed=True)
        return self._with_control(letter, plan, move)

    def _is_near(self, facts: os.stat_result, directory: Parts) -> bool:
        """Say whether the claimed file can be renamed into ``directory``."""
        return facts.st_dev == self._note(directory)

    def _copied(self, source: int, letter: Letter, plan: Intent) -> Intent | Refusal:
        os.lseek(source, 0, os.SEEK_SET)
        if letter.control.size + LEFT_FREE > free_space(self.tree.descriptor):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), self.tree.root)
        name, descriptor = self._new_temporary(plan.directory)
        try:
            if refusal := self._filled(source, descriptor, letter):
                return refusal
            self._finish(descriptor, letter.control.mtime)
        finally:
            os.close(descriptor)
        return self._with_control(letter, plan, Move(source=name, target=plan.name))

    def _filled(self, source: int, target: int, letter: Letter) -> Refusal | None:
        if durable.clone(source, target):
            return self._content(target, letter)
        writing = durable.Writing(target)
        copied = copy_and_sum(source, target, letter.control.checksum.algorithm, writing.wrote)
        return refused_content(letter.control, *copied)

    def _with_control(self, letter: Letter, plan: Intent, move: Move) -> Intent:
        """Return ``plan`` with its moves; what is swept takes its control file along, as it came."""
        if plan.outcome.outcome != SWEPT:
            return replace(plan, moves=(move,))
        name, descriptor = self._new_temporary(plan.directory)
        try:
            write_all(descriptor, letter.text)
            self._finish(descriptor, letter.arrived)
        finally:
            os.close(descriptor)
        return replace(plan, moves=(move, Move(source=name, target=str(letter.wire.control))))

    def _finish(self, descriptor: int, mtime: int) -> None:
        self.appearance.give_file(descriptor)
        os.utime(descriptor, ns=(mtime, mtime))
        if self.sync_each:
            durable.sync(descriptor)

    def _new_temporary(self, directory: Parts) -> tuple[str, int]:
        self._note(directory)
        name = f"{self._prefix}{len(self._made)}"
        descriptor = durable.create(name, 0o600, directory=self.tree.directory(directory))
        self._made.append((directory, name))
        return name, descriptor

    @property
    def _prefix(self) -> str:
        return f"{TEMPORARY}{self._token}-"

    def _note(self, directory: Parts) -> int | None:
        """Note that temporary files are made in ``directory``; return from which device files can be renamed there."""
        if directory not in self._noted:
            opened = self.tree.directory(directory, make=True)
            journal.write_temporaries(self.claim, self._prefix, os.path.join(self.tree.root, *directory))
            self._noted[directory] = os.fstat(opened).st_dev if self._can_rename_into(directory) else None
        return self._noted[directory]

    def _can_rename_into(self, directory: Parts) -> bool:
        """Try it: even where the devices are the same, a mount point may lie between."""
        probe = f"{self._prefix}probe"
        self._made.append((directory, probe))
        try:
            os.close(durable.create(probe, directory=self.claim.descriptor))
            durable.rename_new(
                probe,
                probe,
                source_directory=self.claim.descriptor,
                target_directory=self.tree.directory(directory),
            )
        except OSError as error:
            durable.remove(probe, directory=self.claim.descriptor)
            if error.errno != errno.EXDEV:
                raise
            self._made.pop()
            return False
        durable.remove(probe, directory=self.tree.directory(directory))
        self._made.pop()
        return True
