"""Reports: how long logsum needs for a server's log of millions of lines, beside what only counts or adds up."""

from __future__ import annotations

import importlib.util
import random
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from archq.instants import SECOND, parse_instant
from archq.names import new_id
from bench import memory, site
from bench.harness import Contender, first_line, succeed
from tests.servers.process import UnavailableError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from bench.harness import Report
    from bench.site import Site

LINES = 5_000_000
MOST = 200.0  # MB
BEGIN = parse_instant("2025-11-20T00:00:00Z")
DAYS = 365
WHOLE = ("-B", "2025-11-20", "-b0", "-D", str(DAYS + 1))

# What the whole log tells, as far as it can be had in passing: numbers, extremes and bins, but no medians.
IN_PASSING = """
$12 == "i" && $18 == "c" && $9 ~ /minicam[.].*[.]df$/ {
    files++; rate = $8 / $6 / 1e6
    bins[rate <= 1 ? 0 : rate <= 2 ? 1 : rate <= 4 ? 2 : rate <= 8 ? 3 : 4]++
    if (rate > most) most = rate
    if (files == 1 || rate < least) least = rate
}
END { print files, least, most, bins[0], bins[1], bins[2], bins[3], bins[4] }
"""
# The same, but a file that came more than once counts once, as it does in a report.
EACH_FILE_ONCE = IN_PASSING.replace("/ {", "/ && !seen[$9]++ {", 1)

POLARS = """
import sys
import polars as pl
fields = [f"f{number}" for number in range(1, 19)]
log = pl.scan_csv(sys.argv[1], has_header=False, separator=" ", new_columns=fields, quote_char=None)
log = log.filter((pl.col("f12") == "i") & (pl.col("f18") == "c") & pl.col("f9").str.contains(r"minicam[.].*[.]df$"))
log = log.unique("f9").select(rate=pl.col("f8") / pl.col("f6").clip(1) / 1e6, time="f6", size="f8")
print(log.select(pl.len(), pl.col("rate").median().alias("m"), pl.min("size"), pl.max("time")).collect())
"""
DUCKDB = """
import sys
import duckdb
fields = ", ".join(f"'f{number}': '{'BIGINT' if number in (6, 8) else 'VARCHAR'}'" for number in range(1, 19))
log = f"read_csv('{sys.argv[1]}', delim=' ', header=false, quote='', columns={{{fields}}})"
print(duckdb.sql(f\"\"\"
    select count(*), median(f8 / greatest(f6, 1) / 1e6), min(f8), max(f6) from (
        select distinct on (f9) * from {log}
        where f12 = 'i' and f18 = 'c' and regexp_matches(f9, 'minicam[.].*[.]df$'))
\"\"\"))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Log:
    """A server's log for a year, every data file followed by its control file."""

    path: Path
    empty: Path  # a directory of transfer logs, for reports need one
    lines: int


def run(report: Report, *, long: bool) -> None:
    """Measure a day, a month and all of a log."""
    report.versions["mawk"] = first_line("mawk", "-W", "version")
    report.versions["wc"] = first_line("wc", "--version")
    with site.made() as place:
        log = written(place, LINES if long else LINES // 10)
        report.note(f"reports are of an xferlog of {log.lines:,} lines, {log.path.stat().st_size / 1e6:.0f} MB")
        turns = 5
        day = summing(place, log, "-B", "2026-03-10", "-b0", "-D1", goal=1.0)
        report.compare("report one day", [day], [_words("wc -l", "wc", "-l", log.path)], turns=turns)
        month = summing(place, log, "-B", "2026-03-01", "-b0", "-D31", goal=0.2)
        in_passing = _words("mawk, in passing", "mawk", IN_PASSING, log.path)
        report.compare("report one month", [month], [in_passing], turns=turns)
        peers = [_words("mawk, each file once", "mawk", EACH_FILE_ONCE, log.path), in_passing, *_tables(report, log)]
        against = peers[0].name
        report.compare("report all", [summing(place, log, *WHOLE, goal=1.1)], peers, against=against, turns=3)
        usage = memory.watched(place, "logsum", *_arguments(log), *WHOLE)
        report.check(f"memory: logsum of {log.lines:,} lines", usage.memory, MOST, "MB")


def summing(place: Site, log: Log, *window: str, goal: float | None = None) -> Contender:
    """Return our program with the period that ``window`` names."""

    def report() -> None:
        text = place.run("logsum", *_arguments(log), *window)
        if "FTP performance for " not in text:
            raise RuntimeError(f"not a report: {text}")

    return Contender(name="logsum", run=report, goal=goal)


def _arguments(log: Log) -> Sequence[str | Path]:
    return "-v", "-i", "minicam", "-z", "UTC", "--ftp-log-zone", "UTC", "-l", log.empty, "-f", log.path


def _words(name: str, *words: str | Path) -> Contender:
    return Contender(name=name, run=lambda: succeed(*words))


def _tables(report: Report, log: Log) -> list[Contender]:
    """Return the programs for large tables that are here."""
    found = []
    for name, script in (("polars", POLARS), ("duckdb", DUCKDB)):
        if importlib.util.find_spec(name):
            report.versions[name] = first_line(sys.executable, "-c", f"import {name}; print({name}.__version__)")
            found.append(_words(name, sys.executable, "-c", script, log.path))
        else:
            report.note(f"left out: {name} is not installed (pip install 'archq[bench]')")
    return found


def written(place: Site, lines: int) -> Log:
    """Write a log; where there is no room for one, that is no failure of ours."""
    place.configure(f"file:{place.home}")
    log = Log(path=place.home / "xferlog", empty=place.home / "xferlogs", lines=lines)
    log.empty.mkdir()
    chance, step = random.Random(5), DAYS * 86_400 * 2 / lines
    try:
        with log.path.open("w", buffering=1 << 20) as file:
            for number in range(lines // 2):
                ended = BEGIN + int(number * step) * SECOND
                stamp = time.strftime("%a %b %d %H:%M:%S %Y", time.gmtime(ended // SECOND))
                name = f"/incoming/minicam.{new_id(ended)}.1"
                seconds, size = chance.randrange(60), chance.randrange(5_000_000, 40_000_000)
                end = "b _ i a tdcin ftp 0 * c"
                file.write(
                    f"{stamp} {seconds} 192.0.2.7 {size} {name}.df {end}\n{stamp} 0 192.0.2.7 812 {name}.cf {end}\n"
                )
    except OSError as error:
        raise UnavailableError(f"cannot write a log of {lines:,} lines: {error}") from error
    return log
