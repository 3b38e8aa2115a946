"""Look at everything that a queue needs, and say what to do about what is wrong."""

from __future__ import annotations

import os
import re
import stat
from typing import TYPE_CHECKING

from archq.config import load
from archq.console import Colour
from archq.doctor.visit import Finding, Verdict, visit
from archq.errors import ArchqError, ConfigurationError, ExitStatus, UsageError
from archq.listing import Line
from archq.quantities import format_size
from archq.spool import STATES, Spool
from archq.spool.housekeeping import free_space
from archq.spool.wakeup import wake
from archq.submission import chosen_queue
from archq.transports.accounts import destination_of
from archq.zones import find_zone

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from typing import Protocol

    from archq.config import Config, QueueSettings

    class Say(Protocol):
        """Tells a line, on a terminal in its colour."""

        def __call__(self, line: str, colour: Colour = ..., /) -> None:
            """Tell it."""


_FINGERPRINT = re.compile(r"SHA256:[A-Za-z0-9+/]{43}", re.ASCII)
_WORLD = stat.S_IRWXO
PARTS = ("archq", "instrument", "sweeper", "logsum")  # of the configuration: all of them, whoever reads them


def examine(queue: str | None, pin: str | None, say: Say, complain: Callable[[str], None]) -> ExitStatus:
    """Examine ``queue``, or all; tell ``say`` a line for each step, and return the status that says most.

    ``complain`` is told in a line what cannot be used.  ``pin`` is the fingerprint of a host key to trust.  Raise
    UsageError or ConfigurationError.
    """
    pin = _checked_pin(pin)
    config = load(*PARTS)
    check_values(config)
    say(*line_of(Finding(step="configuration", text=config.path or "")))
    chosen = [chosen_queue(config, queue)] if queue else list(config.queues.values()) or [chosen_queue(config, None)]
    _check_pin_has_use(pin, chosen)
    findings = {"the spool": list(_spool_findings(config))}
    for finding in findings["the spool"]:
        say(*line_of(finding))
    findings |= {f"queue {settings.name}": _examine_queue(config, settings, pin, say) for settings in chosen}
    failed = {what: one for what, found in findings.items() for one in found if one.verdict is Verdict.FAILED}
    for what, one in failed.items():
        complain(f"{what} cannot be used as it is: {one.step}: {one.text}")
    return max((one.status for one in failed.values()), default=ExitStatus.DONE)


def _examine_queue(config: Config, settings: QueueSettings, pin: str | None, say: Say) -> list[Finding]:
    destination = destination_of(settings)
    say(f"queue {settings.name}: {destination}")
    findings = []
    for finding in visit(settings, pin if destination.scheme == "sftp" else None):
        say(*line_of(finding, indent="  "))
        findings.append(finding)
    if findings[-1].step == "account" and findings[-1].verdict is Verdict.OK:
        _tell_shipper(config, settings, findings[-1].text)
    return findings


def _tell_shipper(config: Config, settings: QueueSettings, account: str) -> None:
    """Let the shipper know that the destination works, and what the account may do, where there is a spool."""
    try:
        spool = Spool(config.spool)
        spool.record_account(settings.name, settings.url, account)
        wake(spool, settings.name)
    except (ArchqError, OSError):
        return  # the spool's own line has said so


def line_of(finding: Finding, indent: str = "") -> Line:
    """Return how a step and its result are told; what failed stands out."""
    colour = Colour.RED if finding.verdict is Verdict.FAILED else Colour.PLAIN
    return Line(f"{indent}{finding.step + ':':<14} {finding}", colour)


# The configuration.


def _checked_pin(pin: str | None) -> str | None:
    if pin is not None and not _FINGERPRINT.fullmatch(pin.rstrip("=")):
        raise UsageError(f"--pin {pin[:80]}: not a fingerprint such as ssh-keygen -l shows: SHA256: and 43 characters")
    return pin and pin.rstrip("=")


def _check_pin_has_use(pin: str | None, chosen: list[QueueSettings]) -> None:
    if pin and not any(destination_of(settings).scheme == "sftp" for settings in chosen):
        raise UsageError("--pin: only a queue whose url begins with sftp:// has a host key")


def check_values(config: Config) -> None:
    """Raise ConfigurationError for what has the right form and cannot be meant."""
    for settings in config.queues.values():
        destination_of(settings)
    zones = {f"[instrument.{one.name}] zone": one.zone for one in config.instruments.values()}
    for where, zone in (zones | {"[logsum] ftp_log_zone": config.logsum.ftp_log_zone or "UTC"}).items():
        try:
            find_zone(zone)
        except UsageError as error:
            raise ConfigurationError(f"{config.path}: {where}: {error}") from error


# The spool.


def _spool_findings(config: Config) -> Iterator[Finding]:
    try:
        spool = Spool(config.spool)
        open_places = [place for place in _places(spool) if os.stat(place).st_mode & _WORLD]
        free = free_space(spool)
    except (ArchqError, OSError) as error:
        yield _failed("spool", str(error), "mend its modes and owner, or name another directory as spool")
        return
    if open_places:
        advice = f"chmod -R o-rwx {spool.root}"
        yield _failed("spool", f"{open_places[0]} is open to every account of this machine", advice)
    else:
        yield Finding(step="spool", text=f"{spool.root}, {'shared by a group' if spool.is_shared else 'private'}")
    yield _room(config, free)


def _places(spool: Spool) -> list[str]:
    return [spool.root, *(spool.place(name) for name in (*STATES, "queues", "log"))]


def _room(config: Config, free: int) -> Finding:
    if free > config.reserve:
        return Finding(step="space", text=f"{format_size(free)} free")
    return Finding(
        step="space",
        verdict=Verdict.FAILED,
        text=f"{format_size(free)} free in {config.spool}, of which reserve keeps {format_size(config.reserve)}",
        advice="make room on that file system, or lower reserve or keep",
        status=ExitStatus.TEMPORARY,
    )


def _failed(step: str, text: str, advice: str) -> Finding:
    return Finding(step=step, verdict=Verdict.FAILED, text=text, advice=advice, status=ExitStatus.CONFIGURATION)
