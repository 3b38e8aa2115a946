"""What `archq submit` does, and the short way to its words: click, which knows them too, takes 30 ms to load."""

from __future__ import annotations

import gc

from archq.console import complain, progress
from archq.errors import ExitStatus
from archq.lpfamily.scanner import Flags, last_values, operands, scan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import Any

    from archq.submission import Request

PROGRAM = "archq"
FLAGS = Flags(plain="cmsw", valued={"d": "", "o": "", "q": "", "H": "", "t": ""})


def parsed(arguments: Sequence[str]) -> dict[str, Any] | None:
    """Return what :func:`submit_files` is asked for, None where click has to say what is wrong, or to help."""
    words = scan(arguments, FLAGS)
    values = last_values(words)
    priority = values.get("q", "50")
    if any(word.problem or word.flag.startswith("-") for word in words) or not _is_priority(priority):
        return None
    return {
        "files": operands(words),
        "silent": "s" in values,
        "wait": "w" in values,
        "queue": values.get("d"),
        "options": [word.value or "" for word in words if word.flag == "o"],
        "priority": int(priority),
        "when": values.get("H", "immediate"),
        "title": values.get("t"),
        "mail": "m" in values,
    }


def _is_priority(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 3 and 1 <= int(text) <= 100


def submit_files(files: Sequence[str], *, silent: bool, wait: bool, **wishes: Any) -> int:
    """Queue ``files`` as one request and print its id unless ``silent``; with ``wait``, return when all is sent."""
    from archq.submission import announce, size_of, submit

    with progress("copying", size_of(files)) as seen:
        request = submit(files, warn=warn, seen=seen, **wishes)
    if not silent:
        announce(request)
    if wait:
        gc.enable()  # for hours, perhaps
        _wait(request)
    return ExitStatus.DONE


def warn(line: str) -> None:
    """Print one line on standard error."""
    complain(PROGRAM, line)


def _wait(request: Request) -> None:
    from archq.config import load
    from archq.spool import Spool
    from archq.status import wait_until_sent

    with progress(f"sending {request.id}", request.bytes) as gone:
        wait_until_sent(Spool(load("archq").spool), request.id, gone)
