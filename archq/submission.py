"""Files and options become one queued request, whole and durable, or nothing at all."""

from __future__ import annotations

import os
import stat
import sys
import time

from archq import durable
from archq.checksum import ReadError, copy_and_sum, sum_file
from archq.config import QUEUE_VARIABLES, load, places
from archq.control import ROOM_FOR_DELIVERY, ControlFile, format_control
from archq.errors import (
    DISK_FULL,
    ArchqError,
    ConfigurationError,
    InputOutputError,
    MalformedError,
    NoInputError,
    TemporaryError,
    UsageError,
    from_os_error,
)
from archq.instants import SECOND
from archq.light import contextmanager, dataclass, pattern
from archq.names import STANDARD_INPUT, checked_file_name, new_id
from archq.options import Options, check_options, parse_words
from archq.spool import Draft, RequestId, Spool, Ticket
from archq.spool.housekeeping import require_room
from archq.spool.records import format_record
from archq.spool.wakeup import wake
from archq.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    from archq.checksum import Checksum
    from archq.config import Config, QueueSettings
    from archq.options import Remote

_TIME_OF_DAY = pattern(r"([01]?[0-9]|2[0-3]):([0-5][0-9])(Z?)")
# Bytes: less is copied sooner than its source is on the disk, whose blocks the copy is to share.
CLONED_FROM = 1 << 20


class EmptyInputError(NoInputError):
    """Nothing came from standard input: what should have written to it has failed, or a file's name was forgotten."""


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
    options: Mapping[str, str] | Iterable[str] | str = (),
    title: str | None = None,
    priority: int = 50,
    when: str = "immediate",
    mail: bool = False,
    config: Config | None = None,
    warn: Callable[[str], None] = lambda _line: None,
    seen: Callable[[int], None] = lambda _bytes: None,
) -> Request:
    """Queue the files ``paths`` as one request and return it; all are accepted, or none.

    Once this returns, data and control files are on stable storage and the sources may be deleted or overwritten.
    ``options`` are ``-o`` texts ("inst=minicam,maxftp=60") or a mapping of keywords, ``priority`` is from 1 to 100,
    100 first, ``when`` as for ``-H``; ``mail`` asks for a mail when all is sent.  ``warn`` is called with lines for the
    user, and ``seen`` with the bytes of each step.  Raise an ArchqError otherwise: then nothing was queued, except for
    UnknownOutcomeError, which names the request that may be.
    """
    config = config or load("archq")
    settings = chosen_queue(config, queue)
    checked = check_options(_as_words(options))
    sources = _sources(paths)
    if priority not in range(1, 101):
        raise UsageError(f"priority {priority}: not from 1 to 100")
    spool = Spool(config.spool)
    require_room(spool, size_of(sources), config.reserve, warn, time.time())
    user = account_name()
    wishes = Wishes(user=user, options=checked, title=title, priority=priority, when=when, mail=mail)
    request = _accept(spool, settings, sources, wishes, seen)
    try:
        _tell(spool, request, user)
        ensure_shipped(config, spool, request.id)
    except OSError as error:  # it is queued all the same, and whoever submits it again has it twice
        warn(f"{request.id} is queued, but {from_os_error(error, 'start what sends it')}: say archq ship")
    return request


def _as_words(options: Mapping[str, str] | Iterable[str] | str) -> Mapping[str, str]:
    if isinstance(options, str):
        return parse_words([options])
    pairs = getattr(options, "items", None)  # collections.abc, which knows a Mapping, takes 1.3 ms
    return {key: str(value) for key, value in pairs()} if pairs else parse_words(options)


def _sources(paths: Sequence[str | os.PathLike[str]]) -> list[str]:
    if isinstance(paths, str | bytes | os.PathLike):  # a text is a sequence of texts, too
        raise UsageError(f"submit takes a list of files: [{paths!r}], not {paths!r} alone")
    sources = [os.fsdecode(path) for path in paths]
    if not sources:
        raise UsageError("no file was named: name files, or - for standard input")
    if sources.count(STANDARD_INPUT) > 1:
        raise UsageError("standard input can be read once only: name - once")
    return sources


