"""How far the deliveries of a request are: a journal, in which the last line about a file counts (pure).

A line is ``part=N`` and a :class:`~archq.spool.filestate.FileState`.  Lines are only ever added, several at once where
several files go together, so that one wait for the disk serves them all.
"""

from __future__ import annotations

from archq import durable
from archq.errors import MalformedError
from archq.fields import add_pair, format_words
from archq.light import changed_fields
from archq.spool.filestate import FileState
from archq.spool.records import record_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable

_CUT = durable.CUT.rstrip(b"\n")


def format_entries(entries: Iterable[tuple[int, FileState]]) -> bytes:
    """Return the lines that say how far the delivery of each part is."""
    lines = (f"part={part} {format_words(_words(state))}\n" for part, state in entries)
    return "".join(lines).encode()


def _words(state: FileState) -> dict[str, str]:
    return {name: str(value) for name, value in changed_fields(state).items()}


def parse_journal(content: bytes, only: int | None = None) -> dict[int, FileState]:
    """Return the state of each part that a journal tells of, or of one; raise MalformedError for another text.

    What a dead writer left unfinished says nothing: whoever wrote it had not gone on yet.
    """
    lines = content.split(b"\n")[:-1]
    if only is not None:
        lines = [line for line in lines if line.startswith(b"part=%d " % only)]
    last = {}
    for line in lines:  # bytes, as one that was cut may end within a letter
        if line and not line.endswith(_CUT):
            part, _, rest = line.partition(b" ")
            last[part] = rest
    try:
        return {_number(part.decode()): record_of(FileState, _pairs(rest.decode())) for part, rest in last.items()}
    except UnicodeDecodeError as error:
        raise MalformedError(f"not a journal of deliveries: {error}") from error


def _number(word: str) -> int:
    key, _, number = word.partition("=")
    if key != "part" or not number.isdecimal():
        raise MalformedError(f"not a line about a part of a request: {word[:80]!r}")
    return int(number)


def _pairs(words: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for word in words.split(" ") if words else ():
        add_pair(pairs, word)
    return pairs
