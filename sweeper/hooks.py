"""The command that an instrument wants to be run after each file that has been filed.

What is owed is noted in the claim before the arrival leaves it, so that a sweeper that dies between owes it still, and
its successor runs the command: once at least, and seldom twice.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from archq import durable
from archq.control import seal, unseal
from archq.errors import MalformedError
from archq.quantities import format_duration
from archq.transferlog import CONFLICT, ERROR, FILED, Outcome
from sweeper.ledger import Ledger, Logs

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Mapping

    from sweeper.journal import Intent

OWED = ".owed"  # ends the name of a note in a claim

_BEAT = 30.0  # seconds between two signs of life while a command runs
_TAIL = 200  # bytes of a failed command's output


@dataclass(frozen=True, slots=True, kw_only=True)
class Hook:
    """A command, split into words when it is run, and the seconds it may take (0: any)."""

    command: str
    limit: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Owed:
    """One run of a hook: the facts go into its environment, its failure into the log."""

    hook: Hook
    facts: Mapping[str, str]
    logs: Logs
    log: str


def owe(directory: int, hook: Hook | None, intents: Iterable[Intent], *, logs: Logs, log: str) -> None:
    """Note in the claim ``directory`` what is owed for each file that was filed; stable when this returns."""
    if hook is None:
        return
    for intent in intents:
        if intent.outcome.outcome in {FILED, CONFLICT}:
            facts = {**intent.outcome.facts, "outcome": intent.outcome.outcome, "archive": intent.root}
            owed = Owed(hook=hook, facts=facts, logs=logs, log=log)
            name = str(intent.wire).rpartition(".")[0] + OWED
            durable.remove(name, directory=directory)
            durable.write_new(name, seal(json.dumps(asdict(owed)).encode() + b"\n"), directory=directory)
    durable.sync(directory)


def run_owed(claim: str) -> list[str]:
    """Run what is owed in the claim at the path ``claim``, one after the other; return what failed, as sentences."""
    failures = []
    with contextlib.suppress(FileNotFoundError), durable.opened_directory(claim) as directory:
        for name in sorted(name for name in durable.names_in(directory) if name.endswith(OWED)):
            if (owed := _read(directory, name)) and (reason := _failure(owed, directory)):
                failures.append(f"{owed.facts['wire']}: {reason}")
                _log(owed, reason)
            durable.remove(name, directory=directory)
    return failures


def _read(directory: int, name: str) -> Owed | None:
    """Return what is owed; a note that was cut short is written again by whoever settles the arrival."""
    with contextlib.suppress(MalformedError, ValueError, KeyError, TypeError, FileNotFoundError):
        with open(durable.open_unfollowed(name, directory=directory), "rb") as file:
            owed = json.loads(unseal(file.read()))
        return Owed(hook=Hook(**owed["hook"]), facts=owed["facts"], logs=Logs(**owed["logs"]), log=owed["log"])
    return None


def _failure(owed: Owed, directory: int) -> str | None:
    """Run the command; return why it failed, None if it did not."""
    import shlex  # these three take 10 ms to load, and most sweeps have nothing to run
    import subprocess
    import tempfile

    with tempfile.TemporaryFile() as output:
        try:
            process = subprocess.Popen(
                shlex.split(owed.hook.command),
                env=os.environ | environment_of(owed.facts),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd="/",
                start_new_session=True,  # so that what it starts can be ended with it
            )
        except (OSError, ValueError) as error:
            return f"on_filed cannot be run: {error}"
        if not _has_ended(process, owed.hook.limit, directory):
            return f"on_filed took more than {format_duration(owed.hook.limit)} and was ended"
        if process.returncode == 0:
            return None
        output.seek(max(0, output.seek(0, os.SEEK_END) - _TAIL))
        last = output.read().decode("utf-8", "replace").strip().rpartition("\n")[2]
        how = f"exit status {process.returncode}" if process.returncode > 0 else f"signal {-process.returncode}"
        return f"on_filed failed with {how}: {last}".removesuffix(": ")


def environment_of(facts: Mapping[str, str]) -> dict[str, str]:
    """Return the facts as environment variables, and the archived file's absolute path as ``ARCHQ_FILE``."""
    values = {**facts, "file": os.path.join(facts["archive"], facts["path"])}
    return {f"ARCHQ_{key.upper()}": value for key, value in values.items() if "\0" not in value}


def _has_ended(process: subprocess.Popen[bytes], limit: float, directory: int) -> bool:
    """Wait for ``process``, with signs of life for the claim; end it and what it has started when its time is over."""
    from subprocess import TimeoutExpired

    began = time.monotonic()
    while not limit or (left := began + limit - time.monotonic()) > 0:
        with contextlib.suppress(TimeoutExpired):
            process.wait(min(_BEAT, left) if limit else _BEAT)
            return True
        os.utime(directory)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    return False


def _log(owed: Owed, reason: str) -> None:
    facts = {key: owed.facts[key] for key in ("instrument", "wire") if key in owed.facts}
    with Ledger(owed.logs) as ledger, ledger.held():
        ledger.append([Outcome(time=time.time_ns(), outcome=ERROR, facts={**facts, "reason": reason})], owed.log)
