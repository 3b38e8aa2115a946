"""The one place where an error becomes a message and an exit status, for all three programs."""

from __future__ import annotations

import os
import sys

from archq.errors import ArchqError, ExitStatus, UsageError, from_os_error
from archq.light import IntEnum, contextmanager, suppress

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import NoReturn, TextIO

    import click

    from archq.meter import Meter

_meters: list[Meter] = []  # the one that is shown now, if any


def printable(text: str) -> str:
    """Return ``text`` with everything that could steer a terminal, or break the line, shown as an escape.

    File names are data: they may hold ESC, a newline, a text-direction mark or bytes that are no UTF-8.
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class Colour(IntEnum):
    """What a line is told in where colour says more than the words alone, and a terminal shows it."""

    PLAIN = 0
    RED = 31
    YELLOW = 33


def tell(line: str, colour: Colour = Colour.PLAIN) -> None:
    """Print one line on standard output, as data: nothing in it steers a terminal."""
    make_way()
    text = printable(line)
    print(f"\x1b[{colour}m{text}\x1b[0m" if colour and _shows_colours() else text, flush=True)


def width() -> int | None:
    """Return the columns of the terminal that standard output is, None where it is none: there lines stay whole."""
    if sys.stdout is None or not sys.stdout.isatty():
        return None
    from archq.meter import width_of

    return width_of(sys.stdout)


def _shows_colours() -> bool:
    plain = os.environ.get("NO_COLOR") or _is_dumb()
    return sys.stdout is not None and sys.stdout.isatty() and not plain


def _is_dumb() -> bool:
    """Say whether the terminal takes none of the signs that clear a line or colour it."""
    return os.environ.get("TERM") in {None, "", "dumb"}


def complain(program: str, message: str) -> None:
    """Print one line on standard error; where that cannot be, the exit status has to tell."""
    if sys.stderr is None:  # closed by our caller, and print() would take standard output instead
        return
    make_way()
    try:
        print(f"{program}: {printable(message)}", file=sys.stderr, flush=True)
    except OSError:
        _discard(sys.stderr)


@contextmanager
def progress(label: str, total: int, unit: str | None = None) -> Iterator[Callable[[int], None]]:
    """Show on a terminal how far work has come that takes longer than a second; yield what to call with each step.

    ``total`` is the sum of all steps, in bytes or in ``unit`` ("arrivals"), and 0 where it is not known.  A step of 0
    says that the work still goes on.  Elsewhere than on a terminal, and inside another bar, nothing is shown.
    """
    if sys.stderr is None or _meters or not sys.stderr.isatty() or _is_dumb():
        yield lambda _count: None
        return
    from archq.meter import Meter

    meter = Meter(printable(label), total, unit, sys.stderr)
    _meters.append(meter)
    try:
        yield meter.advance
    finally:
        _meters.remove(meter)
        meter.clear()


def make_way() -> None:
    """Take the bar away, if one is shown, before something else is written on the terminal."""
    for meter in _meters:
        meter.clear()


def run(program: str, main: Callable[[], int | None]) -> int:
    """Call ``main`` and return the exit status of ``program``; every error becomes one line on standard error."""
    _say_all_that_can_be_said()
    status = _status_of(program, main)
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except BrokenPipeError:
        _discard(sys.stdout)
    except OSError as error:
        _discard(sys.stdout)
        if status == ExitStatus.DONE:
            return _told(program, from_os_error(error, "write standard output"))
    return status


# For some of our signs, where a terminal's or a pipe's encoding has none.
_IN_OTHER_SIGNS = {"→": "->", "…": "...", "≤": "<="}


def _say_all_that_can_be_said() -> None:
    """Let no sign that the locale's encoding lacks end a program: Latin-1 has no arrow, and a file's name any sign."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None and (getattr(stream, "encoding", None) or "utf-8").lower() not in {"utf-8", "utf8"}:
            import codecs

            codecs.register_error("archq", _in_other_signs)
            stream.reconfigure(errors="archq")  # type: ignore[union-attr]


