"""The spool: its directories, its states and the moves between them.

The directory a request lies in is its state::

    directory            entered by                        meaning
    building/ULID        submit, being written             nobody was promised anything
    queued/QUEUE-N       submit's one rename; retry        owed: a file of it has not been delivered
    sent/QUEUE-N         the shipper, after the last file  delivered; the copies stay until `keep` has passed
    cancelled/QUEUE-N    cancel                            not to be sent; kept like a sent one

In a request's directory lie ``request`` (what its user asked for), ``journal`` (how far the deliveries of its files
are; none: not begun), and for each file N ``N.df`` and ``N.cf`` (its data and control file, never changed again) and
perhaps ``N.linked`` (the data file is no copy but a second name of its source).  Beside the directories: ``id`` (this
spool's ULID), ``sequence`` (the last request number given), ``queues/NAME/`` (a queue's lock, its wake-up FIFO and what
is known of its account) and ``log/`` (what happened, a file a day).
"""

from __future__ import annotations

import os
import stat
import sys
import time

from archq import durable
from archq.checksum import write_all
from archq.control import ControlFile, parse_control
from archq.errors import (
    ArchqError,
    CannotCreateError,
    ExitStatus,
    MalformedError,
    NoInputError,
    NotPermittedError,
    from_os_error,
    named,
)
from archq.fields import decode, encode
from archq.instants import format_instant
from archq.light import contextmanager, dataclass, field, pattern, suppress
from archq.names import checked_id, new_id
from archq.options import Remote
from archq.spool.records import format_record, parse_record
from archq.transferlog import Outcome, format_outcome

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from contextlib import AbstractContextManager
    from typing import Self

    from archq.spool.filestate import FileState
    from archq.spool.queuestate import QueueState

BUILDING = "building"
QUEUED = "queued"
SENT = "sent"
CANCELLED = "cancelled"
JOURNAL = "journal"
LINKED = ".linked"  # marks a data file that is a second name of its source
STATES = (QUEUED, SENT, CANCELLED)

DEAD_WRITER_AGE = 3600.0  # seconds: a writer between mkdir and its lock looks dead, but not for an hour

SYNCED_TOGETHER = 32  # files of a request from which on one wait for the whole disk is shorter than one for each
_MOST_OPEN = 2 * SYNCED_TOGETHER  # files: many systems let a process have no more than 1024 open

