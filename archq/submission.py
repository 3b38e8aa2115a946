"""Files and options become one queued request, whole and durable, or nothing at all."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archq import durable
from archq.checksum import copy_and_sum
from archq.config import load, places
from archq.control import ControlFile, format_control
from archq.errors import (
    DISK_FULL,
    ArchqError,
    ConfigurationError,
    NoInputError,
    TemporaryError,
    UsageError,
    from_os_error,
)
from archq.names import checked_file_name, new_id
from archq.options import Options, check_options, parse_words
from archq.records import format_record
from archq.spool import Draft, RequestId, Spool, Ticket
from archq.version import __version__

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from archq.checksum import Checksum
    from archq.config import Config, QueueSettings

STANDARD_INPUT = "-"
QUEUE_VARIABLES = ("LPDEST", "PRINTER")  # as lp looks for its default destination


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A request that was accepted: its data and control files are on stable storage."""

    id: RequestId
    files: int
    bytes: int


def submit(
    paths: Sequence[str | os.PathLike[str]],
    *,
    queue: str | None = None,
    options: Mapping[str, str] | Iterable[str] = (),
    title: str | None = None,
    priority: int = 50,
    config: Config | None = None,
) -> Request:
    """Queue the files ``paths`` as one request and return it; all are accepted, or none.

    Once this returns, data and control files are on stable storage and the sources may be deleted or overwritten.
    ``options`` are ``-o`` texts ("inst=minicam,maxftp=60") or a mapping of keywords.  Raise an ArchqError otherwise:
    then nothing was queued, except for UnknownOutcomeError, which names the request that may be.
    """
    config = config or load("archq")
    settings = chosen_queue(config, queue)
    checked = check_options(options if isinstance(options, Mapping) else parse_words(options))
    sources = [os.fspath(path) for path in paths]
    if not sources:
        raise UsageError("no file was named: name files, or - for standard input")
    spool = Spool(config.spool)
    try:
        with spool.draft() as draft:
            return _Submission(draft, settings, checked, sources, title, priority).accept()
    except OSError as error:
        kind = TemporaryError if error.errno in DISK_FULL else type(from_os_error(error, ""))
        raise kind(f"{from_os_error(error, f'write to the spool {spool.root}')}; nothing was queued") from error


def chosen_queue(config: Config, name: str | None, environment: Mapping[str, str] = os.environ) -> QueueSettings:
    """Return the queue ``name``, else that of LPDEST or PRINTER where they name one, else the default."""
    if not config.queues:
        where = config.path or f"no configuration at {places(environment)}"
        raise ConfigurationError(f"no queue is configured ({where}): add [queue.NAME] with its url")
    named = (environment.get(variable, "") for variable in QUEUE_VARIABLES)
    chosen = name or next((value for value in named if value in config.queues), None) or config.default
    if chosen is None:
        raise UsageError(
            f"no default queue: say -d QUEUE ({', '.join(config.queues)}), or set default in {config.path}"
        )
    if chosen not in config.queues:
        raise UsageError(f"there is no queue {chosen!r}; {config.path} has {', '.join(config.queues)}")
    return config.queues[chosen]


class _Submission:
    """One request on its way into the spool."""

    def __init__(
        self,
        draft: Draft,
        settings: QueueSettings,
        options: Options,
        sources: list[str],
        title: str | None,
        priority: int,
    ) -> None:
        self.draft = draft
        self.settings = settings
        self.options = options
        self.sources = sources
        self.instrument = _instrument(settings, options)
        self.id = RequestId(draft.spool.next_number(), settings.name)
        self.ticket = Ticket(
            user=_user(),
            title=title or ("standard input" if sources[0] == STANDARD_INPUT else os.path.basename(sources[0])),
            queued=time.time_ns(),
            priority=priority,
            maxftp=options.maxftp,
            remhost=options.remote.host,
            rempath=options.remote.path,
            remuser=options.remote.user,
            rempw=options.remote.password,
        )

    def accept(self) -> Request:
        """Copy every file, then make the request queued with one step."""
        size = sum(self.add(part, source) for part, source in enumerate(self.sources, start=1))
        self.draft.write("request", format_record(self.ticket).encode())
        self.draft.commit(self.id)
        return Request(id=self.id, files=len(self.sources), bytes=size)

    def add(self, part: int, source: str) -> int:
        """Copy one file into the draft with its control file; return its size in bytes."""
        standard_input = source == STANDARD_INPUT
        name = checked_file_name(self.ticket.title if standard_input else os.path.basename(source))
        with _opened(source) as descriptor:
            size, checksum, mtime = self.copy(part, source, descriptor)
        control = ControlFile(
            id=new_id(),
            instrument=self.instrument,
            name=name,
            path=None if standard_input else os.path.abspath(source),
            size=size,
            checksum=checksum,
            mtime=mtime,
            queued=self.ticket.queued,
            request=str(self.id),
            part=f"{part}/{len(self.sources)}",
            spool=self.draft.spool.id,
            host=os.uname().nodename,
            user=self.ticket.user,
            title=self.ticket.title,
            agent=f"archq/{__version__}",
            options=self.options.travelling,
        )
        self.draft.write(f"{part}.cf", format_control(control))
        return size

    def copy(self, part: int, source: str, descriptor: int) -> tuple[int, Checksum, int]:
        """Copy and sum in one pass; return size in bytes, checksum and mtime in nanoseconds since 1970."""
        before = os.fstat(descriptor)
        target = self.draft.create(f"{part}.df")
        try:
            size, checksum = copy_and_sum(descriptor, target, self.settings.checksum)
            durable.sync(target)
        finally:
            os.close(target)
        if not stat.S_ISREG(before.st_mode):  # standard input from a pipe has no size or time of its own
            return size, checksum, time.time_ns()
        after = os.fstat(descriptor)
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns) or size != after.st_size:
            raise TemporaryError(
                f"{source} changed while it was read: submit it when it is complete; nothing was queued"
            )
        return size, checksum, before.st_mtime_ns


@contextlib.contextmanager
def _opened(source: str) -> Iterator[int]:
    if source == STANDARD_INPUT:
        yield sys.stdin.fileno()
        return
    try:
        descriptor = durable.open_unfollowed(source)
    except OSError as error:
        raise _unreadable(source, error) from error
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _unreadable(source: str, error: OSError) -> ArchqError:
    """Say why a source cannot be submitted; what a shell shows as a file may be none."""
    if os.path.islink(source):
        return NoInputError(f"{source} is a symbolic link: submit the file it points to; nothing was queued")
    if isinstance(error, durable.NotARegularFileError):
        return NoInputError(f"{source} is not a regular file; nothing was queued")
    translated = from_os_error(error, f"read {source}")
    return type(translated)(f"{translated}; nothing was queued")


def _instrument(settings: QueueSettings, options: Options) -> str:
    instrument = options.instrument or settings.instrument
    if settings.instruments and instrument not in settings.instruments:
        takes = ", ".join(settings.instruments)
        raise UsageError(f"the queue {settings.name} does not take the instrument {instrument!r}: it takes {takes}")
    return instrument


def _user() -> str:
    """Return the account's name; a number where the account has none (a container, say)."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
