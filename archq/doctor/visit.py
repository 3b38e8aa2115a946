"""A visit to a queue's destination, step by step, in a process of its own that is ended when a step takes too long."""

from __future__ import annotations

import multiprocessing
import os
import signal
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING

from archq.doctor.probe import Probe
from archq.errors import ArchqError, ConfigurationError, ExitStatus, from_os_error
from archq.shipping.worker import die_with
from archq.transports import hostkeys
from archq.transports.accounts import COMMAND_SECONDS, destination_of, opened, secret_source, with_secret
from archq.transports.base import NotPermittedTransferError, Stage, TransferError, Watch

if TYPE_CHECKING:
    from collections.abc import Iterator
    from multiprocessing.connection import Connection

    from archq.config import QueueSettings
    from archq.transports.base import Transport
    from archq.transports.destination import Destination
    from archq.transports.hostkeys import HostKey

_PROCESSES = multiprocessing.get_context("fork")
_SECRET = "password"  # noqa: S105  # the name of a step
_PIN = "pin"
_ACCOUNT = "account"
_UNLIMITED = 60.0  # seconds that a step gets where the queue has no limit of its own

ADVICE = {
    Stage.RESOLVE: "check the host in the queue's url, and this machine's DNS: getent hosts {host}",
    Stage.CONNECT: "check that the server is up, the port right and no firewall between: nc -vz {host} {port}",
    Stage.CERTIFICATE: "name the authority that signed it in the queue's ca_file, or have the archive site mend it",
    Stage.HOST_KEY: "check that an SSH server listens there: ssh-keyscan -p {port} {host}",
    Stage.LOG_IN: "compare user and password or key in the queue's section with what the archive site has",
    Stage.DIRECTORY: "check the path in the queue's url: it is as the account sees it",
    "write": "ask the archive site to let this account make files in this directory",
    "leave": "ask the archive site to remove the files of archq-probe",
}
_WAIT = "ask the archive site, if it lasts; what is queued waits and goes when it works again"


class Verdict(StrEnum):
    """How a step ended."""

    OK = "ok"
    NO = "no"  # an ability is missing; the queue works without
    FAILED = "failed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One step and its result; ``text`` is the fact or the reason, ``status`` what a failure means."""

    step: str
    verdict: Verdict = Verdict.OK
    text: str = ""
    advice: str = ""
    status: ExitStatus = ExitStatus.DONE

    def __str__(self) -> str:
        if self.verdict is Verdict.FAILED:
            return f"failed: {self.text} → {self.advice}" if self.advice else f"failed: {self.text}"
        return f"{self.verdict} ({self.text})" if self.text else str(self.verdict)


def visit(settings: QueueSettings, pin: str | None = None) -> Iterator[Finding]:
    """Yield what each step has found; the last one is the account's ("full" or "upload-only"), or one that failed.

    A host key with the fingerprint ``pin`` is made the known one of a host that has none.
    """
    pipe, theirs = _PROCESSES.Pipe(duplex=False)
    process = _PROCESSES.Process(target=_serve, args=(settings, pin, theirs, os.getpid()), daemon=True)
    process.start()
    theirs.close()
    step = ""
    try:
        while pipe.poll(limit := _limit(settings, step)):
            message = pipe.recv()
            if isinstance(message, Finding):
                yield message
            else:
                step = message
        yield _hung(step, limit)
    except EOFError:
        return
    finally:
        process.kill()
        process.join()
        pipe.close()


def _limit(settings: QueueSettings, step: str) -> float:
    """Return the seconds that a step may take: more than the libraries' own limits, which say more."""
    own = settings.idle or _UNLIMITED
    return 1.5 * own + (COMMAND_SECONDS if step == _SECRET else 1.0)


def _hung(step: str, limit: float) -> Finding:
    return Finding(
        step=step,
        verdict=Verdict.FAILED,
        text=f"not done within {limit:.0f} s",
        advice=_WAIT,
        status=ExitStatus.TEMPORARY,
    )


