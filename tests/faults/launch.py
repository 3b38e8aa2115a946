"""Our programs as processes forked from a warm interpreter: all calls that a tracer sees are the program's own."""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
import time
import tomllib
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

# Loaded here, so that no import is among the calls: what a program would load late as well.
import archq.changes
import archq.commands
import archq.shipping.queues
import archq.shipping.worker
import archq.spool.fsck
import archq.status
import archq.submission
import archq.transports.accounts
import archq.transports.file
import archq.transports.ftp
import archq.transports.sftp
import sweeper.cli
import sweeper.preview
import sweeper.sweep
import sweeper.telling
from archq import console, durable
from tests.tools import tool

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from contextlib import AbstractContextManager

COMMANDS = {"archq": archq.commands.cli, "sweeper": sweeper.cli.command}
MOST_SECONDS = 40.0
_PR_SET_PTRACER = 0x59616D61  # linux/prctl.h: who is not root may attach to our children only if they let us
_ANYBODY = ctypes.c_ulong(-1)
_PROCESSES = multiprocessing.get_context("fork")

# These load more when they are first used.
durable.can_sync_filesystem()
tomllib.loads("")


@dataclass(frozen=True, slots=True)
class Ended:
    """What a program came to; ``status`` is minus the signal's number where one ended it."""

    status: int
    output: str
    errors: str

    @property
    def is_killed(self) -> bool:
        return self.status < 0


@dataclass(frozen=True, slots=True)
class Started:
    """A program that waits at its first instruction, and goes on when told."""

    process: multiprocessing.process.BaseProcess
    gate: int
    output: Path
    errors: Path

    @property
    def pid(self) -> int:
        assert self.process.pid
        return self.process.pid

    def go(self) -> None:
        os.write(self.gate, b"!")

    def kill(self) -> None:
        self.process.kill()

    def ended(self, within: float = MOST_SECONDS) -> Ended:
        self.process.join(within)
        if self.process.exitcode is None:
            self.kill()
            self.process.join()
            raise TimeoutError(f"still running after {within:g} s: {self.errors.read_text(errors='replace')}")
        return Ended(
            self.process.exitcode, self.output.read_text(errors="replace"), self.errors.read_text(errors="replace")
        )


@contextmanager
def started(
    program: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    meddle: Callable[[], object] = lambda: None,
) -> Iterator[Started]:
    """Hold a program that was forked and waits; ``meddle`` is called in it before it begins."""
    reading, writing = os.pipe()
    waiting, ready = os.pipe()
    with tempfile.TemporaryDirectory(prefix="archq-faults-") as scratch:
        output, errors = Path(scratch, "output"), Path(scratch, "errors")
        process = _PROCESSES.Process(
            target=_serve,
            args=(program, list(words), dict(environment), meddle, (output, errors), (reading, writing), ready),
        )
        process.start()
        os.close(reading)
        os.close(ready)
        try:
            os.read(waiting, 1)  # else a tracer would see how the stage is set
            yield Started(process=process, gate=writing, output=output, errors=errors)
        finally:
            os.close(writing)
            os.close(waiting)
            process.kill()
            process.join()


def _serve(
    program: str,
    words: list[str],
    environment: dict[str, str],
    meddle: Callable[[], object],
    streams: tuple[Path, Path],
    gate: tuple[int, int],
    ready: int,
) -> None:
    reading, writing = gate
    os.close(writing)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)  # whatever our parent does at it
    os.environ.clear()
    os.environ.update(environment)
    _redirect(*streams)
    ctypes.CDLL(None).prctl(_PR_SET_PTRACER, _ANYBODY, 0, 0, 0)
    meddle()
    os.close(ready)
    if not os.read(reading, 1):
        os._exit(1)  # whoever should have opened the gate has gone
    os.close(reading)
    sys.exit(console.run_click(program, COMMANDS[program], words))


def _redirect(output: Path, errors: Path) -> None:
    """Give the process its own standard streams, whatever the test runner has made of them."""
    for number, path in ((0, Path(os.devnull)), (1, output), (2, errors)):
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.dup2(descriptor, number)
        os.close(descriptor)
    sys.stdin = open(0, closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115


def run(
    program: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    *,
    meddle: Callable[[], object] = lambda: None,
    tracing: Callable[[int], AbstractContextManager[object]] = nullcontext,
) -> Ended:
    """Run a program to its end; ``tracing`` is given its process id, and holds what watches it."""
    with started(program, words, environment, meddle=meddle) as it, tracing(it.pid):
        it.go()
        return it.ended()


def traced(
    program: str,
    words: Sequence[str],
    environment: Mapping[str, str],
    strace: Sequence[str],
    trace: Path,
    *,
    meddle: Callable[[], object] = lambda: None,
) -> Ended:
    """Run a program, and whatever it forks, under ``strace`` with these options; ``trace`` gets what it prints."""
    return run(program, words, environment, meddle=meddle, tracing=lambda pid: _tracing(pid, strace, trace))


@contextmanager
def _tracing(pid: int, options: Sequence[str], trace: Path) -> Iterator[None]:
    command = [tool("strace"), "-f", "-p", str(pid), "-o", str(trace), *options]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as tracer:
        assert tracer.stderr
        told = tracer.stderr.readline()
        if "attached" not in told:
            tracer.kill()
            raise RuntimeError(f"strace cannot trace our own child: {told.strip()}")
        try:
            yield
            _wait_for_end(tracer)
        finally:
            if tracer.poll() is None:
                tracer.terminate()
            tracer.stderr.close()


def _wait_for_end(tracer: subprocess.Popen[str]) -> None:
    """The tracer ends by itself when the last of those it traces has ended."""
    end = time.monotonic() + MOST_SECONDS
    while tracer.poll() is None and time.monotonic() < end:
        time.sleep(0.001)
