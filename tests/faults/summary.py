"""What techniques came to: kept as JSON, and from there put into the manual by ``python -m tests.faults.summary``."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.faults import techniques

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.faults.programme import Tally

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".cache" / "faults.json"
PAGE = ROOT / "man" / "archq-durability.7"

_BEGIN = '.\\" From here it is written by python -m tests.faults.summary, after make faults.\n'
_END = '.\\" To here.\n'


def keep(tier: str, name: str, tally: Tally) -> None:
    """Keep the figures of one technique; those of others stay as they were."""
    figures = json.loads(KEPT.read_text()) if KEPT.exists() else {}
    figures.setdefault(tier, {})[name] = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "kernel": os.uname().release.partition("-")[0],
        "processors": os.cpu_count(),
        "points": tally.points,
        "of": tally.of or tally.points,
        "faults": tally.injected,
        "violations": len(tally.violations),
        "seconds": round(tally.took),
        "left out": tally.left_out,
        **tally.facts,
    }
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(figures, indent=2, default=str) + "\n")


def as_manual(figures: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield the lines of mdoc(7) that tell what each technique does, and what it came to, if it was tried here."""
    dates, kernels, processors = (
        sorted({str(one[key]) for one in figures.values()}) for key in ("date", "kernel", "processors")
    )
    yield f"The figures are of {' and '.join(dates)}, Linux {' and '.join(kernels)}, {processors[-1]} processors;"
    yield "to how many points a run comes depends on what else the machine has to do."
    yield ".Bl -tag -width shortwrites"
    for name, module in techniques.ALL.items():
        yield f".It Ic {name}"
        yield told(module.__doc__ or "")
        if one := figures.get(name):
            of = f" of {one['of']:,}" if one["of"] > one["points"] else ""
            yield f"{one['points']:,}{of} points, {one['faults']:,} faults, {one['violations']:,} violations."
    yield ".El"


def told(text: str) -> str:
    """Return the first line of a docstring as the manual tells it."""
    return text.partition("\n")[0].replace("\\", "\\e").replace("``", "")


def main() -> int:
    lines = "".join(f"{line}\n" for line in as_manual(json.loads(KEPT.read_text())["quick"]))
    before, _, rest = PAGE.read_text().partition(_BEGIN)
    _, _, after = rest.partition(_END)
    PAGE.write_text(f"{before}{_BEGIN}{lines}{_END}{after}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
