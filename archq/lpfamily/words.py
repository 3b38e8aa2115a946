"""What single options of lp mean (pure)."""

from __future__ import annotations

from archq.lpfamily.command import FamilyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

    from archq.lpfamily.scanner import Word


def priority_of(words: Sequence[Word]) -> int | None:
    """Return what -q says, None if it says nothing; raise FamilyError for what is no priority."""
    given = next((word.value for word in reversed(words) if word.flag in ("p", "q")), None)
    if given is None:
        return None
    if not (given.isascii() and given.isdigit() and 1 <= int(given[:4]) <= 100):
        raise FamilyError("Error - priority must be between 1 and 100.")
    return int(given)


def when_of(word: str) -> str:
    """Return what archq takes for lp's ``-H word``: a time of day is UTC there."""
    return f"{word}Z" if ":" in word else word


def copies_of(word: str) -> int:
    """Return what -n says; raise FamilyError for what is no number of copies."""
    if not (word.isascii() and word.isdigit() and int(word[:9])):
        raise FamilyError("Error - copies must be 1 or more.")
    return int(word[:9])
