"""``make faults``: every technique, one line each; ``TIER=long`` goes on for hours."""

from __future__ import annotations

import argparse
import signal
import sys
import tempfile
from pathlib import Path

from tests.faults import sensitivity, summary, techniques
from tests.faults.scenarios import stage


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("--tier", choices=("quick", "long"), default="quick")
    parser.add_argument("--seed", type=int, default=None, help="order of the points; the default is fixed")
    parser.add_argument(
        "--sensitivity", action="store_true", help="break the programs, and tell which technique sees it"
    )
    parser.add_argument("names", nargs="*", metavar="TECHNIQUE", help=", ".join(techniques.of("long")))
    words = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # so that all is cleared away
    violations = 0
    with (
        tempfile.TemporaryDirectory(prefix="archq-faults-", dir=techniques.scratch()) as scratch,
        stage(Path(scratch)) as where,
    ):
        if words.sensitivity:
            return sensitivity.show(where, words.seed)
        for name in words.names or techniques.of(words.tier):
            tally = techniques.play(name, where, words.tier, words.seed)
            print(tally, flush=True)
            for violation in tally.violations:
                print(f"    {violation}", flush=True)
            summary.keep(words.tier, name, tally)
            violations += len(tally.violations)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
