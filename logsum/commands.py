"""The command line of logsum as click has it: parse, call, print."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archq import config as configuration
from archq.errors import ConfigurationError
from archq.quantities import parse_duration
from archq.version import __version__
from logsum.groups import GROUPINGS
from logsum.period import parse_day
from logsum.render.style import UNITS
from logsum.reporting import FORMATS, PROGRAM, TEXT, answer

if TYPE_CHECKING:
    from datetime import date

AUTO = "auto"


class _LastWins(click.Command):
    """A command that remembers in which order its options came, where the last of two wins."""

    def parse_args(self, context: click.Context, arguments: list[str]) -> list[str]:
        _values, _rest, order = self.make_parser(context).parse_args(args=list(arguments))
        context.meta["order"] = [parameter.name for parameter in order]
        return super().parse_args(context, arguments)


def _as_date(_context: click.Context, _parameter: click.Parameter, text: str | None) -> date | None:
    try:
        return parse_day(text) if text else None
    except ValueError:
        raise click.BadParameter(f"{text!r} is not a date such as 2003-04-01") from None


def _as_bins(_context: click.Context, _parameter: click.Parameter, text: str | None) -> list[float] | str | None:
    try:
        words = [float(word) for word in text.split(",")] if text and text != AUTO else text
        configuration.parse_bins(words or AUTO)
    except (ConfigurationError, ValueError):
        raise click.BadParameter(f"{text!r} is neither auto nor rising rates such as 1,2,4,8") from None
    return words


def _as_duration(_context: click.Context, _parameter: click.Parameter, text: str | None) -> float | None:
    try:
        return None if text is None else parse_duration(text)
    except ConfigurationError as error:
        raise click.BadParameter(str(error)) from None


def _as_page(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    if text == "":
        raise click.BadParameter("a page has to have a name")
    return text


def _as_plot(_context: click.Context, _parameter: click.Parameter, text: str | None) -> str | None:
    if text is None:
        return None
    from logsum.render.plot import checked_plot

    return checked_plot(text)


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
@click.option(
    "--night", metavar="YYYY-MM-DD", help="The observing night that begins on that day, by the instrument's rollover."
)
@click.option("--last-night", is_flag=True, help="The observing night that began yesterday.")
@click.option("--month", metavar="YYYY-MM", help="A calendar month.")
@click.option("--since", metavar="WHEN", help="From then on, e.g. yesterday, 18:00, '2 days ago', '2026-11-19 18:00'.")
@click.option("--until", metavar="WHEN", help="With --since: until then (default: now).")
@click.option("-z", "--zone", metavar="ZONE", help="Time zone, e.g. MST or EST5EDT,M3.2.0,M11.1.0 (default: local).")
@click.option(
    "-v/+v", "--verbose/--brief", "verbose", default=None, help="Tell the period even of nothing; counts only."
)
@click.option("--ftp-log-zone", metavar="ZONE", help="Time zone of the FTP log's stamps (default: local).")
@click.option("--unit", type=click.Choice([*UNITS]), default="MB", help="MB is 10^6 bytes, MiB 2^20 (default: MB).")
@click.option("--bins", metavar="1,2,4,8|auto", callback=_as_bins, help="Upper ends of the rates' bins.")
@click.option("--details", is_flag=True, help="Tell totals, percentiles, latency, errors by reason, names used twice.")
@click.option("--by", type=click.Choice(GROUPINGS), help="Add a table with a line for each.")
@click.option("--format", type=click.Choice(FORMATS), default=TEXT, help="Print data for programs instead of text.")
@click.option("--plot", metavar="FILE", callback=_as_plot, help="Draw rates, sizes, nights, latencies: .png or .svg.")
@click.option(
    "--html",
    metavar="FILE",
    callback=_as_page,
    help="Make a page with tables, pictures and problems.",
)
@click.option(
    "--max-age",
    metavar="DURATION",
    callback=_as_duration,
    help="Make no report, but exit with 75 if the newest file is older, e.g. 15m.",
)
@click.option("--reconcile", is_flag=True, help="Make no report, but list what the ledgers disagree about (exit 3).")
@click.option("--spool", metavar="DIR", help="With --reconcile: a spool of archq, or a copy of its log directory.")
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
def command(**words: Any) -> int:
    """Report what was transferred for an instrument over a period of time, from the logs."""
    return answer({**words, "order": click.get_current_context().meta["order"]})