def _tell(spool: Spool, request: Request, user: str) -> None:
    facts = {"request": str(request.id), "by": user, "files": str(request.files), "bytes": str(request.bytes)}
    spool.tell("queued", facts)


def announce(request: Request) -> None:
    """Print the request's id; raise InputOutputError if that cannot be done, or what is queued is submitted again."""
    try:
        print(f"request id is {request.id} ({request.files} file(s))", flush=True)
    except OSError as error:
        why = error.strerror or str(error)
        raise InputOutputError(f"{request.id} is queued, but its id cannot be printed: {why}") from error


def ensure_shipped(config: Config, spool: Spool, request: RequestId) -> None:
    """Wake the shipper of ``request``, and start one if none runs and none is to be run by a service.

    In a shared spool none is started: it would hold the queue with one user's rights and secrets.
    """
    listens = wake(spool, request.queue, request, is_new=True)
    if not listens and config.autostart and config.path and not spool.is_shared:
        from archq.shipping.starting import start_on_demand

        start_on_demand(config, request.queue)


def size_of(sources: Iterable[str]) -> int:
    """Return the bytes that ``sources`` need as far as that can be told now; errors are found when they are read."""
    return sum(map(_size, sources))


def _size(source: str) -> int:
    try:
        return os.lstat(source).st_size
    except OSError:
        return 0


def _accept(
    spool: Spool, settings: QueueSettings, sources: list[str], wishes: Wishes, seen: Callable[[int], None]
) -> Request:
    try:
        with spool.draft(files=len(sources)) as draft:
            return _Submission(draft, settings, sources, wishes, seen).accept()
    except MalformedError as error:
        raise MalformedError(f"{error}; nothing was queued") from error
    except OSError as error:
        kind = TemporaryError if error.errno in DISK_FULL else type(from_os_error(error, ""))
        raise kind(f"{from_os_error(error, f'write to the spool {spool.root}')}; nothing was queued") from error


def configured_queues(config: Config, environment: Mapping[str, str] = os.environ) -> Mapping[str, QueueSettings]:
    """Return the queues by their names; raise ConfigurationError where there is none."""
    if not config.queues:
        where = config.path or f"no configuration at {places(environment)}"
        raise ConfigurationError(f"no queue is configured ({where}): add [queue.NAME] with its url")
    return config.queues


def chosen_queue(config: Config, name: str | None, environment: Mapping[str, str] = os.environ) -> QueueSettings:
    """Return the queue ``name``, else that of LPDEST or PRINTER where they name one, else the default."""
    configured_queues(config, environment)
    named = (environment.get(variable, "") for variable in QUEUE_VARIABLES)
    chosen = name or next((value for value in named if value in config.queues), None) or config.default
    if chosen is None:
        raise UsageError(
            f"no default queue: say -d QUEUE ({', '.join(config.queues)}), or set default in {config.path}"
        )
    if chosen not in config.queues:
        raise UsageError(f"there is no queue {chosen!r}; {config.path} has {', '.join(config.queues)}")
    return config.queues[chosen]


@dataclass(frozen=True, slots=True, kw_only=True)
class Wishes:
    """Who wants a request to be sent, and how."""

    user: str
    options: Options
    title: str | None
    priority: int
    when: str
    mail: bool


