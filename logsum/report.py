"""From a request to what is to be told: find the logs, read them, count."""

from __future__ import annotations

from functools import cache
from itertools import chain

from archq.instants import SECOND
from archq.light import dataclass, field
from archq.names import ALL_INSTRUMENTS
from logsum.groups import BY_INSTRUMENT, grouping
from logsum.ledger import bring_together
from logsum.notes import Notes
from logsum.observing import Nights, nights_of
from logsum.readers.bulk import ask
from logsum.readers.columns import Question
from logsum.readers.transferlog import read_directory
from logsum.sources import find_scope
from logsum.tally import Tally, tally
from logsum.transfers import transfers
from logsum.unknown import enlarged, one_by_one

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import tzinfo

    from archq.config import Config
    from logsum.groups import Grouping
    from logsum.ledger import Ledger
    from logsum.notes import UsedTwice
    from logsum.period import Period
    from logsum.problems import Problems
    from logsum.readers.bulk import Answer
    from logsum.readers.columns import Packed
    from logsum.sources import Scope
    from logsum.transfers import Transfer


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """Where to look; the directory is that of the configuration where it is None."""

    directory: str | None
    ftp_log: str | None
    ftp_log_zone: tzinfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be reported, at the instant ``now``."""

    instrument: str
    period: Period
    now: int
    logs: Logs
    by: Collection[str] = ()  # tables of what
    names: bool = False  # whether names that were used twice are looked for
    latest: int = 0  # how many of the last arrivals and failures are told one by one


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of a table: a night, say, and what was counted in it."""

    key: int
    label: str
    tally: Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What is to be told, in any form.

    ``sections`` are the instruments, and after several ``all``; ``tables`` holds rows by grouping and section.
    """

    period: Period
    now: int
    sections: Mapping[str, Tally]
    tables: Mapping[str, Mapping[str, Sequence[Row]]] = field(default_factory=dict)
    used_twice: Sequence[UsedTwice] = ()
    arrivals: Sequence[Transfer] = ()  # the last first
    failures: Sequence[Transfer] = ()  # the last first

    @property
    def elapsed(self) -> float:
        """How many seconds of the period are over."""
        return max((min(self.period.end, self.now) - self.period.start) / SECOND, 0.0)


def make_report(request: Request, config: Config, problems: Problems) -> Report:
    """Return what the logs tell; raise NoInputError where there is no such instrument or log directory."""
    scope = find_scope(request.instrument, request.logs.directory, config)
    files = known_files(scope, request.period, problems)
    groupings = _groupings(request, config)
    seen = _seen(request, scope, files, problems, with_ends=bool(groupings))
    notes = Notes(request.latest, names=request.names)
    found = transfers(files, seen.singly if seen else None, request.period, scope)
    rest = one_by_one(seen.columns) if seen and groupings else ()
    counted = tally(notes.taken(chain(found, rest)), _keys(request, groupings))
    if seen and not groupings:
        _add_columns(counted, seen.columns, request)
    return Report(
        period=request.period,
        now=request.now,
        sections={title: counted.get(("", title, 0), Tally()) for title in _titles(request, counted, scope)},
        tables={one.name: _tables(one, counted, request) for one in groupings},
        used_twice=notes.used_twice,
        arrivals=notes.arrivals,
        failures=notes.failures,
    )


def known_files(scope: Scope, period: Period, problems: Problems, *, checksums: bool = False) -> Ledger:
    """Return what the transfer logs tell of each file that may count in ``period``."""
    verdicts = (
        verdict
        for directory in scope.directories
        for verdict in read_directory(directory, period.start, problems, period.end)
        if scope.title_of(verdict.instrument)
    )
    return bring_together(verdicts, period, checksums=checksums)


def _seen(request: Request, scope: Scope, files: Ledger, problems: Problems, *, with_ends: bool) -> Answer | None:
    """Return what the server's log tells, None where there is none."""
    path = request.logs.ftp_log
    if not path:
        return None
    question = Question(
        scope=scope,
        period=request.period,
        since=files.since,
        known=frozenset(id_.encode() for id_ in files),
        with_ends=with_ends,
    )
    try:
        return ask(path, request.logs.ftp_log_zone, question, problems)
    except OSError as error:
        problems.warn(f"cannot read the FTP log {path}: {error.strerror}; times are the transfer logs' instead")
        return None


def _add_columns(counted: dict[_Key, Tally], columns: Mapping[str, Sequence[Packed]], request: Request) -> None:
    for title, parts in columns.items():
        counted["", title, 0] = enlarged(counted.get(("", title, 0), Tally()), parts)
    if request.instrument == ALL_INSTRUMENTS:
        total = ("", ALL_INSTRUMENTS, 0)
        counted[total] = enlarged(counted.get(total, Tally()), [one for parts in columns.values() for one in parts])


def _groupings(request: Request, config: Config) -> list[Grouping]:
    zone = request.period.zone

    @cache
    def nights(title: str) -> Nights:
        return nights_of(title, config, zone)

    return [grouping(name, zone, nights) for name in request.by if name != BY_INSTRUMENT]


_Key = tuple[str, str, int]  # grouping, section, key in the grouping; the empty grouping counts the whole section


def _keys(request: Request, groupings: Sequence[Grouping]) -> Callable[[Transfer], Iterator[_Key]]:
    total = (ALL_INSTRUMENTS,) if request.instrument == ALL_INSTRUMENTS else ()

    def keys(transfer: Transfer) -> Iterator[_Key]:
        places = [("", 0), *((one.name, one.key_of(transfer)) for one in groupings)]
        for title in (transfer.title, *total):
            for name, key in places:
                yield name, title, key

    return keys


def _titles(request: Request, counted: Iterable[_Key], scope: Scope) -> list[str]:
    if request.instrument != ALL_INSTRUMENTS:
        return [request.instrument]
    found = {title for _grouping, title, _key in counted} | set(scope.titles.values())
    return [*sorted(found - {ALL_INSTRUMENTS}), ALL_INSTRUMENTS]


def _tables(grouping: Grouping, counted: Mapping[_Key, Tally], request: Request) -> dict[str, list[Row]]:
    found: dict[str, list[int]] = {}
    for name, title, key in counted:
        if name == grouping.name:
            found.setdefault(title, []).append(key)
    return {
        title: [
            Row(key=key, label=grouping.label(key), tally=counted.get((grouping.name, title, key), Tally()))
            for key in grouping.keys(title, keys, request.period, request.now)
        ]
        for title, keys in found.items()
    }
