"""Which process a claim belongs to, and whether that process still lives."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from dataclasses import dataclass

DEAD_AFTER = 600.0  # seconds without a sign of life, by the file server's clock: for processes of other machines

_DEAD_STATES = frozenset({b"Z", b"X"})  # it only waits for its parent to take note (proc_pid_stat(5))
_TEXT = re.compile(
    r"(?P<host>[A-Za-z0-9._-]+)~(?P<boot>[0-9a-f]*)~(?P<space>[0-9]+)~(?P<pid>[0-9]+)~(?P<start>[0-9]+)~(?P<serial>[0-9]+)",
    re.ASCII,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Owner:
    """A process, told apart from every other one on any machine at any time; ``serial`` counts its claims."""

    host: str
    boot: str  # changes at every start of the machine
    space: int  # the namespace its process number counts in
    pid: int
    start: int  # when the process began, in clock ticks after the machine did
    serial: int = 0

    def __str__(self) -> str:
        return f"{self.host}~{self.boot}~{self.space}~{self.pid}~{self.start}~{self.serial}"


def parse_owner(text: str) -> Owner | None:
    """Return the owner that a claim's name tells, None where it is no claim's name."""
    match = _TEXT.fullmatch(text)
    if not match:
        return None
    numbers = {key: int(match[key]) for key in ("space", "pid", "start", "serial")}
    return Owner(host=match["host"], boot=match["boot"], **numbers)


def this_process() -> Owner:
    """Return this process as an owner."""
    host, boot, space = _here()
    return Owner(host=host, boot=boot, space=space, pid=os.getpid(), start=_start_of(os.getpid()) or 0)


def is_dead(owner: Owner, silence: float) -> bool:
    """Say whether the process is surely gone, or has been silent (seconds) for so long that it is taken for gone."""
    host, boot, space = _here()
    if owner.host == host and owner.boot != boot:
        return True  # this machine was started again since
    if (owner.host, owner.space) == (host, space):
        return _start_of(owner.pid) != owner.start
    return silence > DEAD_AFTER


@functools.cache
def _here() -> tuple[str, str, int]:
    host = re.sub(r"[^A-Za-z0-9._-]", "_", os.uname().nodename) or "_"
    boot, space = "", 0
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
        boot = file.read().strip().replace("-", "")[:12]
    with contextlib.suppress(OSError):
        space = os.stat("/proc/self/ns/pid").st_ino
    return host[:64], boot, space


def _start_of(pid: int) -> int | None:
    """Return when a process began; None: there is none.  A number is used again, but not with the same beginning."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            # The name in parentheses may hold blanks and parentheses itself.
            state, *fields = file.read().rpartition(b")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if state in _DEAD_STATES else int(fields[18])