_REQUEST_ID = pattern(r"([A-Za-z0-9_][A-Za-z0-9_-]{0,63})-([1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True, order=True)
class RequestId:
    """``QUEUE-N``; N is never used twice in a spool, so requests sort by number and that is by age."""

    number: int
    queue: str

    def __str__(self) -> str:
        return f"{self.queue}-{self.number}"

    @classmethod
    def parse(cls, text: str) -> Self | None:
        """Return the request id that ``text`` is, None if it is none."""
        match = _REQUEST_ID.fullmatch(text)
        return cls(int(match[2]), sys.intern(match[1])) if match else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a request's user asked for, beside its files; changed by users' commands only.

    Instants are nanoseconds since 1970.  It may hold a password: it belongs into the spool and nowhere else.
    """

    user: str
    title: str
    queued: int
    priority: int = 50  # 1 to 100, 100 first
    maxftp: float | None = None  # seconds a file; None: as the queue says
    remhost: str | None = None
    rempath: str | None = None
    remuser: str | None = None
    rempw: str | None = field(default=None, repr=False)
    hold: str | None = None  # why a person holds it; None: it is not held
    not_before: int = 0
    mail: bool = False  # to be told by mail when all of it is sent
    altered: int = 0  # when a person last changed it, or said "again"; errors before that no longer count

    @property
    def remote(self) -> Remote:
        """Where this request goes instead of where its queue goes."""
        return Remote(host=self.remhost, path=self.rempath, user=self.remuser, password=self.rempw)


@dataclass(frozen=True, slots=True, kw_only=True)
class SpooledFile:
    """One file of a request in the spool."""

    request: RequestId
    part: int
    path: str  # without the ending .df or .cf
    control: ControlFile
    state: FileState

    @property
    def data_path(self) -> str:
        """The copy of what the user submitted."""
        return f"{self.path}.df"

    @property
    def is_linked(self) -> bool:
        """Whether it is no copy but the source itself, with the source's own mode."""
        return os.path.exists(f"{self.path}{LINKED}")


class Spool:
    """A spool directory.  Private (0700) unless its own mode lets its group write: then all in it is the group's."""

    def __init__(self, root: str) -> None:
        """Open the spool at ``root``, made if it is missing; raise an ArchqError if it cannot be used."""
        self.root = root
        self._id = ""
        if os.path.exists(root) and not os.path.isdir(root):
            raise CannotCreateError(f"cannot use the spool {root}: it is no directory; configure another")
        try:
            self._prepare()
        except OSError as error:
            translated = from_os_error(error, f"use the spool {root}")
            kind = CannotCreateError if isinstance(translated, NoInputError) else type(translated)
            raise kind(str(translated)) from error
        if not os.access(root, os.R_OK | os.W_OK | os.X_OK):
            raise NotPermittedError(
                f"cannot use the spool {root}: this account may not read and write it: "
                "let it join the group that may, or configure another spool"
            )

    def _prepare(self) -> None:
        if not os.path.exists(self.root):
            durable.make_directory(self.root)
        self.is_shared = bool(os.stat(self.root).st_mode & stat.S_IWGRP)
        for name in (BUILDING, *STATES, "queues", "log"):
            durable.make_directory(self.place(name), self.directory_mode)

    @property
    def directory_mode(self) -> int:
        """The mode of every directory in this spool."""
        return 0o2770 if self.is_shared else 0o700

    @property
    def file_mode(self) -> int:
        """The mode of every file in this spool."""
        return 0o660 if self.is_shared else 0o600

    def place(self, *names: str) -> str:
        """Return the path of something in this spool."""
        return os.path.join(self.root, *names)

    @property
    def id(self) -> str:
        """The ULID that tells this spool from every other, made at its first use."""
        if not self._id:
            with self._sequence():
                path = self.place("id")
                if not os.path.exists(path):
                    durable.write_over(path, f"{new_id()}\n".encode(), self.file_mode)
                self._id = checked_id(_text_of(path).rstrip("\n"))
        return self._id

    def _sequence(self) -> AbstractContextManager[int]:
        return durable.locked(self.place("sequence"), mode=self.file_mode)

    def next_number(self) -> int:
        """Return a request number that was never given before; it is durable when this returns."""
        with self._sequence() as sequence:
            number = self._last_number(sequence) + 1
            text = f"{number:020d}\n".encode()
            os.pwrite(sequence, text, 0)
            os.ftruncate(sequence, len(text))
            durable.sync_content(sequence)
            return number

    def last_number(self) -> int:
        """Return the request number that was given last, 0 if none was."""
        with self._sequence() as sequence:
            return self._last_number(sequence)

    def _last_number(self, sequence: int) -> int:
        text = os.pread(sequence, 32, 0)
        if len(text) == 21 and text.endswith(b"\n") and text[:-1].isdigit():
            return int(text)
        # New, or torn by a power cut (what is left may be digits, too): the requests that are there tell.
        return max((request.number for state in STATES for request in self.requests(state)), default=0)

    @contextmanager
    def draft(self, *, files: int = 1) -> Iterator[Draft]:
        """Hold a place to build a request of so many ``files`` in; whatever is left in it at the end is removed."""
        together = files >= SYNCED_TOGETHER and durable.can_sync_filesystem()
        path = self.place(BUILDING, new_id())
        os.mkdir(path, self.directory_mode)
        os.chmod(path, self.directory_mode)
        try:
            with durable.opened_directory(path) as directory:
                durable.lock(directory)
                draft = Draft(spool=self, path=path, directory=directory, together=together)
                try:
                    yield draft
                finally:
                    draft.close()
        finally:
            if os.path.exists(path):  # it was not committed
                _remove_tree(path, ignore_errors=True)

    def clear_dead_drafts(self, now: float) -> None:
        """Remove what writers left behind that are surely dead: old, and nobody holds their lock."""
        for entry in os.scandir(self.place(BUILDING)):
            with suppress(OSError), durable.opened_directory(entry.path) as directory:
                if now - os.fstat(directory).st_mtime > DEAD_WRITER_AGE and durable.lock(directory, wait=False):
                    _remove_tree(entry.path)

    def requests(self, state: str, queue: str | None = None) -> list[RequestId]:
        """Return the requests in ``state``, of one queue or of all, oldest first."""
        found = (RequestId.parse(name) for name in os.listdir(self.place(state)))
        chosen = [request for request in found if request and queue in (None, request.queue)]
        return sorted(chosen, key=lambda request: (request.number, request.queue))  # the same order, five times faster

    def find(self, request: RequestId) -> tuple[str, RequestId]:
        """Return the state ``request`` is in, and its id: another one if it was moved to another queue.

        Raise NoInputError if it is in none.
        """
        for state in (*STATES, *STATES):  # twice: it may move from one to the next while we look
            if os.path.isdir(self.place(state, str(request))):
                return state, request
        for state in STATES:
            for other in self.requests(state):
                if other.number == request.number:
                    return state, other
        raise NoInputError(f"there is no request {request} in the spool {self.root}")

    def ticket(self, state: str, request: RequestId) -> Ticket:
        """Return what the user of ``request`` asked for."""
        return parse_record(Ticket, _text_of(self.place(state, str(request), "request")))

    def alter(self, state: str, request: RequestId, ticket: Ticket) -> None:
        """Make ``ticket`` what the user of ``request`` asked for."""
        self.rewrite(self.place(state, str(request), "request"), format_record(ticket).encode())

    def rewrite(self, path: str, content: bytes) -> None:
        """Replace a file in a request's directory durably; a lock keeps shipper and commands apart."""
        with durable.opened_directory(os.path.dirname(path)) as directory:
            durable.lock(directory)
            durable.write_over(path, content, self.file_mode)

    def files(self, state: str, request: RequestId) -> list[SpooledFile]:
        """Return the files of ``request`` in the order they were submitted; raise MalformedError if some are lost."""
        return list(self.each_file(state, request))

    def each_file(self, state: str, request: RequestId) -> Iterator[SpooledFile]:
        """Yield the files of ``request``, as :meth:`files` returns them."""
        names = [name for name in os.listdir(self.place(state, str(request))) if name.endswith(".cf")]
        parts = sorted(int(name.removesuffix(".cf")) for name in names)
        if not parts:
            raise MalformedError("none of its files is there")
        states = self._states(state, request)
        for part in parts:
            file = self._file(state, request, part, states)
            count = (file.control.part or "").rpartition("/")[2]
            if count not in ("", str(len(parts))):
                raise MalformedError(f"{len(parts)} of its {count} files are there")
            yield file

    def file(self, state: str, request: RequestId, part: int, known: FileState | None = None) -> SpooledFile:
        """Return one file of ``request``; raise MalformedError when its records are damaged.

        ``known`` is how far its delivery is, from a caller who knows; else the journal tells.
        """
        states = self._states(state, request, part) if known is None else {part: known}
        return self._file(state, request, part, states)

    def _file(self, state: str, request: RequestId, part: int, states: Mapping[int, FileState]) -> SpooledFile:
        from archq.spool.filestate import NOT_BEGUN

        path = self.place(state, str(request), str(part))
        control = parse_control(_content_of(f"{path}.cf"))
        return SpooledFile(request=request, part=part, path=path, control=control, state=states.get(part, NOT_BEGUN))

    def _states(self, state: str, request: RequestId, part: int | None = None) -> Mapping[int, FileState]:
        from archq.spool.journal import parse_journal

        try:
            return parse_journal(_content_of(self.place(state, str(request), JOURNAL)), part)
        except FileNotFoundError:
            return {}

    def record(self, file: SpooledFile, state: FileState) -> None:
        """Make ``state`` the durable state of ``file``."""
        self.record_together([(file, state)])

    def record_together(self, changes: Iterable[tuple[SpooledFile, FileState]]) -> None:
        """Make each state the durable one of its file, with one wait for the disk for each request."""
        from archq.spool.journal import format_entries

        entries: dict[str, list[tuple[int, FileState]]] = {}
        for file, state in changes:
            entries.setdefault(os.path.dirname(file.path), []).append((file.part, state))
        for directory, states in entries.items():
            durable.append_line(os.path.join(directory, JOURNAL), format_entries(states), self.file_mode)

    def move(self, request: RequestId, source: str, target: str, *, renamed: RequestId | None = None) -> None:
        """Move ``request`` from one state to another, durably; ``renamed`` is its id there if that changes.

        From now on its directory's time tells since when it is there, which a rename alone does not.
        Raise FileNotFoundError if it is no longer in ``source``.
        """
        self._clear_unfinished(self.place(source, str(request)))
        durable.touch(self.place(source, str(request)))
        self._sync_journal(self.place(source, str(request), JOURNAL))
        durable.move_new(self.place(source, str(request)), self.place(target, str(renamed or request)))
        durable.sync_directory(self.place(target))
        if source != target:
            durable.sync_directory(self.place(source))

    def _sync_journal(self, path: str) -> None:
        """Make durable what is about to be acted upon: a writer may have died between its last line and the disk."""
        try:
            journal = durable.open_unfollowed(path)
        except FileNotFoundError:
            return
        try:
            durable.sync(journal)
        finally:
            os.close(journal)

    def _clear_unfinished(self, directory: str) -> None:
        """Remove what dead writers left beside the records; a living one loses nothing: all of it moves away."""
        for name in os.listdir(directory):
            if name.endswith(durable.UNFINISHED):
                durable.remove(os.path.join(directory, name))

    def remove(self, request: RequestId, state: str) -> None:
        """Remove the copies of ``request``.  If that is cut short, what is left is cleared as a dead draft."""
        out_of_sight = self.place(BUILDING, new_id())
        durable.move_new(self.place(state, str(request)), out_of_sight)
        _remove_tree(out_of_sight)

    def tell(self, event: str, *facts: Mapping[str, str]) -> None:
        """Add lines to this spool's log, one for each of ``facts``: what happened to which request."""
        now = time.time_ns()
        path = self.place("log", f"{format_instant(now)[:10].replace('-', '')}.log")
        lines = b"".join(format_outcome(Outcome(time=now, outcome=event, facts=one)) for one in facts)
        if lines:
            durable.append_line(path, lines, self.file_mode, synced=False)

    def queue_place(self, queue: str, name: str) -> str:
        """Return the path of one of a queue's own files."""
        durable.make_directory(self.place("queues", queue), self.directory_mode)
        return self.place("queues", queue, name)

    def own_queue(self, queue: str) -> AbstractContextManager[int]:
        """Be the one shipper of ``queue``; raise BlockingIOError at once if another one is."""
        return durable.locked(self.queue_place(queue, "lock"), mode=self.file_mode, wait=False)

    def await_queue(self, queue: str) -> None:
        """Return when nobody is the shipper of ``queue`` any more."""
        with durable.locked(self.queue_place(queue, "lock"), mode=self.file_mode):
            pass

    def queue_state(self, queue: str) -> QueueState:
        """Return what the last shipper said of ``queue``."""
        from archq.spool.queuestate import QueueState

        with suppress(FileNotFoundError):
            return parse_record(QueueState, _text_of(self.queue_place(queue, "state")))
        return QueueState()

    def record_queue(self, queue: str, state: QueueState) -> None:
        """Say how ``queue`` is."""
        durable.write_over(self.queue_place(queue, "state"), format_record(state).encode(), self.file_mode)

    def queue_hold(self, queue: str) -> str | None:
        """Return why a person holds ``queue``, None if nobody does."""
        with suppress(FileNotFoundError):
            return decode(_text_of(self.queue_place(queue, "hold")).rstrip("\n"))
        return None

    def hold_queue(self, queue: str, reason: str | None) -> None:
        """Hold ``queue`` for ``reason``, or release it with None."""
        path = self.queue_place(queue, "hold")
        if reason is not None:
            durable.write_over(path, f"{encode(reason)}\n".encode(), self.file_mode)
            return
        with suppress(FileNotFoundError):
            os.unlink(path)
        durable.sync_directory(os.path.dirname(path))

    def known_account(self, queue: str, url: str) -> str:
        """Return what `archq doctor` found the queue's account at ``url`` to be, "" if it has not looked."""
        with suppress(FileNotFoundError):
            kind, _, known_url = _text_of(self.queue_place(queue, "account")).rstrip("\n").partition(" ")
            return kind if known_url == url else ""
        return ""

    def record_account(self, queue: str, url: str, kind: str) -> None:
        """Remember that the queue's account at ``url`` is "full" or "upload-only"."""
        durable.write_over(self.queue_place(queue, "account"), f"{kind} {url}\n".encode(), self.file_mode)


@dataclass(frozen=True, slots=True)
class Draft:
    """A request that is being built, out of everybody's sight."""

    spool: Spool
    path: str
    directory: int
    together: bool  # whether its files go to stable storage in one step, at the commit
    opened: list[durable.Writing] = field(default_factory=list)  # the files of which each is synced then

    def create(self, name: str) -> int:
        """Return a descriptor of the new file ``name``, which has to be finished before the next one."""
        descriptor = durable.create(name, self.spool.file_mode, directory=self.directory)
        self.opened.append(durable.Writing(descriptor))
        return descriptor

    def wrote(self, size: int) -> None:
        """Take note of ``size`` more bytes in the file that was created last."""
        if not self.together:
            self.opened[-1].wrote(size)

    def finish(self) -> None:
        """See to it that the file that was created last, and is written now, is synced at the commit at the latest.

        A journal makes all files durable in one step when the disk has begun with each before the first is waited for.
        """
        if self.together:
            os.close(self.opened.pop().descriptor)
            return
        self.opened[-1].begin()
        if len(self.opened) >= _MOST_OPEN:
            self._sync_opened()

    def _sync_opened(self) -> None:
        for file in self.opened:
            durable.sync(file.descriptor)
        self.close()

    def write(self, name: str, content: bytes) -> None:
        """Make the file ``name`` of the draft."""
        descriptor = self.create(name)
        write_all(descriptor, content)
        self.wrote(len(content))
        self.finish()

    def sync(self, descriptor: int) -> None:
        """See to it that an open file of somebody else's is on stable storage before the request is queued."""
        if not self.together:
            durable.sync(descriptor)

    def close(self) -> None:
        """Close what is still open."""
        while self.opened:
            os.close(self.opened.pop().descriptor)

    def link(self, source: str, name: str, opened: os.stat_result) -> bool:
        """Give ``source`` the second name ``name`` in the draft; return False where that cannot be done.

        ``opened`` tells the file that is meant: another one may stand under its name by now.
        """
        try:
            durable.link(source, name, directory=self.directory)
        except OSError:
            return False  # another disk, a disk without links, or somebody else's file
        linked = os.stat(name, dir_fd=self.directory, follow_symlinks=False)
        if (linked.st_dev, linked.st_ino) == (opened.st_dev, opened.st_ino):
            self.write(name.replace(".df", LINKED), b"")  # synced like the rest
            return True
        os.unlink(name, dir_fd=self.directory)
        return False

    def commit(self, request: RequestId) -> None:
        """Queue the draft as ``request``.  Once this returns, we owe its delivery.

        Raise UnknownOutcomeError when the request is queued but perhaps not durably so.
        """
        if self.together:
            durable.sync_filesystem(self.directory)
        else:
            self._sync_opened()
            durable.sync(self.directory)
        durable.move_new(self.path, self.spool.place(QUEUED, str(request)))  # from here on it is queued
        try:
            durable.sync_directory(self.spool.place(QUEUED))
        except OSError as error:
            raise UnknownOutcomeError(
                f"{from_os_error(error, f'make request {request} durable')}: "
                f"it may or may not have been queued; archq status {request} tells"
            ) from error


class UnknownOutcomeError(ArchqError):
    """The one step that queues a request was done, but not known to survive a power cut."""

    status = ExitStatus.INPUT_OUTPUT


def _remove_tree(path: str, *, ignore_errors: bool = False) -> None:
    import shutil  # 2 ms with its archive formats, and submitting needs it only when something went wrong

    shutil.rmtree(path, ignore_errors=ignore_errors)


def _text_of(path: str) -> str:
    return _content_of(path).decode()


def _content_of(path: str) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:  # a buffer would cost more than the reading: records are small
            return file.readall()
    except OSError as error:
        raise named(error, path) from error