class _Submission:
    """One request on its way into the spool."""

    def __init__(
        self,
        draft: Draft,
        settings: QueueSettings,
        sources: list[str],
        wishes: Wishes,
        seen: Callable[[int], None],
    ) -> None:
        self.draft = draft
        self.seen = seen
        self.settings = settings
        self.sources = sources
        self.host = os.uname().nodename
        self.options = wishes.options
        self.instrument = checked_taker(settings, wishes.options.instrument or settings.instrument)
        now = time.time_ns()
        hold, later = not_before(wishes.when, now)
        remote = wishes.options.remote
        _check_remote(settings, remote)
        self.ticket = Ticket(
            user=wishes.user,
            title=wishes.title or _title(sources[0]),
            queued=now,
            priority=wishes.priority,
            maxftp=wishes.options.maxftp,
            remhost=remote.host,
            rempath=remote.path,
            remuser=remote.user,
            rempw=remote.password,
            hold=hold,
            not_before=later,
            mail=wishes.mail,
        )
        self.id = RequestId(draft.spool.next_number(), settings.name)

    def accept(self) -> Request:
        """Copy every file, then make the request queued with one step."""
        size = sum(self.add(part, source) for part, source in enumerate(self.sources, start=1))
        self.draft.write("request", format_record(self.ticket).encode())
        self.draft.commit(self.id)
        return Request(id=self.id, files=len(self.sources), bytes=size)

    def add(self, part: int, source: str) -> int:
        """Copy one file into the draft with its control file; return its size in bytes."""
        standard_input = source == STANDARD_INPUT
        with _opened(source) as descriptor:
            name = self.name_of(source)
            size, checksum, mtime = self.copy(part, source, descriptor)
        if standard_input and not size:
            raise EmptyInputError("nothing came from standard input; nothing was queued")
        control = ControlFile(
            id=new_id(),
            instrument=self.instrument,
            name=_as_utf8(name),
            path=None if standard_input else _as_utf8(os.path.abspath(source)),
            size=size,
            checksum=checksum,
            mtime=mtime,
            queued=self.ticket.queued,
            request=str(self.id),
            part=f"{part}/{len(self.sources)}",
            spool=self.draft.spool.id,
            host=self.host,
            user=self.ticket.user,
            title=self.ticket.title,
            agent=f"archq/{__version__}",
            options=self.options.travelling,
        )
        self.draft.write(f"{part}.cf", format_control(control, room=ROOM_FOR_DELIVERY))
        return size

    def name_of(self, source: str) -> str:
        """Return what ``source`` is to be called in the archive."""
        standard_input = source == STANDARD_INPUT
        try:
            return checked_file_name(self.ticket.title if standard_input else os.path.basename(source))
        except MalformedError as error:
            raise MalformedError(
                f"{f'the title {self.ticket.title}' if standard_input else source}: {error}"
            ) from error

    def copy(self, part: int, source: str, descriptor: int) -> tuple[int, Checksum, int]:
        """Copy and sum in one pass; return size in bytes, checksum and mtime in nanoseconds since 1970."""
        before = os.fstat(descriptor)
        regular = stat.S_ISREG(before.st_mode)
        start = os.lseek(descriptor, 0, os.SEEK_CUR) if regular else 0  # somebody may have read its beginning
        mtime = before.st_mtime_ns if regular else time.time_ns()  # a pipe has no size or time of its own
        linked = regular and self.linked(part, source, before)
        whole = regular and start == 0 and before.st_size >= CLONED_FROM
        try:
            size, checksum = self.summed(descriptor) if linked else self.copied(part, descriptor, mtime, clonable=whole)
        except ReadError as error:
            raise _unreadable(source, error) from error
        after = os.fstat(descriptor)
        if regular and (before.st_mtime_ns, before.st_size, size) != (
            after.st_mtime_ns,
            after.st_size,
            after.st_size - start,
        ):
            raise TemporaryError(
                f"{_shown(source)} changed while it was read: submit it when it is complete; nothing was queued"
            )
        return size, checksum, mtime

    def summed(self, descriptor: int) -> tuple[int, Checksum]:
        """Sum a source that is linked, and so has to be on stable storage itself."""
        size, checksum = sum_file(descriptor, self.settings.checksum, self.seen)
        self.draft.sync(descriptor)
        return size, checksum

    def copied(self, part: int, descriptor: int, mtime: int, *, clonable: bool) -> tuple[int, Checksum]:
        """Copy and sum; the copy gets the source's time, by which its delivery knows that nobody has changed it."""
        target = self.draft.create(f"{part}.df")

        def seen(count: int) -> None:
            self.draft.wrote(count)
            self.seen(count)

        if clonable and durable.clone(descriptor, target):
            size, checksum = sum_file(target, self.settings.checksum, self.seen)  # and not the source, which may change
        else:
            size, checksum = copy_and_sum(descriptor, target, self.settings.checksum, seen)
        os.utime(target, ns=(mtime, mtime))
        self.draft.finish()
        return size, checksum

    def linked(self, part: int, source: str, opened: os.stat_result) -> bool:
        """Give the source a second name in the spool if the queue wants no copies and the disk is the same."""
        if self.settings.spool_mode != "link" or source == STANDARD_INPUT:
            return False
        return self.draft.link(source, f"{part}.df", opened)


