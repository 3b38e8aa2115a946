"""Looking at everything that a sweep needs, step by step, and saying what to do about it: --doctor."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import stat
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archq import durable
from archq.errors import ArchqError
from archq.instants import SECOND
from archq.quantities import format_duration, format_size
from sweeper import claim as claims
from sweeper.claim import WorkPlace
from sweeper.filing import TEMPORARY, appearance_of
from sweeper.incoming import Incoming
from sweeper.ledger import Ledger
from sweeper.owner import is_dead, parse_owner
from sweeper.planning import rules_of
from sweeper.tree import Tree, free_space

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sweeper.job import Job

LOW = 1 << 30  # bytes
CLOCKS_APART = 60.0  # seconds


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at; ``remedy`` says what to do where it is not as it should be."""

    text: str
    remedy: str = ""

    def __str__(self) -> str:
        return f"wrong  {self.text}: {self.remedy}" if self.remedy else f"ok     {self.text}"


def examine(job: Job) -> Iterator[Finding]:
    """Yield what is found; a step that cannot be taken is a finding too, and the others go on."""
    for step in (_incoming, _work, _rejected, _archive, _logs, _rules, _hook):
        try:
            yield from step(job)
        except (ArchqError, OSError) as error:
            what, _colon, why = str(error).partition(": ")
            yield Finding(what, why or "see there")


def _incoming(job: Job) -> Iterator[Finding]:
    with Incoming(job.incoming) as incoming:
        sightings = incoming.sightings(job.wants)
        facts = os.fstat(incoming.descriptor)
        if not os.access(job.incoming, os.W_OK | os.X_OK):
            remedy = "make it ours, or a group's of which this account is a member (chgrp, chmod 2770)"
            yield Finding(f"may not take files out of {job.incoming}", remedy)
        elif facts.st_mode & stat.S_ISVTX and os.geteuid() not in {0, facts.st_uid}:
            yield Finding(f"{job.incoming} is sticky, so that only an uploader may move his files", "chmod -t it")
        else:
            yield Finding(f"may read {job.incoming} and take files out of it")
        yield Finding(f"{len(sightings)} arrivals lie there")
        yield from _unreadable(incoming, [str(one.wire.data) for one in sightings if one.data and not one.place])
        yield _room(incoming.descriptor, job.incoming)


def _unreadable(incoming: Incoming, names: list[str]) -> Iterator[Finding]:
    closed = [name for name in names if not os.access(name, os.R_OK, dir_fd=incoming.descriptor)]
    if closed:
        remedy = "let the server write them with umask 027, so that the group may"
        yield Finding(f"may not read {len(closed)} uploads, such as {closed[0]}", remedy)


def _work(job: Job) -> Iterator[Finding]:
    with Incoming(job.incoming) as incoming, WorkPlace(incoming, job.sweeper.work) as work:
        yield Finding(f"may work in {work.path}")
        apart = abs(work.now() / SECOND - time.time())
        if apart > CLOCKS_APART:
            told = f"the clock of the file server of {job.incoming} is {format_duration(apart)} from ours"
            yield Finding(told, "let both follow the same time (NTP)")
        for name in durable.names_in(work.descriptor):
            if owner := parse_owner(name):
                state = "dead: the next sweep takes over" if is_dead(owner, 0.0) else "alive"
                yield Finding(f"a claim of process {owner.pid} on {owner.host} ({state})")


def _rejected(job: Job) -> Iterator[Finding]:
    with Incoming(job.incoming) as incoming:
        shared = job.sweeper.rejected or os.path.join(job.incoming, claims.REJECTED)
        path, descriptor = claims.open_private(incoming, shared, "rejected")
        os.close(descriptor)
        yield Finding(f"may set arrivals aside in {path}, where {len(os.listdir(path))} lie")


def _archive(job: Job) -> Iterator[Finding]:
    with Tree(job.archive) as archive:
        probe = f"{TEMPORARY}{os.urandom(8).hex()}-doctor"
        try:
            os.close(durable.create(probe, directory=archive.descriptor))
            durable.rename_new(
                probe, f"{probe}2", source_directory=archive.descriptor, target_directory=archive.descriptor
            )
        except OSError as error:
            yield Finding(f"cannot make or rename a file in {job.archive}", f"{error.strerror}")
            return
        finally:
            for name in (probe, f"{probe}2"):
                with contextlib.suppress(OSError):
                    durable.remove(name, directory=archive.descriptor)
        yield Finding(f"may make files in {job.archive}, and rename them without replacing others")
        near = os.fstat(archive.descriptor).st_dev == os.stat(job.incoming).st_dev
        yield Finding(f"the archive is {'' if near else 'not '}on the filesystem of {job.incoming}")
        yield _room(archive.descriptor, job.archive)


def _room(directory: int, path: str) -> Finding:
    free = free_space(directory)
    text = f"{format_size(free)} free in {path}"
    return Finding(text, "make room") if free < LOW else Finding(text)


def _logs(job: Job) -> Iterator[Finding]:
    with Ledger(job.logs) as ledger:
        began = time.monotonic()
        ledger.refresh()
        yield Finding(f"the logs of {job.logs.directory} were read in {format_duration(time.monotonic() - began)}")
    log = job.logs.path(time.time_ns())
    place = log if os.path.exists(log) else job.logs.directory
    if not os.access(place, os.W_OK):
        yield Finding(f"may not write {place}", "make it writable for this account")
    if not durable.locks_reach_everybody(job.logs.directory):
        yield Finding(f"locks in {job.logs.directory} do not reach other machines; a lock file is used instead")


def _rules(job: Job) -> Iterator[Finding]:
    rules = rules_of(job)
    appearance_of(job.instrument)
    signers = ", ".join(key.name for key in rules.signers)
    yield Finding(f"arrivals have to be signed with {signers}" if signers else "no signature is asked for")


def _hook(job: Job) -> Iterator[Finding]:
    command = job.instrument.on_filed
    if not command:
        return
    try:
        program = shlex.split(command)[0]
    except (ValueError, IndexError):
        yield Finding(f"on_filed = {command!r} is no command", "mend its quotes")
        return
    if shutil.which(program):
        yield Finding(f"on_filed runs {program}")
    else:
        yield Finding(f"on_filed: {program} cannot be run", "is it there, and executable for this account?")
