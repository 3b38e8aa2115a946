"""Print archq's figures beside its peers': ``python -m bench [--long] [--json FILE] [PART…]``."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
from pathlib import Path

import bench
from bench.harness import Report, save, text

RESULTS = Path(__file__).parents[1] / ".cache" / "bench.json"
SHARED = {"__main__", "harness", "peers", "site"}


def parts() -> list[str]:
    """Return the names of the modules that measure something, each by ``run(report, long=…)``."""
    return sorted({module.name for module in pkgutil.iter_modules(bench.__path__)} - SHARED)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench", description=bench.__doc__)
    parser.add_argument("--long", action="store_true", help="whole sizes, gigabytes of them, instead of reduced ones")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="FILE", help="where the figures go as JSON")
    parser.add_argument(
        "part", nargs="*", metavar="PART", choices=[*parts(), []], help=f"some of {', '.join(parts())}; default: all"
    )
    arguments = parser.parse_args()
    report = Report()
    for part in arguments.part or parts():
        importlib.import_module(f"bench.{part}").run(report, long=arguments.long)
    print(text(report))
    save(report, arguments.json)
    print(f"\nThe same as JSON: {arguments.json}")


if __name__ == "__main__":
    main()
