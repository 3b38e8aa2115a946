"""What a sweep would do, without touching anything: --dry-run."""

from __future__ import annotations

import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from archq import durable
from archq.checksum import sum_file
from archq.transferlog import CONFLICT, FILED, SWEPT
from sweeper.incoming import Incoming
from sweeper.inspection import Letter, Refusal, Unsupported, Waiting, inspect, refused_content, refused_data
from sweeper.journal import Move
from sweeper.ledger import Ledger
from sweeper.planning import plan, rules_of
from sweeper.settling import Decisions, OtherContentError
from sweeper.tree import Tree

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sweeper.incoming import Sighting
    from sweeper.job import Job
    from sweeper.journal import Intent


_WORDS = {FILED: "filed", CONFLICT: "kept", SWEPT: "moved on"}


def preview(job: Job) -> Iterator[str]:
    """Yield one sentence for each arrival, verifying it where it lies."""
    with Incoming(job.incoming) as incoming, Tree(job.archive) as archive, Ledger(job.logs, untouched=True) as ledger:
        ledger.refresh()
        sightings = incoming.sightings(job.wants)
        decisions = Decisions(ledger.recall(sighting.wire.id for sighting in sightings), lambda _root: archive)
        for sighting in sightings:
            yield f"{sighting.wire}: {_foreseen(incoming, sighting, job, decisions)}"


def _foreseen(incoming: Incoming, sighting: Sighting, job: Job, decisions: Decisions) -> str:
    with incoming.opened(sighting.place) as directory:
        match inspect(directory, sighting.wire, time.time_ns()):
            case Waiting(reason):
                return f"would wait: {reason}"
            case Unsupported(reason):
                return f"would stay: {reason}"
            case Refusal(reason):
                return f"would be rejected: {reason}"
            case Letter() as letter:
                return _decided(directory, letter, job, decisions)


def _decided(directory: int, letter: Letter, job: Job, decisions: Decisions) -> str:
    planned = plan(letter, job, rules_of(job), time.time_ns())
    refusal = planned if isinstance(planned, Refusal) else _verified(directory, letter)
    if isinstance(planned, Refusal) or refusal:
        return f"would be rejected: {refusal.reason if refusal else ''}"
    try:
        decided = decisions.decide(replace(planned, moves=(Move(source="", target=planned.name),)))
    except OtherContentError as error:
        return f"would be rejected: {error}"
    decisions.remember(decided)
    return _sentence(decided)


def _verified(directory: int, letter: Letter) -> Refusal | None:
    source = durable.open_unfollowed(str(letter.wire.data), directory=directory)
    try:
        if reason := refused_data(os.fstat(source), letter.control):
            return Refusal(reason)
        return refused_content(letter.control, *sum_file(source, letter.control.checksum.algorithm))
    finally:
        os.close(source)


def _sentence(decided: Intent) -> str:
    facts = decided.outcome.facts
    if "path" not in facts:
        return (
            f"would be discarded as a duplicate{' of ' + facts['with'] if 'with' in facts else ': ' + facts['reason']}"
        )
    beside = f", beside {facts['with']} with other content" if "with" in facts else ""
    return f"would be {_WORDS[decided.outcome.outcome]} as {os.path.join(decided.root, facts['path'])}{beside}"
