"""All techniques, by name, with the limits of both tiers."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import (
    blocklog,
    cutnet,
    errors,
    fuzz,
    kills,
    lint,
    load,
    lostreplies,
    network,
    powercut,
    randomkills,
    sensitivity,
    shortwrites,
    soak,
    statemachine,
    zoo,
)

if TYPE_CHECKING:
    from types import ModuleType

    from tests.faults.programme import Tally
    from tests.faults.scenarios import Stage

ALL: dict[str, ModuleType] = {
    "lint": lint,
    "kills": kills,
    "errors": errors,
    "powercut": powercut,
    "blocklog": blocklog,
    "lostreplies": lostreplies,
    "shortwrites": shortwrites,
    "randomkills": randomkills,
    "load": load,
    "network": network,
    "cutnet": cutnet,
    "zoo": zoo,
    "statemachine": statemachine,
    "fuzz": fuzz,
    "sensitivity": sensitivity,
}

LONG_ONLY: dict[str, ModuleType] = {"soak": soak}  # says nothing in a minute


def of(tier: str) -> dict[str, ModuleType]:
    """Return the techniques of a tier."""
    return {**ALL, **LONG_ONLY} if tier == "long" else ALL


def play(name: str, stage: Stage, tier: str, seed: int | None = None) -> Tally:
    """Run one technique and return what it did."""
    technique = of("long")[name]
    limits = technique.LONG if tier == "long" else technique.QUICK
    return technique.run(stage, limits if seed is None else replace(limits, seed=seed))  # type: ignore[no-any-return]


def scratch() -> Path | None:
    """Return where lines are laid: in memory where that can be, as only the order of calls matters; None: anywhere."""
    memory = Path("/dev/shm")
    return memory if memory.is_dir() and os.access(memory, os.W_OK) else None