def _in_other_signs(error: UnicodeError) -> tuple[str, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    signs = error.object[error.start : error.end]
    return "".join(_IN_OTHER_SIGNS.get(sign) or ascii(sign)[1:-1] for sign in signs), error.end


def leave(status: int) -> NoReturn:
    """End the process with ``status``, all being written and closed: the interpreter's own way out takes 1.5 ms."""
    os._exit(status)


def _status_of(program: str, main: Callable[[], int | None]) -> int:
    try:
        return main() or ExitStatus.DONE
    except ArchqError as error:
        return _told(program, error)
    except KeyboardInterrupt:
        complain(program, "interrupted")
        return ExitStatus.INTERRUPTED
    except OSError as error:
        if isinstance(error, BrokenPipeError) and _reader_left():
            return ExitStatus.DONE  # as a Unix filter does (`archq status | head`)
        return _told(program, from_os_error(error, _tried(error)))
    except Exception as error:
        if os.environ.get("ARCHQ_DEBUG"):
            raise
        words = f"{type(error).__name__}: {error}"
        complain(program, f"our own bug: {words}; please report it (ARCHQ_DEBUG=1 shows where)")
        return ExitStatus.BUG


def run_click(program: str, command: click.Command, arguments: list[str] | None = None) -> int:
    """Run a click command as :func:`run` does, its own errors included, and return the exit status."""
    import click

    if f"_{program}_COMPLETE".upper().replace("-", "_") in os.environ:  # a shell asks what could come next
        from archq.completion import teach

        teach(command)
        command.main(prog_name=program)

    def main() -> int | None:
        # Not command.main: it takes an EOFError for an interrupt, and a broken pipe of any kind for our reader's.
        try:
            with command.make_context(program, list(sys.argv[1:] if arguments is None else arguments)) as context:
                return command.invoke(context)  # type: ignore[no-any-return]
        except click.exceptions.Exit as error:
            return error.exit_code
        except click.Abort:
            raise KeyboardInterrupt from None
        except getattr(click.exceptions, "NoArgsIsHelpError", ()) as error:  # unknown to click 8.1
            print(error.format_message(), file=sys.stderr)
            return ExitStatus.USAGE
        except click.ClickException as error:
            raise UsageError(_sentence(error)) from error

    return run(program, main)


def _told(program: str, error: ArchqError) -> int:
    complain(program, str(error))
    return error.status


# For some of click's words, which are a programmer's.
_OUR_WORDS = {
    r"a valid float$": "a number",
    r"a valid integer( range)?$": "a whole number",
    r"in the range (-?\d+)<=x<=(-?\d+)$": r"from \1 to \2",
    r"in the range x>=(-?\d+)$": r"\1 or more",
}


def _sentence(error: click.ClickException) -> str:
    import re

    message = " ".join(error.format_message().split()).rstrip(".")
    for theirs, ours in _OUR_WORDS.items():
        message = re.sub(theirs, ours, message)
    context = getattr(error, "ctx", None)
    words = f" (see {context.command_path} --help)" if context else ""
    return f"{message[:1].lower()}{message[1:]}{words}"


def _tried(error: OSError) -> str:
    name = error.filename2 or error.filename
    return f"use {os.fsdecode(name)}" if isinstance(name, str | bytes) else "go on"


def _reader_left() -> bool:
    """Say whether it is the reader of our output that has gone, and not the other end of some connection."""
    import select

    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
        return any(events & (select.POLLERR | select.POLLHUP) for _descriptor, events in poll.poll(0))
    except (AttributeError, OSError, ValueError):  # no standard output, or one that is no file
        return False


def _discard(stream: TextIO) -> None:
    """Let what ``stream`` still holds vanish: the interpreter would try it again at its end, and complain."""
    with suppress(OSError):
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, stream.fileno())
        os.close(devnull)
