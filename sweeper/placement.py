"""Where in the archive a file belongs: pure rules, and the refusal of every name that would lead out of it."""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING

from archq.errors import MalformedError
from archq.instants import SECOND
from archq.light import dataclass, made_often
from archq.nights import named_night, night_of

if TYPE_CHECKING:
    from datetime import tzinfo

    from archq.control import ControlFile
    from archq.signature import Key

Parts = tuple[str, ...]  # a directory below the archive's root, component by component

_MAX_DEPTH = 16
_MAX_NAME = 255  # bytes
_DIRECTORY_OPTION = "dir"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """What an archive accepts and where it puts it.  ``rollover`` and ``max_skew`` are in seconds."""

    zone: tzinfo
    rollover: int
    dated_format: str
    dated: bool
    subdirectory: Parts | None  # said on the command line, so before what the control file says
    heed_option: bool  # whether the control file's dir= counts
    max_skew: float
    forbidden: frozenset[Parts]  # directories and files below the root that are not for data
    signers: tuple[Key, ...] = ()  # whose signatures are accepted; none: no signature is asked for

    def chosen_by_sender(self, control: ControlFile) -> bool:
        """Say whether the directory is what the control file asks for with ``dir``."""
        return self.subdirectory is None and self.heed_option and bool(control.options.get(_DIRECTORY_OPTION))


@made_often
@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """A directory below the archive's root, and what the clocks have to do with it."""

    directory: Parts
    skew: float | None = None  # seconds that the sender's clock was behind; None: not noticeably wrong


def place_of(control: ControlFile, arrived: int, rules: Rules) -> Place:
    """Return where ``control``'s file belongs; ``arrived`` is when its control file did, nanoseconds since 1970.

    Raise MalformedError where its ``dir`` or its name may not be used.
    """
    skew = skew_of(control, arrived)
    noticed = skew if skew is not None and abs(skew) > rules.max_skew else None
    directory = _directory_of(control, rules, noticed or 0.0)
    for banned in rules.forbidden:
        if (*directory, control.name)[: len(banned)] == banned:
            raise MalformedError(f"{'/'.join((*directory, control.name))!r} is not a place for data")
    return Place(directory=directory, skew=noticed)


def skew_of(control: ControlFile, arrived: int) -> float | None:
    """Return by how many seconds the sender's clock was behind ours, None where it did not tell its time."""
    if control.started is None or control.seconds is None:
        return None
    return (arrived - control.started) / SECOND - control.seconds


def checked_subdirectory(text: str) -> Parts:
    """Return the components of a ``dir`` option; raise MalformedError for one that could lead elsewhere."""
    if text.startswith("/"):
        raise MalformedError(f"dir={text!r} is absolute: it has to be below the archive")
    parts = tuple(part for part in text.split("/") if part)
    if not parts or len(parts) > _MAX_DEPTH or "\0" in text:
        raise MalformedError(f"dir={text[:80]!r} names no directory, or one too deep")
    for part in parts:
        if part.startswith("."):
            raise MalformedError(f"dir={text[:80]!r}: a component that begins with a dot")
        if len(os.fsencode(part)) > _MAX_NAME:
            raise MalformedError(f"dir={text[:40]!r}…: a component of more than {_MAX_NAME} bytes")
    return parts


def _directory_of(control: ControlFile, rules: Rules, skew: float) -> Parts:
    if rules.subdirectory is not None:
        return rules.subdirectory
    if rules.chosen_by_sender(control):
        return checked_subdirectory(control.options[_DIRECTORY_OPTION])
    return (dated_directory(control, rules, skew),) if rules.dated else ()


def dated_directory(control: ControlFile, rules: Rules, skew: float) -> str:
    """Return the original directory's name if it is a date, else the night in which the file was queued."""
    parent = os.path.basename(os.path.dirname(control.path or ""))
    if named_night(parent):
        return parent
    try:
        night = night_of(control.queued + math.floor(skew * SECOND), rules.zone, rules.rollover)
    except (ValueError, OverflowError) as error:
        raise MalformedError("its times are not of the years 1 to 9999") from error
    return night.strftime(rules.dated_format)


def numbered(name: str, number: int) -> str:
    """Return ``img0001~2.fits`` for ``img0001.fits``: another name for other content, cut where it gets too long."""
    stem, suffix = os.path.splitext(name)
    if suffix in {".gz", ".fz", ".bz2", ".xz", ".Z", ".zst"}:
        stem, inner = os.path.splitext(stem)
        suffix = inner + suffix
    mark = f"~{number}"
    while len(os.fsencode(stem + mark + suffix)) > _MAX_NAME:
        stem, suffix = (stem[:-1], suffix) if len(stem) > 1 else (stem, suffix[:-1])
    return stem + mark + suffix
