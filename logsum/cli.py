"""The command line of logsum: parse, call, print."""

from __future__ import annotations

import sys
import time
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from archq import config as configuration
from archq.console import complain, run_click
from archq.errors import ConfigurationError
from archq.version import __version__
from archq.zones import find_zone, local_zone
from logsum.choice import Choice, chosen_period
from logsum.period import NOON, Window
from logsum.problems import Problems
from logsum.render.text import UNITS, Style, render
from logsum.report import Logs, Request, make_report

if TYPE_CHECKING:
    from collections.abc import Sequence

    from archq.config import Config
    from logsum.period import Period

PROGRAM = "logsum"
AUTO = "auto"


class _LastWins(click.Command):
    """A command that remembers in which order its options came, where the last of two wins."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        _values, _rest, order = self.make_parser(context).parse_args(args=list(arguments))
        context.meta["order"] = [parameter.name for parameter in order]
        return super().parse_args(context, arguments)


def _last_of(*names: str) -> str | None:
    order: Sequence[str] = click.get_current_context().meta["order"]
    return next((name for name in reversed(order) if name in names), None)


def _as_date(_context: click.Context, _parameter: click.Parameter, text: str | None) -> date | None:
    try:
        return datetime.strptime(text, "%Y-%m-%d").date() if text else None
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a date such as 2003-04-01") from None


def _as_bins(_context: click.Context, _parameter: click.Parameter, text: str | None) -> list[float] | str | None:
    try:
        words = [float(word) for word in text.split(",")] if text and text != AUTO else text
        configuration.parse_bins(words or AUTO)
    except (ConfigurationError, ValueError):
        raise click.BadParameter(f"{text!r} is neither auto nor rising rates such as 1,2,4,8") from None
    return words


@click.command(
    cls=_LastWins,
    context_settings={"help_option_names": ["--help"]},
    epilog="-h is for hours, as ever; help is --help.",
)
@click.option("-i", "--instrument", required=True, metavar="INST|all", help="Whose transfers to report.")
@click.option("-l", "--logs", metavar="DIR", help="Where the sweeper's transfer logs are.")
@click.option("-f", "--ftp-log", metavar="FILE", help="An FTP server's log, for times and rates.")
@click.option("-B", "--base", metavar="YYYY-MM-DD", callback=_as_date, help="The day to start from (default: today).")
@click.option("-b", "--clock", type=float, metavar="HOURS", help="Start so many hours after midnight.")
@click.option("-n", "-noon", "--noon", is_flag=True, help="Start at noon, as -b 12 does.")
@click.option("-D", "--days", type=int, metavar="DAYS", help="End so many calendar days after the start (default: -1).")
@click.option("-h", "--hours", type=float, metavar="HOURS", help="End so many exact hours after the start.")
@click.option("--night", metavar="DATE", help="The observing night that begins on DATE, by the instrument's rollover.")
@click.option("--last-night", is_flag=True, help="The observing night that began yesterday.")
@click.option("--month", metavar="YYYY-MM", help="A calendar month.")
@click.option("--since", metavar="TIME", help="From TIME on, e.g. yesterday, 18:00, '2 days ago', '2026-11-19 18:00'.")
@click.option("--until", metavar="TIME", help="With --since: until TIME (default: now).")
@click.option("-z", "--zone", metavar="ZONE", help="Time zone, e.g. MST or EST5EDT,M3.2.0,M11.1.0 (default: local).")
@click.option(
    "-v/+v", "--verbose/--brief", "verbose", default=None, help="Tell the period even of nothing; counts only."
)
@click.option("--ftp-log-zone", metavar="ZONE", help="Time zone of the FTP log's stamps (default: local).")
@click.option("--unit", type=click.Choice([*UNITS]), default="MB", help="MB is 10^6 bytes, MiB 2^20 (default: MB).")
@click.option("--bins", metavar="1,2,4,8|auto", callback=_as_bins, help="Upper ends of the rates' bins.")
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
def command(**words: Any) -> None:
    """Report what was transferred for an instrument over a period of time, from the logs."""
    config = configuration.load("instrument", "logsum")
    problems = Problems()
    now = time.time_ns()
    style = Style(
        verbosity={None: 1, True: 2, False: 0}[words["verbose"]],
        unit=words["unit"],
        bounds=config.logsum.bins if words["bins"] is None else configuration.parse_bins(words["bins"]),
    )
    request = Request(
        instrument=words["instrument"],
        period=_period(words, config, now),
        now=now,
        logs=Logs(
            directory=words["logs"],
            ftp_log=words["ftp_log"] or config.logsum.ftp_log,
            ftp_log_zone=_ftp_log_zone(words["ftp_log_zone"] or config.logsum.ftp_log_zone),
        ),
    )
    report = make_report(request, config, problems)
    for message in problems.messages():
        complain(PROGRAM, message)
    sys.stdout.write(render(report, style))


def _period(words: dict[str, Any], config: Config, now: int) -> Period:
    zone = None if words["zone"] is None else find_zone(words["zone"])
    names = {name: words[name] for name in ("night", "last_night", "month", "since", "until")}
    offsets = {"base": "-B", "clock": "-b", "noon": "-n", "days": "-D", "hours": "-h"}
    clock = {"noon": NOON, "clock": words["clock"], None: None}[_last_of("noon", "clock")]
    end = _last_of("days", "hours")
    choice = Choice(
        instrument=words["instrument"],
        window=Window(base=words["base"], clock=clock, **({end: words[end]} if end else {})),
        offsets=[offset for name, offset in offsets.items() if _last_of(name)],
        **names,
    )
    return chosen_period(choice, config, zone, local_zone(), now)


def _ftp_log_zone(text: str | None) -> Any:
    return find_zone(text) if text else local_zone()


def main() -> int:
    """Run logsum with this process's arguments and return its exit status."""
    return run_click(PROGRAM, command)
