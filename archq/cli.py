"""The command `archq`: submit and ship by the short way, since somebody waits for them, and all else by click's."""

from __future__ import annotations

import gc
import sys

from archq.console import leave, run, run_click
from archq.submitting import PROGRAM

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence


def main() -> None:
    """Run the command and exit."""
    command, *arguments = sys.argv[1:] or [""]
    if work := _by_the_short_way(command, arguments):
        leave(run(PROGRAM, work))
    from archq.commands import cli

    leave(run_click(PROGRAM, cli))


def _by_the_short_way(command: str, arguments: Sequence[str]) -> Callable[[], int] | None:
    """Return what ``arguments`` ask for, None where click has to see to it."""
    if command == "submit":
        from archq.submitting import parsed, submit_files

        gc.disable()  # as archq-lp does
        wishes = parsed(arguments)
        return None if wishes is None else lambda: submit_files(**wishes)
    if command == "ship":
        from archq.sending import parsed as parsed_for_ship
        from archq.sending import ship

        asked = parsed_for_ship(arguments)
        return None if asked is None else lambda: ship(**asked)
    return None


if __name__ == "__main__":
    main()
