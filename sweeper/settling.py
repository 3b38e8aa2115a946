"""Settling arrivals: decide under the logs' lock, record, publish, log; only then is an arrival gone from incoming.

Recovery goes the same way with the intents that a dead sweeper recorded.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from archq import durable
from archq.checksum import parse_checksum
from archq.errors import TemporaryError
from archq.light import replace
from archq.transferlog import CONFLICT, DUPLICATE, FILED, REJECTED, SWEPT, Outcome
from sweeper import hooks, journal
from sweeper.journal import Intent, Move, Record
from sweeper.ledger import mark_of
from sweeper.placement import numbered

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from archq.names import WireName
    from sweeper.claim import Claim
    from sweeper.hooks import Hook
    from sweeper.ledger import Ledger, Memory
    from sweeper.placement import Parts
    from sweeper.tree import Tree

    Trees = Callable[[str], Tree]

_SYNC_AT_ONCE = 8  # from so many directories on, one syncfs is cheaper than a sync of each
_DECIDED = ("with", "reason")  # the facts that a decision adds; it fills in the path


class OtherContentError(TemporaryError):
    """The id, or the wire name, stands for another content already: the arrival is forged, or its sender is broken."""


@dataclass(slots=True)
class Settled:
    """What became of some wishes: carried out, or to be set aside for a reason that only now has come up."""

    done: list[Intent] = field(default_factory=list)
    refused: dict[WireName, str] = field(default_factory=dict)


@dataclass(slots=True)
class Decisions:
    """What the logs, the archive and this batch know already; turns what is wished into what will be."""

    memory: Memory
    trees: Trees
    _ids: dict[str, str] = field(default_factory=dict)  # id: mark, of this batch
    _names: dict[tuple[str, Parts, str], str] = field(default_factory=dict)  # target: checksum, of this batch

    def decide(self, wish: Intent) -> Intent:
        """Return what will become of ``wish``; nothing is remembered.  Raise OtherContentError."""
        outcome = wish.outcome.outcome
        if outcome == FILED:
            return self.repeated(wish) or self._named(wish)
        if outcome == SWEPT:
            return self._named(wish)
        return self._set_aside(wish) if outcome == REJECTED else wish

    def repeated(self, wish: Intent) -> Intent | None:
        """Return the end of a further try, None where it is the first that would be filed.  Raise OtherContentError."""
        mark = self._ids.get(wish.wire.id) or self.memory.settled.get(wish.wire.id)
        if mark is None:
            return None
        if mark != mark_of(wish.outcome.facts["checksum"]):
            raise OtherContentError(f"the id {wish.wire.id} was filed before with another content")
        return _ended(wish, DUPLICATE, (), reason="its id was filed before")

    def remember(self, intent: Intent) -> None:
        """Take ``intent`` for done when the next one is decided."""
        checksum = intent.outcome.facts.get("checksum", "")
        for move in intent.moves:
            self._names[intent.root, intent.directory, move.target] = checksum
        if intent.outcome.outcome in {FILED, CONFLICT}:
            self._ids[intent.wire.id] = mark_of(checksum)

    def decide_again(self, intent: Intent) -> Intent:
        """Return another end for an intent whose name somebody else has taken before it was published."""
        for move in intent.moves:
            self._names.pop((intent.root, intent.directory, move.target), None)
        self._ids.pop(intent.wire.id, None)
        decided = self.decide(_as_wished(intent))
        self.remember(decided)
        return decided

    def _named(self, wish: Intent) -> Intent:
        """Find the name: the wished one, or a numbered one beside another content."""
        number, name = 1, wish.name
        while (same := self._is_same(wish, name)) is not None:
            if same:
                return _ended(wish, DUPLICATE, (), **{"with": _path(wish, name)})
            if wish.outcome.outcome == SWEPT:
                raise OtherContentError(f"{_path(wish, name)} exists with another content")
            number += 1
            name = numbered(wish.name, number)
        if name == wish.name or wish.outcome.outcome == SWEPT:
            return _ended(wish, wish.outcome.outcome, wish.moves, path=_path(wish, name))
        moves = tuple(replace(move, target=name) for move in wish.moves)
        return _ended(wish, CONFLICT, moves, path=_path(wish, name), **{"with": _path(wish, wish.name)})

    def _is_same(self, wish: Intent, name: str) -> bool | None:
        """Say whether ``name`` holds what arrived; None: the name is free."""
        facts = wish.outcome.facts
        if known := self._names.get((wish.root, wish.directory, name)):
            return known == facts["checksum"]
        tree = self.trees(wish.root)
        try:
            if tree.facts(wish.directory, name) is None:
                return None
        except FileNotFoundError:  # its directory is not there yet
            return None
        return tree.holds(wish.directory, name, parse_checksum(facts["checksum"]), int(facts["size"]))

    def _set_aside(self, wish: Intent) -> Intent:
        number, name = 1, wish.name
        while (wish.root, (), name) in self._names or self.trees(wish.root).facts((), name) is not None:
            number += 1
            name = f"{wish.name}~{number}"
        return replace(wish, moves=tuple(replace(move, target=name) for move in wish.moves))


def settle(
    claim: Claim,
    ledger: Ledger,
    trees: Trees,
    wishes: Sequence[Intent],
    *,
    log: str,
    hook: Hook | None = None,
    replays: frozenset[WireName] = frozenset(),
) -> Settled:
    """Carry out ``wishes``, each prepared, and return what became of them.

    What is done is published and logged on stable storage and gone from the claim; so is what another sweeper has
    settled meanwhile, without a second line.  All else is still in the claim.  ``replays`` are arrivals whose names
    were in the log before they came, so that a line for them tells nothing about this one.
    """
    settled = Settled()
    with ledger.held():
        decisions = Decisions(ledger.recall(wish.wire.id for wish in wishes), trees)
        told = {wish.wire for wish in wishes if wish.wire not in replays and decisions.memory.is_told(wish.wire)}
        lying = claim.names()  # one look for all, as there may be thousands
        fresh = [wish for wish in wishes if wish.wire not in told and _is_prepared(wish, lying.__contains__, trees)]
        intents = [intent for wish in fresh if (intent := _decided(decisions, wish, settled))]
        record = Record(logs=ledger.logs, log=log, hook=hook, intents=tuple(intents))
        settled.done = _carry_out(claim, ledger, decisions, record)
    hooks.owe(claim.descriptor, hook, settled.done, logs=ledger.logs, log=log)
    leave(claim, told, settled.done)
    return settled


def settle_again(claim: Claim, ledger: Ledger, trees: Trees, record: Record) -> None:
    """Finish what a dead sweeper recorded, as :func:`settle` does; it may have got as far as anywhere.

    A source that is gone has been published.  What is not published is decided afresh: others went on meanwhile.
    """
    with ledger.held():
        decisions = Decisions(ledger.recall(intent.wire.id for intent in record.intents), trees)
        told = {intent.wire for intent in record.intents if decisions.memory.is_told(intent.wire)}
        intents = []
        for intent in record.intents:
            if intent.wire not in told:
                fresh = intent.moves and _is_prepared(intent, claim.has, trees)
                intents.append(_decided(decisions, _as_wished(intent), Settled()) if fresh else intent)
        left = tuple(intent for intent in intents if intent)
        done = _carry_out(claim, ledger, decisions, replace(record, intents=left), again=True)
    # Nothing was run before the record was gone, so that all of it is owed still.
    before = [intent for intent in record.intents if intent.wire in told]
    hooks.owe(claim.descriptor, record.hook, [*before, *done], logs=record.logs, log=record.log)
    leave(claim, told, done)


def leave(claim: Claim, told: Iterable[WireName], done: Iterable[Intent]) -> None:
    """Remove what has been settled from the claim, and then the records: they are needed until nothing is left."""
    settled = [*told, *(intent.wire for intent in done)]
    moved = {intent.wire for intent in done for move in intent.moves if move.claimed}
    claim.remove([*(wire.control for wire in settled), *(wire for wire in settled if wire not in moved)])
    durable.sync(claim.descriptor)
    journal.forget_records(claim)


def _carry_out(
    claim: Claim, ledger: Ledger, decisions: Decisions, record: Record, *, again: bool = False
) -> list[Intent]:
    """Record, publish and log what ``record`` says.  Once it is written it is so: whoever finds it does the rest."""
    if not record.intents:
        return []
    journal.write_record(claim, record)
    done = []
    for intent in record.intents:
        while not _is_published(claim, decisions.trees, intent, again=again):
            intent = decisions.decide_again(intent)
            journal.write_record(claim, replace(record, intents=(intent,)))
        done.append(intent)
    _sync_directories(decisions.trees, done)
    ledger.append((intent.outcome for intent in done), record.log)
    return done


def _decided(decisions: Decisions, wish: Intent, settled: Settled) -> Intent | None:
    try:
        intent = decisions.decide(wish)
    except OtherContentError as error:
        settled.refused[wish.wire] = str(error)
        return None
    decisions.remember(intent)
    return intent


def _is_prepared(wish: Intent, is_claimed: Callable[[str], bool], trees: Trees) -> bool:
    """Say whether all that ``wish`` would publish is there."""
    return all(_has_source(wish, move, is_claimed, trees) for move in wish.moves)


def _has_source(wish: Intent, move: Move, is_claimed: Callable[[str], bool], trees: Trees) -> bool:
    if move.claimed:
        return is_claimed(move.source)
    try:
        return trees(wish.root).facts(wish.directory, move.source) is not None
    except FileNotFoundError:
        return False


def _is_published(claim: Claim, trees: Trees, intent: Intent, *, again: bool) -> bool:
    """Publish ``intent``; return False where a name is no longer free.  ``again``: parts of it may be done already."""
    for move in intent.moves:
        if again and not _has_source(intent, move, claim.has, trees):
            continue
        target = trees(intent.root).directory(intent.directory)
        try:
            durable.rename_new(
                move.source,
                move.target,
                source_directory=claim.descriptor if move.claimed else target,
                target_directory=target,
            )
        except FileExistsError:
            return False
    return True


def _sync_directories(trees: Trees, intents: Iterable[Intent]) -> None:
    used: dict[str, set[Parts]] = {}
    for intent in intents:
        if intent.moves:
            used.setdefault(intent.root, set()).add(intent.directory)
    for root, directories in used.items():
        at_once = len(directories) >= _SYNC_AT_ONCE and durable.can_sync_filesystem()
        trees(root).sync(directories, at_once=at_once)


def _as_wished(intent: Intent) -> Intent:
    """Return what was wished before ``intent`` was decided."""
    outcome = FILED if intent.outcome.outcome == CONFLICT else intent.outcome.outcome
    if outcome == REJECTED:
        return intent
    facts = {key: "" if key == "path" else value for key, value in intent.outcome.facts.items() if key not in _DECIDED}
    moves = intent.moves
    if outcome == FILED:
        moves = tuple(replace(move, target=intent.name) for move in moves)
    return replace(intent, outcome=replace(intent.outcome, outcome=outcome, facts=facts), moves=moves)


def _ended(wish: Intent, outcome: str, moves: tuple[Move, ...], **decided: str) -> Intent:
    """Return ``wish`` with its end; ``path`` keeps the place that the plan gave it among the facts."""
    facts = {**wish.outcome.facts, **decided}
    if "path" not in decided:
        facts.pop("path", None)
    return Intent(
        wire=wish.wire,
        outcome=Outcome(time=wish.outcome.time, outcome=outcome, facts=facts),
        root=wish.root,
        directory=wish.directory,
        name=wish.name,
        moves=moves,
    )


def _path(wish: Intent, name: str) -> str:
    return "/".join((*wish.directory, name))
