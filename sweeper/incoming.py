"""The incoming directory: what lies in it, by name only.

It is hostile ground.  Nothing in it is followed, and of all that lies there only wire names are looked at.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from archq import durable
from archq.errors import from_os_error
from archq.names import CONTROL, DATA, PROBE_INSTRUMENT, WireName, parse_wire_name
from sweeper.placement import is_dated

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_DATA, _CONTROL, _ODD = 1, 2, 4
_KINDS = {DATA: _DATA, CONTROL: _CONTROL}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sighting:
    """What one look at the directory showed of one arrival."""

    wire: WireName  # of its data file
    place: str = ""  # the dated subdirectory it lies in
    data: bool
    control: bool
    odd: bool = False  # one of the two is no regular file


class Incoming:
    """An open incoming directory."""

    def __init__(self, path: str) -> None:
        """Open it; raise ArchqError where that cannot be done."""
        self.path = path
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        except OSError as error:
            raise from_os_error(error, f"open the incoming directory {path}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self.descriptor)

    def sightings(self, wanted: Callable[[str], bool]) -> list[Sighting]:
        """Return the arrivals of the instruments that are wanted, oldest first.

        What an earlier `sweeper -A` put into dated directories lies one level down.
        """
        places = ["", *sorted(name for name in os.listdir(self.descriptor) if is_dated(name))]
        found = [sighting for place in places for sighting in self._in_place(place, wanted)]
        found.sort(key=lambda sighting: (sighting.wire.id, sighting.wire.attempt))
        return found

    def _in_place(self, place: str, wanted: Callable[[str], bool]) -> list[Sighting]:
        try:
            with self.opened(place) as directory, os.scandir(directory) as entries:
                seen = _flags(entries, wanted)
        except OSError:
            if not place:
                raise
            return []  # a link or a file with a date for its name, or closed to us
        return [
            Sighting(
                wire=wire, place=place, data=bool(flags & _DATA), control=bool(flags & _CONTROL), odd=bool(flags & _ODD)
            )
            for base, flags in seen.items()
            if (wire := parse_wire_name(f"{base}.{DATA}"))
        ]

    @contextlib.contextmanager
    def opened(self, place: str) -> Iterator[int]:
        """Hold a descriptor of one of the places that :meth:`sightings` told."""
        if not place:
            yield self.descriptor
            return
        with durable.opened_directory(place, directory=self.descriptor) as directory:
            yield directory


def _flags(entries: Iterable[os.DirEntry[str]], wanted: Callable[[str], bool]) -> dict[str, int]:
    """Return which of an arrival's files are there, by what their wire names have in common."""
    seen: dict[str, int] = {}
    for entry in entries:
        base, _dot, kind = entry.name.rpartition(".")
        flag = _KINDS.get(kind)
        if flag and (base in seen or _is_wanted(entry.name, wanted)):
            odd = 0 if entry.is_file(follow_symlinks=False) else _ODD
            seen[base] = seen.get(base, 0) | flag | odd
    return seen


def _is_wanted(name: str, wanted: Callable[[str], bool]) -> bool:
    wire = parse_wire_name(name)
    return wire is not None and (wanted(wire.instrument) or wire.instrument == PROBE_INSTRUMENT)
