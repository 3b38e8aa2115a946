"""What a whole run came to: kept as JSON, and from there put into the manual by ``python -m tests.faults.summary``."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from tests.faults.programme import Tally

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".cache" / "faults.json"
PAGE = ROOT / "man" / "archq-durability.7"

_BEGIN = '.\\" The figures are written by python -m tests.faults.summary, after make faults.\n'
_END = '.\\" End of the figures.\n'


def keep(tier: str, tallies: Mapping[str, Tally]) -> None:
    """Keep the figures of a run, by the names of its techniques."""
    figures = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "kernel": re.sub("-.*", "", os.uname().release),
        "processors": os.cpu_count(),
        "tier": tier,
        "techniques": {
            name: {
                "points": tally.points,
                "of": tally.of,
                "faults": tally.injected,
                "violations": len(tally.violations),
                "seconds": round(tally.took),
                "left out": tally.left_out,
                **tally.facts,
            }
            for name, tally in tallies.items()
        },
    }
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(figures, indent=2, default=str) + "\n")


def as_manual(figures: dict) -> Iterator[str]:  # type: ignore[type-arg]
    """Yield the lines of mdoc(7) that tell the figures."""
    yield f"On {figures['date']}, with Linux {figures['kernel']} on {figures['processors']} processors, its"
    yield f"{figures['tier']} tier came to"
    yield '.Bl -column "statemachine" "1000000" "100000" "100000" "violations"'
    yield ".It technique Ta points Ta of Ta faults Ta violations"
    for name, one in figures["techniques"].items():
        of = one["of"] or one["points"]
        yield f".It {name} Ta {one['points']} Ta {of} Ta {one['faults']} Ta {one['violations']}"
    yield ".El"


def main() -> int:
    lines = "".join(f"{line}\n" for line in as_manual(json.loads(KEPT.read_text())))
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}{lines}{_END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