def _as_utf8(name: str) -> str:
    """Return the name's bytes as UTF-8, as control files have them, whatever this machine's locale takes them for."""
    return os.fsencode(name).decode("utf-8", "surrogateescape")


def _shown(source: str) -> str:
    return "standard input" if source == STANDARD_INPUT else source


def _title(source: str) -> str:
    return "standard input" if source == STANDARD_INPUT else os.path.basename(source)


@contextmanager
def _opened(source: str) -> Iterator[int]:
    if source == STANDARD_INPUT:
        if sys.stdin is None:
            raise NoInputError(
                "standard input is closed: name a file, or give it something to read; nothing was queued"
            )
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
    if source != STANDARD_INPUT and os.path.islink(source):
        return NoInputError(f"{source} is a symbolic link: submit the file it points to; nothing was queued")
    if isinstance(error, durable.NotARegularFileError):
        return NoInputError(f"{source} is not a regular file; nothing was queued")
    translated = from_os_error(error, f"read {_shown(source)}")
    return type(translated)(f"{translated}; nothing was queued")


def checked_taker(settings: QueueSettings, instrument: str) -> str:
    """Return ``instrument`` if the queue takes it, else raise UsageError."""
    if settings.instruments and instrument not in settings.instruments:
        takes = ", ".join(settings.instruments)
        raise UsageError(
            f"the queue {settings.name} does not take the instrument {instrument!r}: it takes {takes}; "
            "say which one with -o inst=NAME"
        )
    return instrument


def _check_remote(settings: QueueSettings, remote: Remote) -> None:
    """Refuse now what could never be sent; raise UsageError."""
    if remote:
        from archq.transports.accounts import destination_of

        destination_of(settings, remote)


def not_before(when: str, now: int) -> tuple[str | None, int]:
    """Return what ``-H`` says: why a request is held (None: it is not), and from when it may be sent (0: at once).

    ``when`` is hold, immediate (or resume, as lp has it) or HH:MM, which is the next such local time after ``now``, or
    with a Z behind it the next such UTC.  Instants are nanoseconds since 1970.  Raise UsageError for another word.
    """
    if when in ("hold", "indefinite"):
        return f"held by {account_name()}", 0
    if when in ("immediate", "resume"):
        return None, 0
    match = _TIME_OF_DAY.fullmatch(when)
    if not match:
        raise UsageError(f"-H {when}: not hold, immediate or a local time such as 18:30 (in UTC: 01:30Z)")
    return None, (_next_utc if match[3] else _next_local)(int(match[1]), int(match[2]), now)


def _next_utc(hour: int, minute: int, now: int) -> int:
    days, seconds = divmod(now // SECOND, 86_400)
    wanted = hour * 3600 + minute * 60
    return ((days + (wanted <= seconds)) * 86_400 + wanted) * SECOND


def _next_local(hour: int, minute: int, now: int) -> int:
    local = time.localtime(now // SECOND)
    wanted = (local.tm_year, local.tm_mon, local.tm_mday, hour, minute, 0, 0, 0, -1)
    instant = int(time.mktime(wanted)) * SECOND
    if instant <= now:
        instant = int(time.mktime((*wanted[:2], wanted[2] + 1, *wanted[3:]))) * SECOND  # mktime carries over
    return instant


def account_name() -> str:
    """Return the account's name; a number where the account has none (a container, say)."""
    import pwd

    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
