"""The command `archq`: its submit by the short way, since a data system waits for that, and all else by click's."""

from __future__ import annotations

import gc
import sys

from archq.console import leave, run, run_click
from archq.submitting import PROGRAM, parsed, submit_files


def main() -> None:
    """Run the command and exit."""
    command, *arguments = sys.argv[1:] or [""]
    wishes = parsed(arguments) if command == "submit" else None
    if wishes is not None:
        gc.disable()  # as archq-lp does
        leave(run(PROGRAM, lambda: submit_files(**wishes)))
    from archq.commands import cli

    leave(run_click(PROGRAM, cli))


if __name__ == "__main__":
    main()
