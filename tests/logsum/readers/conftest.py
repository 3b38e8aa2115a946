"""Logs as servers leave them, and what logsum's readers make of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archq.instants import format_instant
from archq.zones import find_zone
from logsum.problems import Problems
from logsum.readers.ftplog import read_log

if TYPE_CHECKING:
    from pathlib import Path

    from logsum.events import Upload

ID = "01jd3v5t8n3q4r5s6t7v8w9x"


def name(letters: str, *, attempt: int = 1, kind: str = "df") -> str:
    """Give a wire name of minicam's whose id ends with two letters."""
    return f"minicam.{ID}{letters}.{attempt}.{kind}"


@dataclass(frozen=True)
class Read:
    """What a log told: its uploads, and the messages about the rest."""

    uploads: list[Upload]
    messages: list[str]

    @property
    def told(self) -> list[tuple[str, int, bool]]:
        """The last letters of the uploads' ids, their sizes and whether they were complete."""
        return [(one.wire.id[-2:], one.size, one.complete) for one in self.uploads]

    @property
    def times(self) -> list[str]:
        return [format_instant(one.ended, 0) for one in self.uploads]


def read(path: Path, zone: str = "UTC") -> Read:
    problems = Problems()
    uploads = list(read_log(str(path), find_zone(zone), problems))
    return Read(uploads, problems.messages())
