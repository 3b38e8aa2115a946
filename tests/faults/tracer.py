"""A tracer that lets a call be done and then changes its answer, as a network does that loses the reply.

strace cannot: where it injects an error the call is not made.
"""

from __future__ import annotations

import ctypes
import errno
import multiprocessing
import os
import platform
import signal
import struct
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# linux/ptrace.h
_POKEUSER, _SYSCALL, _SEIZE, _INTERRUPT, _LISTEN, _GET_SYSCALL_INFO = 6, 24, 0x4206, 0x4207, 0x4208, 0x420E
_SYSGOOD, _FORK, _VFORK, _CLONE, _EXITKILL = 1, 2, 4, 8, 0x100000
_EVENT_STOP = 128
_ENTRY, _EXIT = 1, 2
_INFO = struct.Struct("=B3xIQQQQ")  # what it is, its machine, two pointers; the call and an argument, or the result
_IS_STOPPED_BY_CALL = signal.SIGTRAP | 0x80
_STOPS = {signal.SIGSTOP, signal.SIGTSTP, signal.SIGTTIN, signal.SIGTTOU}
_ALL_CHILDREN = 0x40000000  # __WALL

MACHINE = "x86_64"  # whose register and numbers these are
_RESULT = 80  # where the register of a call's result lies: RAX
NUMBERS = {
    "close": 3,
    "fsync": 74,
    "fdatasync": 75,
    "rename": 82,
    "mkdir": 83,
    "link": 86,
    "unlink": 87,
    "mkdirat": 258,
    "unlinkat": 263,
    "renameat": 264,
    "linkat": 265,
    "syncfs": 306,
    "renameat2": 316,
}
_OF_DESCRIPTORS = {NUMBERS[call] for call in ("close", "fsync", "fdatasync", "syncfs")}
_PROCESSES = multiprocessing.get_context("fork")


def lacking() -> str:
    """Say why this machine's programs cannot be traced so; nothing: they can."""
    return "" if platform.machine() == MACHINE else f"the registers of {platform.machine()} are not known to it"


@dataclass(frozen=True, slots=True)
class Loss:
    """The ``number``-th ``call`` of each process says ``error`` though it was done.

    But not where it is about a descriptor of something that lies below none of the ``places``: a pipe, say.
    """

    call: int
    number: int
    error: int
    places: tuple[str, ...]

    @classmethod
    def of(cls, call: str, number: int, error: str, *places: Path) -> Loss:
        return cls(NUMBERS[call], number, getattr(errno, error), tuple(map(str, places)))

    def is_about(self, pid: int, argument: int) -> bool:
        if self.call not in _OF_DESCRIPTORS:
            return True
        try:
            is_here = os.readlink(f"/proc/{pid}/fd/{argument}").startswith(self.places)
            return is_here and (self.call != NUMBERS["close"] or _may_write(pid, argument))
        except FileNotFoundError:
            return False


def _may_write(pid: int, descriptor: int) -> bool:
    """Say whether a descriptor was opened for writing: of others a file server has nothing to say at their end."""
    flags = Path(f"/proc/{pid}/fdinfo/{descriptor}").read_text().split("flags:")[1].split()[0]
    return int(flags, 8) & os.O_ACCMODE != os.O_RDONLY


@contextmanager
def losing(pid: int, loss: Loss, told: Path) -> Iterator[None]:
    """Lose a reply to process ``pid``, and to each that it forks; the file ``told`` then holds how often."""
    waiting, ready = os.pipe()
    tracer = _PROCESSES.Process(target=_trace, args=(pid, loss, told, ready), daemon=True)
    tracer.start()
    os.close(ready)
    try:
        if not os.read(waiting, 1):
            raise RuntimeError("our own child cannot be traced")
        yield
        tracer.join()
    finally:
        os.close(waiting)
        tracer.kill()
        tracer.join()


def _trace(pid: int, loss: Loss, told: Path, ready: int) -> None:
    tracer = _Tracer(loss)
    _ptrace(_SEIZE, pid, 0, _SYSGOOD | _FORK | _VFORK | _CLONE | _EXITKILL)
    _ptrace(_INTERRUPT, pid)
    os.write(ready, b"!")
    while tracer.step():
        pass
    told.write_text(str(tracer.lost))


@dataclass
class _Tracer:
    """What is known of the processes that are traced."""

    loss: Loss
    lost: int = 0
    seen: Counter[int] = field(default_factory=Counter)  # calls that each process has begun
    is_due: set[int] = field(default_factory=set)  # processes inside the call whose answer is to be lost

    def step(self) -> bool:
        """Wait for the next stop and go on; return whether anything is left that may stop."""
        try:
            pid, status = os.waitpid(-1, _ALL_CHILDREN)
        except ChildProcessError:
            return False
        if os.WIFSTOPPED(status):
            try:
                self._go_on(pid, os.WSTOPSIG(status), status >> 16)
            except ProcessLookupError:  # killed meanwhile
                return True
        return True

    def _go_on(self, pid: int, by: int, event: int) -> None:
        if by == _IS_STOPPED_BY_CALL:
            self._called(pid)
            _ptrace(_SYSCALL, pid)
        elif event == _EVENT_STOP and by in _STOPS:
            _ptrace(_LISTEN, pid)
        else:
            _ptrace(_SYSCALL, pid, 0, 0 if event else by)

    def _called(self, pid: int) -> None:
        where, value, argument = _call_of(pid)
        if where == _ENTRY and value == self.loss.call:
            self.seen[pid] += 1
            if self.seen[pid] == self.loss.number and self.loss.is_about(pid, argument):
                self.is_due.add(pid)
        elif where == _EXIT and pid in self.is_due:
            self.is_due.discard(pid)
            if value < 1 << 63:  # else the call has failed by itself, and so it says
                _ptrace(_POKEUSER, pid, _RESULT, -self.loss.error)
                self.lost += 1


def _call_of(pid: int) -> tuple[int, int, int]:
    """Return whether a process enters a call or leaves it; the call's number and first argument, or its result."""
    buffer = ctypes.create_string_buffer(128)
    _ptrace(_GET_SYSCALL_INFO, pid, len(buffer), ctypes.addressof(buffer))
    where, _machine, _instruction, _stack, value, argument = _INFO.unpack_from(buffer)
    return where, value, argument


_LIBRARY = ctypes.CDLL(None, use_errno=True)
_LIBRARY.ptrace.argtypes = (ctypes.c_long,) * 4
_LIBRARY.ptrace.restype = ctypes.c_long


def _ptrace(request: int, pid: int, address: int = 0, data: int = 0) -> None:
    if _LIBRARY.ptrace(request, pid, address, data) == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
