"""A terminal for programs that behave otherwise on one: what they write there, and what of it stays on the screen."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import struct
import subprocess
import sys
import termios
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

# A program's main function, whose bar is shown at once and after every step.
AT_ONCE = """
import sys
from archq import meter
meter.SHOWN_AFTER = meter.REDRAWN_EVERY = 0
sys.argv = {words!r}
from {module} import main
sys.exit(main())
"""


def written_by(script: str, *, width: int = 80, environment: Mapping[str, str] = os.environ, status: int = 0) -> str:
    """Return what a Python script writes on a terminal that it has to itself; it has to end with ``status``."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, width, 0, 0))
    settings = {"TERM": "xterm", **environment}
    with subprocess.Popen([sys.executable, "-c", script], stdout=theirs, stderr=theirs, env=settings) as program:
        os.close(theirs)
        written = b"".join(iter(lambda: _read(ours), b""))
        os.close(ours)
    assert program.returncode == status, written.decode()
    return written.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 4096)
    except OSError:  # nobody writes to the other end any more
        return b""


def left_of(written: str) -> list[str]:
    """Return the lines that stay on the screen."""
    lines = written.replace("\r\n", "\n").split("\n")
    return [text for text in (re.sub(r".*\r", "", line).replace("\x1b[K", "") for line in lines) if text]


class Typist:
    """Somebody at the terminal of a program, who reads what it shows before typing on."""

    def __init__(self, command: list[str], environment: Mapping[str, str]) -> None:
        self._ours, theirs = pty.openpty()
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 200, 0, 0))
        streams = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
        settings = {"TERM": "xterm", **environment}
        self._program = subprocess.Popen(command, env=settings, start_new_session=True, **streams)
        os.close(theirs)

    def type(self, text: str, until: str, *, patience: float = 20.0) -> str:
        """Type ``text``, read until ``until`` is shown and return all of that; give up after ``patience`` seconds."""
        os.write(self._ours, text.encode())
        shown, end = "", time.monotonic() + patience
        while until not in shown:
            readable, _, _ = select.select([self._ours], [], [], end - time.monotonic())
            assert readable, f"waited in vain for {until!r} after {shown!r}"
            shown += _read(self._ours).decode(errors="replace")
        return shown

    def leave(self) -> None:
        """End the program."""
        self._program.kill()
        self._program.wait()
        os.close(self._ours)
