"""What a spool has sent: its own log, and the control files of the copies that it still keeps (archq-spool(7))."""

from __future__ import annotations

import os
import re
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

from archq.control import parse_control
from archq.errors import ArchqError, MalformedError, NoInputError
from archq.names import DATA, parse_wire_name
from archq.transferlog import Outcome, parse_outcome
from logsum.events import Sent
from logsum.period import clock_of
from logsum.readers.files import lines

if TYPE_CHECKING:
    from collections.abc import Iterator

    from logsum.problems import Problems

_LOGS = "log"
_KEPT = "sent"  # the requests whose copies are kept
_SENT = "sent"  # the event
_DATED = re.compile(r"(\d{8})\.log(?:\.gz)?", re.ASCII)


def read_spool(directory: str, since: int, problems: Problems) -> Iterator[Sent]:
    """Yield what the spool in ``directory`` has sent from ``since`` on.

    Raise NoInputError where there is no spool, OSError where it cannot be read.
    """
    logs = os.path.join(directory, _LOGS)
    if not os.path.isdir(logs):
        raise NoInputError(f"no spool in {directory}: there is no directory {_LOGS} in it; give the one of `archq`")
    first = clock_of(since, UTC).date()
    for name in sorted(os.listdir(logs)):
        match = _DATED.fullmatch(name)
        if match and _date(match[1]) >= first:
            yield from _read_log(directory, os.path.join(logs, name), since, problems)


def _date(digits: str) -> date:
    try:
        return datetime.strptime(digits, "%Y%m%d").replace(tzinfo=UTC).date()
    except ValueError:
        return date.max  # to be looked at


def _read_log(directory: str, path: str, since: int, problems: Problems) -> Iterator[Sent]:
    for line in lines(path, problems):
        try:
            event = parse_outcome(line)
            sent = _sent(directory, event) if event.outcome == _SENT and event.time >= since else None
        except (MalformedError, ValueError):
            problems.unreadable(path, line)
            continue
        if sent:
            yield sent


def _sent(directory: str, event: Outcome) -> Sent:
    facts = event.facts
    wire = parse_wire_name(f"{facts.get('wire', '')}.{DATA}")
    if not wire:
        raise MalformedError("a line without a wire name")
    request, part = facts.get("request", ""), facts.get("part", "").partition("/")[0] or "1"
    size, checksum = _kept(os.path.join(directory, _KEPT, request, f"{part}.cf"), wire.id)
    return Sent(wire=wire, time=event.time, request=request, name=facts.get("name", ""), size=size, checksum=checksum)


def _kept(path: str, id_: str) -> tuple[int | None, str | None]:
    """Return size and checksum of a copy, None where it is gone, or another file's."""
    try:
        with open(path, "rb") as file:
            control = parse_control(file.read())
    except (OSError, ArchqError):
        return None, None
    return (control.size, str(control.checksum)) if control.id == id_ else (None, None)
