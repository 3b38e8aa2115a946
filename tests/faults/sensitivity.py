"""A check counts only if it can fail: break the programs on purpose, and see which technique catches which."""

from __future__ import annotations

import inspect
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults import variants
from tests.faults.programme import Limits, Tally

if TYPE_CHECKING:
    from tests.faults.scenarios import Stage
    from tests.faults.variants import Variant

QUICK = LONG = Limits(seconds=180, points=1000)
TABLE = Path(__file__).parents[2] / ".cache" / "sensitivity.md"

ENOUGH = Limits(
    seconds=20, points=1_000_000, first_only=True
)  # for one variant with the technique that is known to catch it

A_LITTLE = replace(ENOUGH, seconds=4)  # for each with each, most of which see nothing
ONLY = {"network": "lying"}  # the real servers see no more, and take longer


def run(stage: Stage, limits: Limits = QUICK) -> Tally:
    """Count a variant as a point, tried with the one technique that is known to catch it."""
    tally = Tally("sensitivity", limits)
    caught = 0
    for variant in tally.sampled(variants.ALL):
        found = _tried(variant.technique, variant, stage, ENOUGH)
        tally.injected += 1
        caught += bool(found.violations)
        if not found.violations and not found.left_out:
            tally.blame(variant.name, [f"not caught by {variant.technique}: {found}"])
    tally.facts["variants caught"] = caught
    tally.stop()
    return tally


def show(stage: Stage, seed: int | None = None, path: Path = TABLE) -> int:
    """Try every variant with every technique; print the table of which catches which, and keep it in ``path``.

    Return 1 where a variant is caught by none, or a technique catches none.
    """
    from tests.faults import techniques

    names = [name for name, module in techniques.ALL.items() if "meddle" in inspect.signature(module.run).parameters]
    known = replace(ENOUGH, seed=seed or ENOUGH.seed)
    others = replace(A_LITTLE, seed=known.seed)
    lines = []
    caught: set[str] = set()
    for line in (f"| broken | {' | '.join(names)} |", f"|---|{'---|' * len(names)}"):
        lines.append(line)
        print(line, flush=True)
    missed = []
    for variant in variants.ALL:
        tallies = {name: _tried(name, variant, stage, known if name == variant.technique else others) for name in names}
        by = {name for name, tally in tallies.items() if tally.violations}
        caught |= by
        missed += [] if by else [variant.name]
        lines.append(f"| {variant.name} | {' | '.join(_cell(tally) for tally in tallies.values())} |")
        print(lines[-1], flush=True)
    path.parent.mkdir(exist_ok=True)
    path.write_text("\n".join(lines) + "\n")
    for name in missed:
        print(f"caught by none: {name}")
    for name in set(names) - caught:
        print(f"catches none: {name}")
    return 1 if missed or set(names) - caught else 0


def _cell(tally: Tally) -> str:
    return "left out" if tally.left_out else "caught" if tally.violations else ""


def _tried(name: str, variant: Variant, stage: Stage, limits: Limits) -> Tally:
    from tests.faults import techniques

    run = techniques.ALL[name].run
    wishes: dict[str, object] = {"chosen": variant.chosen, "only": variant.only or ONLY.get(name, "")}
    known = inspect.signature(run).parameters
    settings = {key: wish for key, wish in wishes.items() if wish and key in known}
    try:
        return run(stage, limits, meddle=variant.meddle, **settings)  # type: ignore[no-any-return]
    except Exception as error:
        # A broken program may leave what a technique cannot even look at.
        found = Tally(name, limits)
        found.blame(variant.name, [f"{type(error).__name__}: {error}"])
        return found