def _serve(settings: QueueSettings, pin: str | None, pipe: Connection, parent: int) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    die_with(parent)
    visitor = _Visitor(settings, pin, pipe)
    try:
        visitor.go()
    except TransferError as error:
        visitor.fail(str(error), advice=visitor.advice(error), status=error.status)
    except ArchqError as error:
        visitor.fail(str(error), status=error.status)
    except Exception as error:
        text = f"our own bug: {type(error).__name__}: {error}"
        visitor.fail(text, advice="please report it", status=ExitStatus.BUG)


class _Visitor(Watch):
    """Goes through the steps, and tells each at its end."""

    def __init__(self, settings: QueueSettings, pin: str | None, pipe: Connection) -> None:
        self._settings = settings
        self._pin = pin
        self._pipe = pipe
        self._current: Finding | None = None
        self._label = ""
        self._destination: Destination | None = None

    def go(self) -> None:
        self._destination = destination_of(self._settings)
        self._label = f"{self._destination}: "
        session = self._opened(self._with_secret(self._destination))
        try:
            account = Probe(session, self).account()
        finally:
            session.close()
        self.start(_ACCOUNT)
        self._judge(account)
        self._end()

    # What the transports and the probe tell.

    def begin(self, stage: Stage) -> None:
        self.start(stage)

    def start(self, step: str) -> None:
        self._end()
        self._current = Finding(step=step)
        self._pipe.send(str(step))

    def found(self, fact: str) -> None:
        assert self._current
        self._current = replace(self._current, text=fact)
        if self._current.step == Stage.HOST_KEY and self._pin and self._pin not in fact:
            raise self._other_key(fact)

    def no(self, reason: str) -> None:
        assert self._current
        self._current = replace(self._current, verdict=Verdict.NO, text=reason.replace(self._label, ""))

    def fail(self, reason: str, *, advice: str = "", status: ExitStatus) -> None:
        step = self._current or Finding(step="url")
        text = reason.replace(self._label, "").removesuffix(f": {advice}")
        self._pipe.send(replace(step, verdict=Verdict.FAILED, text=text, advice=advice, status=status))

    def advice(self, error: TransferError) -> str:
        """Return what to do about ``error``, which ended the visit."""
        if advice := getattr(error, "advice", ""):
            return str(advice)
        step = self._current.step if self._current else ""
        refused = error.status is ExitStatus.REFUSED or step in (Stage.RESOLVE, Stage.CONNECT, Stage.HOST_KEY)
        if not refused or (step == "write" and not isinstance(error, NotPermittedTransferError)):
            return _WAIT
        there = self._destination
        return ADVICE.get(step, _WAIT).format(host=there.host if there else "", port=there.port if there else "")

    def _end(self) -> None:
        if self._current:
            self._pipe.send(self._current)
        self._current = None

    # Steps that are not the transports' or the probe's.

    def _with_secret(self, destination: Destination) -> Destination:
        if source := secret_source(self._settings):
            self.start(_SECRET)
            self.found(source)
        return with_secret(self._settings, destination)

    def _opened(self, destination: Destination) -> Transport:
        try:
            return opened(self._settings, destination, self)
        except TransferError as error:
            key = getattr(error, "key", None)
            if key is None or self._pin is None:
                raise
            self._pin_key(error.name, key)  # type: ignore[attr-defined]  # an UnknownHostKeyError, which needs paramiko
        return opened(self._settings, destination, self)

    def _pin_key(self, name: str, key: HostKey) -> None:
        if key.fingerprint != self._pin:
            raise self._other_key(str(key))
        path = hostkeys.known_files(self._settings.known_hosts)[0]
        self._current = None  # an unknown key is no failure now
        self.start(_PIN)
        try:
            hostkeys.pin(path, name, key)
        except OSError as error:
            raise ConfigurationError(f"{from_os_error(error, f'write {path}')}: run it as who may") from error
        self.found(f"{key} in {path}")

    def _other_key(self, shown: str) -> TransferError:
        from archq.transports.ssh import HostKeyError

        return HostKeyError(
            f"the host shows {shown}, and not the key of --pin {self._pin}",
            "somebody may be in between: ask the archive site before anything else",
        )

    def _judge(self, account: str) -> None:
        self.found(account)
        if self._settings.account == "full" != account:
            raise ConfigurationError(
                'the queue\'s section says account = "full", but the account may do less: write account = "auto"'
            )
