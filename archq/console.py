"""The one place where an error becomes a message and an exit status, for all three programs."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from archq.errors import ArchqError, ExitStatus, from_os_error

if TYPE_CHECKING:
    from collections.abc import Callable

    import click


def printable(text: str) -> str:
    """Return ``text`` with everything that could steer a terminal, or break the line, shown as an escape.

    File names are data: they may hold ESC, a newline, a text-direction mark or bytes that are no UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def complain(program: str, message: str) -> None:
    """Print one line on standard error."""
    print(f"{program}: {printable(message)}", file=sys.stderr, flush=True)


def run(program: str, main: Callable[[], int | None]) -> int:
    """Call ``main`` and return the exit status of ``program``; every error becomes one line on standard error."""
    try:
        status = main()
        sys.stdout.flush()
    except ArchqError as error:
        complain(program, str(error))
        return error.status
    except KeyboardInterrupt:
        complain(program, "interrupted")
        return ExitStatus.INTERRUPTED
    except BrokenPipeError:
        return _reader_left()
    except OSError as error:
        translated = from_os_error(error, f"use {_named(error)}")
        complain(program, str(translated))
        return translated.status
    except Exception as error:
        if os.environ.get("ARCHQ_DEBUG"):
            raise
        complain(
            program,
            f"our own bug: {type(error).__name__}: {error}; please report it (ARCHQ_DEBUG=1 shows where)",
        )
        return ExitStatus.BUG
    return status or ExitStatus.DONE


def run_click(program: str, command: click.Command, arguments: list[str] | None = None) -> int:
    """Run a click command as :func:`run` does, its own errors included, and return the exit status."""
    import click

    def main() -> int | None:
        try:
            return command.main(args=arguments, prog_name=program, standalone_mode=False)  # type: ignore[no-any-return]
        except click.exceptions.NoArgsIsHelpError as error:
            print(error.format_message(), file=sys.stderr)
            return ExitStatus.USAGE
        except click.ClickException as error:
            complain(program, _sentence(error))
            return ExitStatus.USAGE
        except click.Abort:
            raise KeyboardInterrupt from None

    return run(program, main)


def _sentence(error: click.ClickException) -> str:
    message = error.format_message().strip().rstrip(".")
    context = getattr(error, "ctx", None)
    words = f" (see {context.command_path} --help)" if context else ""
    return f"{message[:1].lower()}{message[1:]}{words}"


def _named(error: OSError) -> str:
    name = error.filename2 or error.filename
    return os.fsdecode(name) if isinstance(name, str | bytes) else "a file"


def _reader_left() -> int:
    """End quietly when the reader of our output has gone, as a Unix filter does (`archq status | head`)."""
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, sys.stdout.fileno())
    return ExitStatus.DONE
