"""What one ledger tells and another does not: the spool's, the server's and the sweeper's, file by file (pure)."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archq.transferlog import CONFLICT, DUPLICATE, SUPERSEDED, SWEPT
from logsum.arrivals import arrived, told
from logsum.period import HOUR

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from logsum.events import Sent, Upload, Verdict
    from logsum.ledger import File
    from logsum.period import Period
    from logsum.sources import Scope

SENT_NOT_ARRIVED = "sent, not arrived"
SENT_NOT_FILED = "sent, not filed"
ARRIVED_IN_PART = "arrived in part"
ARRIVED_NOT_FILED = "arrived, not filed"
FILED_NOT_SEEN = "filed, not seen by the server"
SIZES = "sizes differ"
CHECKSUMS = "checksums differ"
NAME = "name used twice"
KINDS = (
    SENT_NOT_ARRIVED,
    SENT_NOT_FILED,
    ARRIVED_IN_PART,
    ARRIVED_NOT_FILED,
    FILED_NOT_SEEN,
    SIZES,
    CHECKSUMS,
    NAME,
)

GRACE = HOUR  # nanoseconds: a file may be under way for so long before its absence is a difference

# Whose data are somewhere else, on purpose.
_DONE = frozenset({DUPLICATE, SUPERSEDED, SWEPT})


@dataclass(frozen=True, slots=True, kw_only=True)
class Ledgers:
    """What each ledger knows; None where there is no such ledger to compare with."""

    sent: Sequence[Sent] | None
    uploads: Sequence[Upload] | None
    files: Mapping[str, File]
    server_since: int = 0  # when the server's log begins, whoever's uploads it tells of first


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """One disagreement about one file.  ``time`` is in nanoseconds since 1970."""

    time: int
    title: str  # what the report calls its instrument
    kind: str
    wire: str
    detail: str


@dataclass(slots=True, kw_only=True)
class Comparison:
    """What was compared, and what came out."""

    period: Period
    sent: int | None = None
    arrived: int | None = None
    filed: int = 0
    differences: list[Difference] = field(default_factory=list)
    too_early: int = 0  # files that the server's log does not reach back to


@dataclass(frozen=True, slots=True, kw_only=True)
class _Known:
    """What the ledgers know of one file."""

    sent: Sent | None
    uploads: Sequence[Upload]
    brought: Upload | None
    file: File | None

    @property
    def archived(self) -> Verdict | None:
        return self.file.archived if self.file else None

    @property
    def time(self) -> int:
        """When it was transferred, by the ledger that is nearest to the wire."""
        if self.brought:
            return self.brought.ended
        if self.file:
            return (self.file.archived or self.file.latest).ended
        return self.uploads[-1].ended if self.uploads else self.sent.time if self.sent else 0


def compare(ledgers: Ledgers, period: Period, scope: Scope, now: int) -> Comparison:
    """Return what the ledgers disagree about of the files of ``scope`` that were transferred in ``period``.

    Those of the last hour before ``now`` may still be under way, and are not missed.
    """
    comparison = Comparison(period=period)
    names: dict[tuple[str, str], str] = {}
    for title, known in _all(ledgers, scope):
        if known.time not in period:
            continue
        _count(comparison, ledgers, known)
        found = list(_judged(known, ledgers, now))
        if known.archived:
            found += _name_used_twice(names, title, known.archived)
        wire = _wire(known)
        comparison.differences += [
            Difference(time=known.time, title=title, kind=kind, wire=wire, detail=detail) for kind, detail in found
        ]
    comparison.differences.sort(key=lambda one: (one.time, one.wire, one.kind))
    return comparison


def _all(ledgers: Ledgers, scope: Scope) -> Iterator[tuple[str, _Known]]:
    """Yield every file that any ledger knows, with what the report calls its instrument."""
    sent = {one.wire.id: one for one in ledgers.sent or ()}
    uploads: dict[str, list[Upload]] = defaultdict(list)
    for upload in ledgers.uploads or ():
        uploads[upload.wire.id].append(upload)
    brought = arrived(ledgers.uploads or (), ledgers.files)
    for id_ in dict.fromkeys((*sent, *uploads, *ledgers.files)):
        known = _Known(
            sent=sent.get(id_),
            uploads=uploads.get(id_, ()),
            brought=brought.get(id_),
            file=ledgers.files.get(id_),
        )
        title = scope.title_of(_instrument(known))
        if title:
            yield title, known


def _instrument(known: _Known) -> str:
    if known.file:
        return known.file.latest.instrument
    wire = known.uploads[-1].wire if known.uploads else known.sent.wire if known.sent else None
    return wire.instrument if wire else ""


def _wire(known: _Known) -> str:
    if known.file:
        return str(told(known.file))
    return str(known.uploads[-1].wire if known.uploads else known.sent.wire if known.sent else "")


def _count(comparison: Comparison, ledgers: Ledgers, known: _Known) -> None:
    if ledgers.sent is not None:
        comparison.sent = (comparison.sent or 0) + bool(known.sent)
    if ledgers.uploads is not None:
        comparison.arrived = (comparison.arrived or 0) + bool(known.brought)
    comparison.filed += bool(known.archived)
    comparison.too_early += ledgers.uploads is not None and not known.uploads and known.time < ledgers.server_since


def _judged(known: _Known, ledgers: Ledgers, now: int) -> Iterator[tuple[str, str]]:
    """Yield the kinds of disagreement about one file, each with its particulars."""
    if known.archived:
        if ledgers.uploads is not None and (known.uploads or known.archived.ended >= ledgers.server_since):
            yield from _filed_and_seen(known, known.archived)
        if known.sent:
            yield from _filed_and_sent(known.archived, known.sent)
    elif known.time <= now - GRACE and not (known.file and known.file.latest.outcome in _DONE):
        yield _missed(known, seen=ledgers.uploads is not None)


def _filed_and_seen(known: _Known, archived: Verdict) -> Iterator[tuple[str, str]]:
    if known.brought:
        return
    same_try = [one for one in known.uploads if one.wire == archived.wire]
    if same_try:
        yield SIZES, f"{archived.size} bytes were filed, the server tells of {same_try[-1].size}"
    else:
        yield FILED_NOT_SEEN, f"{archived.size} bytes, {archived.path}"


def _filed_and_sent(archived: Verdict, sent: Sent) -> Iterator[tuple[str, str]]:
    if sent.size is not None and archived.size is not None and sent.size != archived.size:
        yield SIZES, f"{archived.size} bytes were filed, {sent.size} were sent ({sent.name} of {sent.request})"
    elif sent.checksum and archived.checksum and _comparable(sent.checksum, archived.checksum):
        yield CHECKSUMS, f"{archived.checksum} was filed, {sent.checksum} was sent ({sent.name} of {sent.request})"


def _comparable(one: str, other: str) -> bool:
    """Tell whether two checksums are of one algorithm and differ."""
    return one.partition(":")[0] == other.partition(":")[0] and one != other


def _missed(known: _Known, *, seen: bool) -> tuple[str, str]:
    """Return what is wrong about a file that is not archived."""
    if known.file:
        latest = known.file.latest
        return ARRIVED_NOT_FILED, f"{latest.outcome}: {latest.reason or 'no reason is told'}"
    if known.uploads:
        last = known.brought or known.uploads[-1]
        whence = f"{last.size} bytes from {last.client or 'an unknown address'}{_of(last.user)}"
        return ARRIVED_NOT_FILED if known.brought else ARRIVED_IN_PART, whence
    assert known.sent, "a file that no ledger knows"
    return SENT_NOT_ARRIVED if seen else SENT_NOT_FILED, f"{known.sent.name} of {known.sent.request}"


def _of(user: str) -> str:
    return f" ({user})" if user else ""


def _name_used_twice(names: dict[tuple[str, str], str], title: str, archived: Verdict) -> Iterator[tuple[str, str]]:
    """Yield that the archive had the file's name already: it says so, or two files of the period have it."""
    taken = archived.beside if archived.outcome == CONFLICT else None
    name = taken or archived.path
    if not name:
        return
    first = names.setdefault((title, name), archived.wire.id)
    if taken:
        yield NAME, f"{name}; this one was filed as {archived.path}"
    elif first != archived.wire.id:
        yield NAME, f"{name}; {first} was filed under it, too"
