"""How the four drop-ins begin and end: their words checked, their errors told as lp's are, status 0 or 1."""

from __future__ import annotations

import os
import sys

from archq.console import complain, run
from archq.errors import ArchqError, ExitStatus
from archq.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from archq.lpfamily.scanner import Word


class FamilyError(ArchqError):
    """A message in the lp family's own words."""

    status = ExitStatus.USAGE


def run_drop_in(act: Callable[[list[str]], None]) -> int:
    """Call ``act`` with the command line and return the exit status: 0, 1, or 130 when interrupted."""

    def main() -> None:
        try:
            act(sys.argv[1:])
        except FamilyError:
            raise
        except ArchqError as error:
            raise FamilyError(f"Error - {error}") from error

    status = run(own_name(), main)
    return status if status in (ExitStatus.DONE, ExitStatus.INTERRUPTED) else 1


def own_name() -> str:
    """Return the name that we were called by, the one that the user expects in a message."""
    return os.path.basename(sys.argv[0])


def warn(message: str) -> None:
    """Print one line of warning on standard error."""
    complain(own_name(), f"Warning - {message}")


def refuse_mistakes(words: Sequence[Word]) -> None:
    """Raise FamilyError for the first word that cannot be taken."""
    if problem := next((word.problem for word in words if word.problem), None):
        raise FamilyError(f"Error - {problem}.")


def told_about_itself(words: Sequence[Word], usage: str) -> bool:
    """Print what --help or --version asks for; return whether one of them was among ``words``."""
    asked = {word.flag for word in words}
    if "--help" in asked:
        print(usage, end="")
    elif "--version" in asked:
        print(f"{own_name()} (archq) {__version__}")
    return bool(asked & {"--help", "--version"})
