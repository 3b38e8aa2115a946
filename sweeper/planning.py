"""From a control file to a plan: where its file goes and what the log will say.  Pure, once the rules are read."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from archq.errors import ConfigurationError, MalformedError, UsageError
from archq.instants import format_instant
from archq.signature import read_key, signer_of
from archq.transferlog import FILED, REJECTED, SWEPT, Outcome, facts_of
from archq.zones import find_zone
from sweeper.inspection import Letter, Refusal
from sweeper.journal import Intent, Move
from sweeper.placement import Place, Rules, checked_subdirectory, place_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archq.names import WireName
    from sweeper.job import Job


def rules_of(job: Job) -> Rules:
    """Return the job's rules; raise ConfigurationError for a zone, format or key that cannot be used."""
    where = f"[instrument.{job.instrument.name}]"
    keys = job.sweeper.keys
    if unknown := [name for name in job.instrument.require_signature if name not in keys]:
        raise ConfigurationError(
            f'{where} require_signature: no key {unknown[0]!r}: name its file in [sweeper] keys = ["{unknown[0]}:/…"]'
        )
    try:
        zone = find_zone(job.instrument.zone)
        checked_subdirectory(time.strftime(job.instrument.dated))
    except (UsageError, MalformedError, ValueError) as error:
        raise ConfigurationError(f"{where} zone or dated: {error}") from error
    return Rules(
        zone=zone,
        rollover=job.instrument.rollover,
        dated_format=job.instrument.dated,
        dated=job.dated,
        subdirectory=job.subdirectory,
        heed_option=not job.sweeps_any,
        max_skew=job.sweeper.max_skew,
        forbidden=frozenset(_below(job.archive, place) for place in _not_for_data(job)) - {()},
        signers=tuple(read_key(name, keys[name]) for name in job.instrument.require_signature),
    )


def plan(letter: Letter, job: Job, rules: Rules, now: int) -> Intent | Refusal:
    """Return what should become of an arrival whose data are what they should be; its moves are still to be made."""
    try:
        if rules.signers:
            signer_of(letter.text, rules.signers)
        place = place_of(letter.control, letter.arrived, rules)
    except MalformedError as error:
        return Refusal(str(error))
    return Intent(
        wire=letter.wire,
        outcome=Outcome(time=now, outcome=SWEPT if job.sweeps_any else FILED, facts=_facts(letter, job, place)),
        root=job.archive,
        directory=place.directory,
        name=str(letter.wire) if job.sweeps_any else letter.control.name,
    )


def plan_rejection(
    wire: WireName, letter: Letter | None, reason: str, job: Job, *, root: str, source: str, now: int
) -> Intent:
    """Return the plan for an arrival that lies in the directory ``source`` of the claim and goes to ``root``."""
    facts = (
        _facts(letter, job, None) if letter else {"instrument": _instrument(wire.instrument, job), "wire": str(wire)}
    )
    name = str(wire).rpartition(".")[0]
    return Intent(
        wire=wire,
        outcome=Outcome(time=now, outcome=REJECTED, facts={**facts, "reason": reason}),
        root=root,
        name=name,
        moves=(Move(source=source, target=name, claimed=True),),
    )


def plan_without_file(wire: WireName, outcome: str, reason: str, job: Job, now: int) -> Intent:
    """Return the plan for an arrival that leaves nothing but a line in the log."""
    facts = {"instrument": _instrument(wire.instrument, job), "wire": str(wire), "reason": reason}
    return Intent(wire=wire, outcome=Outcome(time=now, outcome=outcome, facts=facts))


def _facts(letter: Letter, job: Job, place: Place | None) -> dict[str, str]:
    control = letter.control
    facts = {"instrument": _instrument(control.instrument, job)}
    if control.request is not None:
        facts["request"] = control.request
    if control.part is not None:
        facts["part"] = control.part
    facts |= {"wire": str(letter.wire), **facts_of(control)}
    if place:
        facts["path"] = ""  # the decision fills it in
    facts["checksum"] = str(control.checksum)
    if place and place.skew is not None:
        facts |= {"skew": f"{place.skew:+.3f}", "arrived": format_instant(letter.arrived, 3)}
    return facts


def _instrument(told: str, job: Job) -> str:
    """Return the name under which reports look for it, where the sender used an alias."""
    return told if job.sweeps_any else job.instrument.name


def _not_for_data(job: Job) -> Iterator[str]:
    yield job.logs.path(0) if job.logs.alone else job.logs.directory
    yield job.incoming
    yield from (place for place in (job.sweeper.work, job.sweeper.rejected) if place)


def _below(root: str, path: str) -> tuple[str, ...]:
    """Return the components of ``path`` below ``root``, none where it lies elsewhere."""
    relative = os.path.relpath(os.path.realpath(path), os.path.realpath(root))
    parts = tuple(relative.split("/"))
    return () if parts[0] in {"..", "."} else parts
