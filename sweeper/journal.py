"""What a sweeper is about to do, on stable storage before it does it: the record that recovery obeys.

An intent is one arrival's outcome: the renames that publish it and the line that will tell it.  Each step can be done
again by anybody who finds the record, and does nothing the second time.
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from archq import durable
from archq.control import seal, unseal
from archq.errors import MalformedError
from archq.light import dataclass, made_often
from archq.names import WireName, parse_wire_name
from archq.transferlog import Outcome
from sweeper.hooks import Hook
from sweeper.ledger import Logs

if TYPE_CHECKING:
    from sweeper.claim import Claim

_INTENTS = "intents."
_TEMPORARIES = "temporaries."


@made_often
@dataclass(frozen=True, slots=True, kw_only=True)
class Move:
    """One rename that publishes.  The source lies beside its target, or in the claim itself."""

    source: str
    target: str
    claimed: bool = False


@made_often
@dataclass(frozen=True, slots=True, kw_only=True)
class Intent:
    """What is to become of one arrival: ``moves`` into ``root``/``directory``, then ``outcome`` into the log.

    ``name`` is what the file would be called if nothing stood in its way.
    """

    wire: WireName
    outcome: Outcome
    root: str = ""
    directory: tuple[str, ...] = ()
    name: str = ""
    moves: tuple[Move, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Record:
    """The intents of one batch, the log that gets their lines, and the command that is run for each file."""

    logs: Logs
    log: str
    hook: Hook | None
    intents: tuple[Intent, ...]


def write_record(claim: Claim, record: Record) -> None:
    """Put ``record``, and the claim itself, on stable storage."""
    durable.write_new(_free_name(claim, _INTENTS), _formatted(record), directory=claim.descriptor)
    claim.sync()


def read_records(claim: Claim) -> list[Record]:
    """Return the records of ``claim`` in the order written; one that is cut short was never acted upon."""
    found = []
    for name in _names(claim, _INTENTS):
        with contextlib.suppress(MalformedError, ValueError, KeyError, TypeError):
            found.append(_parsed(_read(claim, name)))
    return found


def write_temporaries(claim: Claim, prefix: str, directory: str) -> None:
    """Note on stable storage that temporary files whose names begin with ``prefix`` are made in ``directory``."""
    text = seal(json.dumps([prefix, directory]).encode() + b"\n")
    durable.write_new(_free_name(claim, _TEMPORARIES), text, directory=claim.descriptor)
    durable.sync(claim.descriptor)


def read_temporaries(claim: Claim) -> list[tuple[str, str]]:
    """Return what :func:`write_temporaries` noted: prefixes and directories."""
    found = []
    for name in _names(claim, _TEMPORARIES):
        try:
            prefix, directory = json.loads(unseal(_read(claim, name)))
        except (MalformedError, ValueError):
            continue  # cut short, so nothing was made there yet
        found.append((prefix, directory))
    return found


def forget_records(claim: Claim) -> None:
    """Remove the records: all that they tell of has left the claim durably."""
    for name in _names(claim, _INTENTS):
        durable.remove(name, directory=claim.descriptor)


def forget_temporaries(claim: Claim) -> None:
    """Remove the notes on temporary files: there are none any more."""
    for name in _names(claim, _TEMPORARIES):
        durable.remove(name, directory=claim.descriptor)


def _names(claim: Claim, prefix: str) -> list[str]:
    numbers = [name.removeprefix(prefix) for name in durable.names_in(claim.descriptor) if name.startswith(prefix)]
    return [f"{prefix}{number}" for number in sorted(int(text) for text in numbers if text.isdecimal())]


def _free_name(claim: Claim, prefix: str) -> str:
    last = _names(claim, prefix)[-1:]
    return f"{prefix}{int(last[0].removeprefix(prefix)) + 1 if last else 1}"


def _read(claim: Claim, name: str) -> bytes:
    with open(durable.open_unfollowed(name, directory=claim.descriptor), "rb") as file:
        return file.read()


def _formatted(record: Record) -> bytes:
    document = {
        "logs": asdict(record.logs),
        "log": record.log,
        "hook": asdict(record.hook) if record.hook else None,
        "intents": [_as_json(intent) for intent in record.intents],
    }
    return seal(json.dumps(document).encode() + b"\n")


def _parsed(text: bytes) -> Record:
    document = json.loads(unseal(text))
    intents = tuple(_from_json(*one) for one in document["intents"])
    hook = Hook(**document["hook"]) if document["hook"] else None
    return Record(logs=Logs(**document["logs"]), log=document["log"], hook=hook, intents=intents)


def _as_json(intent: Intent) -> list[Any]:
    outcome = intent.outcome
    moves = [(move.source, move.target, move.claimed) for move in intent.moves]
    facts = dict(outcome.facts)
    return [str(intent.wire), outcome.time, outcome.outcome, facts, intent.root, intent.directory, intent.name, moves]


def _from_json(wire: str, time: int, outcome: str, facts: dict[str, str], *where: Any) -> Intent:
    root, directory, name, moves = where
    known = parse_wire_name(wire)
    if known is None:
        raise MalformedError(f"not a wire name: {wire!r}")
    return Intent(
        wire=known,
        outcome=Outcome(time=time, outcome=outcome, facts=facts),
        root=root,
        directory=tuple(directory),
        name=name,
        moves=tuple(Move(source=source, target=target, claimed=claimed) for source, target, claimed in moves),
    )
