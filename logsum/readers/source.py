"""What a reader is given beside the lines themselves, and what it is asked for."""

from __future__ import annotations

from archq.light import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from typing import Protocol

    from logsum.events import Upload
    from logsum.problems import Problems
    from logsum.readers.stamps import Calendar, ServerClock
else:
    Protocol = object  # typing takes 7 ms to load


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """The file that lines come from."""

    path: str
    problems: Problems
    clock: ServerClock
    calendar: Calendar  # for stamps that do not tell the year

    def uploads(self, lines: Iterable[bytes], parse: Callable[[bytes, Source], Upload | None]) -> Iterator[Upload]:
        """Yield what ``parse`` makes of each line; those for which it raises an error of a value are counted."""
        for line in lines:
            try:
                upload = parse(line, self)
            except (ValueError, KeyError, TypeError, OverflowError):
                self.problems.unreadable(self.path, line)
                continue
            if upload:
                yield upload


class Reader(Protocol):
    """A reader of one server's log.  One object reads all its rotated files, so it may remember what was begun."""

    def recognizes(self, line: bytes) -> bool:
        """Tell whether ``line`` is of the form that this reader knows."""

    def read(self, lines: Iterable[bytes], source: Source) -> Iterator[Upload]:
        """Yield the uploads of data files; other users' files, downloads and the like are none of ours.

        Lines that are of no known form are counted.
        """
