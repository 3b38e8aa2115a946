"""The incoming directory: what lies in it, by name only.

It is hostile ground.  Nothing in it is followed, and of all that lies there only wire names are looked at.
"""

from __future__ import annotations

import contextlib
import os
import re
from itertools import islice
from typing import TYPE_CHECKING, Self

from archq import durable
from archq.errors import from_os_error
from archq.light import dataclass, made_often
from archq.names import CONTROL, DATA, PROBE_INSTRUMENT, WireName, parse_logged_name, parse_wire_name
from archq.nights import named_night

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from contextlib import AbstractContextManager

_ROW = re.compile(r"(.*)/ *(.*)/(.*)/(.*)/(.*)\n")  # what _row makes
_DATA, _CONTROL, _ODD = 1, 2, 4
_KINDS = {DATA: _DATA, CONTROL: _CONTROL}


@made_often
@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one look at the directory showed of one arrival."""

    wire: WireName  # of its data file
    place: str = ""  # the dated subdirectory it lies in
    data: bool
    control: bool
    odd: bool = False  # one of the two is no regular file


@dataclass(frozen=True, slots=True)
class Sightings:
    """What one look at a directory showed, oldest first: ``step`` by ``step``, from number ``start`` on.

    It is one text with a line for each arrival, as there may be very many: forked processes can read it together.
    """

    _text: str
    _step: int = 1
    _start: int = 0

    def __len__(self) -> int:
        return len(range(self._start, self._text.count("\n"), self._step))

    def __iter__(self) -> Iterator[Sighting]:
        return map(_sighting, islice(_ROW.finditer(self._text), self._start, None, self._step))

    def parts(self, count: int) -> list[Sightings]:
        """Return ``count`` parts, each of which begins with the oldest."""
        return [Sightings(self._text, count, number) for number in range(count)]


class Incoming:
    """An open incoming directory."""

    def __init__(self, path: str) -> None:
        """Open it; raise ArchqError where that cannot be done."""
        self.path = path
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            why = from_os_error(error, f"open the incoming directory {path}")
            remedy = "see that it is there for this account, or name another with -f or [sweeper] incoming"
            raise type(why)(f"{why}: {remedy}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def sightings(self, wanted: Callable[[str], bool]) -> Sightings:
        """Return the arrivals of the instruments that are wanted, oldest first; probes are none of them.

        What an earlier `sweeper -A` put into dated directories lies one level down.
        """
        rows: list[str] = []
        with durable.naming(self.descriptor):
            for place in ("", *(name for name in os.listdir(self.descriptor) if named_night(name))):
                rows += self._rows(place, lambda name: wanted(name) and name != PROBE_INSTRUMENT)
        return Sightings("".join(sorted(rows)))

    def probes(self) -> Sightings:
        """Return what `archq doctor` has sent to try the way."""
        with durable.naming(self.descriptor):
            return Sightings("".join(sorted(self._rows("", lambda name: name == PROBE_INSTRUMENT))))

    def unfinished(self, wanted: Callable[[str], bool]) -> Iterator[tuple[WireName, int]]:
        """Yield the uploads under their temporary names, and when each last went on, in nanoseconds since 1970."""
        with durable.naming(self.descriptor), os.scandir(self.descriptor) as entries:
            for entry in entries:
                wire = parse_logged_name(entry.name) if entry.name.startswith(".") else None
                if wire and wanted(wire.instrument):
                    with contextlib.suppress(FileNotFoundError):
                        yield wire, entry.stat(follow_symlinks=False).st_mtime_ns

    def _rows(self, place: str, wanted: Callable[[str], bool]) -> Iterator[str]:
        try:
            with self.opened(place) as directory, os.scandir(directory) as entries:
                seen = _flags(entries, wanted)
        except OSError:
            if not place:
                raise
            return  # a link or a file with a date for its name, or closed to us
        while seen:
            base, flags = seen.popitem()
            yield _row(base, flags, place)

    def opened(self, place: str) -> AbstractContextManager[int]:
        """Hold a descriptor of one of the places that :meth:`sightings` told."""
        if place:
            return durable.opened_directory(place, directory=self.descriptor)
        return contextlib.nullcontext(self.descriptor)


def _flags(entries: Iterable[os.DirEntry[str]], wanted: Callable[[str], bool]) -> dict[str, int]:
    """Return which of an arrival's files are there, by what their wire names have in common."""
    seen: dict[str, int] = {}
    unwanted: set[str] = set()  # instruments
    for entry in entries:
        base, _dot, kind = entry.name.rpartition(".")
        flag = _KINDS.get(kind)
        if flag is None or base.partition(".")[0] in unwanted:
            continue
        if base not in seen:
            wire = parse_wire_name(entry.name)
            if wire is None:
                continue
            if not wanted(wire.instrument):
                unwanted.add(wire.instrument)
                continue
        seen[base] = seen.get(base, 0) | flag | (0 if entry.is_file(follow_symlinks=False) else _ODD)
    return seen


def _row(base: str, flags: int, place: str) -> str:
    instrument, file_id, attempt = base.split(".")
    return f"{file_id}/{attempt:>9}/{instrument}/{flags}/{place}\n"


def _sighting(row: re.Match[str]) -> Sighting:
    file_id, attempt, instrument, digit, place = row.groups()
    flags = int(digit)
    return Sighting(
        wire=WireName(instrument=instrument, id=file_id, attempt=int(attempt)),
        place=place,
        data=bool(flags & _DATA),
        control=bool(flags & _CONTROL),
        odd=bool(flags & _ODD),
    )
