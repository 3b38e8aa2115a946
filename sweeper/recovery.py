"""Taking over from sweepers that died: finish what they recorded, give back what they had only claimed."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from typing import TYPE_CHECKING

from archq import durable
from archq.errors import ArchqError
from sweeper import journal
from sweeper.ledger import Ledger
from sweeper.report import Problem, trouble_of
from sweeper.settling import settle_again

if TYPE_CHECKING:
    from collections.abc import Callable

    from archq.names import WireName
    from sweeper.claim import Claim, WorkPlace
    from sweeper.journal import Intent, Record
    from sweeper.round import Findings
    from sweeper.settling import Trees


def recover(
    work: WorkPlace, trees: Trees, findings: Findings, refuse: Callable[[Claim, WireName, str], None]
) -> frozenset[WireName]:
    """Settle all dead claims of this account; return the arrivals that were given back.

    ``refuse`` is called for one that cannot be given back, because its name has come again meanwhile.  A claim that
    cannot be settled now, for its archive is not there, say, is left for a later sweep.
    """
    returned: set[WireName] = set()
    for claim in work.take_over_dead():
        with claim:
            try:
                _finish(claim, trees)
            except (ArchqError, OSError) as error:
                trouble = trouble_of(error, f"finish what a dead sweeper has begun in {claim.place.path}")
                findings.report.lasts(Problem(key=str(trouble), message=str(trouble)), trouble.status)
                continue
            returned |= _give_back(claim, refuse)
            findings.owing += claim.owing()
    return frozenset(returned)


def _finish(claim: Claim, trees: Trees) -> None:
    records = journal.read_records(claim)
    for record in records[:1]:
        with Ledger(record.logs) as ledger:
            settle_again(claim, ledger, trees, replace(record, intents=_latest(records)))
    journal.forget_records(claim)
    claim.undo_set_aside()
    _remove_temporaries(claim)


def _give_back(claim: Claim, refuse: Callable[[Claim, WireName, str], None]) -> set[WireName]:
    returned = set()
    for wire in claim.wires():
        try:
            claim.put_back(wire)
            returned.add(wire)
        except FileExistsError:
            refuse(claim, wire, "a file of the same name came again while it was being filed")
    return returned


def _latest(records: list[Record]) -> tuple[Intent, ...]:
    """Return the last intent recorded for each arrival."""
    return tuple({intent.wire: intent for record in records for intent in record.intents}.values())


def _remove_temporaries(claim: Claim) -> None:
    for prefix, directory in journal.read_temporaries(claim):
        _remove_named(prefix, claim.descriptor)
        with contextlib.suppress(FileNotFoundError), durable.opened_directory(directory) as opened:
            _remove_named(prefix, opened)
    journal.forget_temporaries(claim)


def _remove_named(prefix: str, directory: int) -> None:
    """Remove files durably: they are forgotten then, and nobody would know of those that a power cut brings back."""
    if names := [name for name in durable.names_in(directory) if name.startswith(prefix)]:
        durable.remove_all(names, directory=directory)
        durable.sync(directory)
