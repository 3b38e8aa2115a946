"""What strace prints, as calls."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What changes files or names.  Between two of these the disk is the same, whatever is read meanwhile.
CHANGING = (
    "?open,?openat,?creat,?mkdir,?mkdirat,?mknod,?mknodat,?rename,?renameat,?renameat2,?link,?linkat,?symlink,"
    "?symlinkat,?unlink,?unlinkat,?rmdir,?write,?writev,?pwrite64,?pwritev,?ftruncate,?truncate,?fallocate,"
    "?fsync,?fdatasync,?syncfs,?utimensat,?chmod,?fchmod,?fchmodat,?chown,?fchown,?fchownat,?copy_file_range,"
    "?sendfile"
)
READING = (
    "?close,?read,?readv,?pread64,?lseek,?stat,?lstat,?fstat,?newfstatat,?statx,?getdents64,?flock,?fcntl,"
    "?access,?faccessat,?faccessat2,?statfs,?fstatfs,?dup,?dup2,?dup3,?sendto,?recvfrom"
)

_LINE = re.compile(r"(?P<pid>\d+) +(?:<\.\.\. \w+ resumed>|(?P<name>\w+)\()(?P<rest>.*)")
_RESULT = re.compile(r"\) += (?P<result>-?\d+|\?)(?:<(?P<path>[^>]*)>\S*)?(?: (?P<error>E[A-Z]+))?.*")
_UNFINISHED = " <unfinished ...>"


@dataclass(frozen=True, slots=True)
class Call:
    """One system call that has returned; ``text`` is its arguments as strace shows them."""

    pid: int
    name: str
    text: str
    result: int | None  # None: it never returned
    path: str | None = None  # of the descriptor that it returned
    error: str | None = None


def calls(trace: Path) -> Iterator[Call]:
    """Yield the calls in the order in which they returned."""
    begun: dict[str, tuple[str, str]] = {}
    for line in trace.read_text(errors="surrogateescape").split("\n"):
        if not (match := _LINE.match(line)):
            continue
        pid, name, rest = match["pid"], match["name"], match["rest"]
        if rest.endswith(_UNFINISHED):
            begun[pid] = (name, rest.removesuffix(_UNFINISHED))
            continue
        if name is None:
            name, first = begun.pop(pid)
            rest = first + rest
        yield _call(int(pid), name, rest)


def _call(pid: int, name: str, rest: str) -> Call:
    found = list(_RESULT.finditer(rest))
    if not found or found[-1]["result"] == "?":
        return Call(pid, name, rest, None)
    last = found[-1]
    return Call(pid, name, rest[: last.start()], int(last["result"]), last["path"], last["error"])


def counts(trace: Path) -> Counter[str]:
    """Return how often each call is made by the process that makes it most often: so far can ``when=`` count."""
    by_process = Counter((call.pid, call.name) for call in calls(trace))
    most: Counter[str] = Counter()
    for (_pid, name), count in by_process.items():
        most[name] = max(most[name], count)
    return most


def points(trace: Path) -> list[tuple[str, int]]:
    """Return each call, by its name and the number of its kind that it is."""
    return [(call, number) for call, count in counts(trace).items() for number in range(1, count + 1)]


def killing(call: str, number: int) -> list[str]:
    """Return the options with which a program is killed instead of making its ``number``-th ``call``."""
    return ["-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}"]
