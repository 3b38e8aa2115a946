"""The command line of logsum: parse, call, print."""

from __future__ import annotations

import sys
import time
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import click

from archq import config as configuration
from archq.console import complain, run_click
from archq.errors import ConfigurationError, ExitStatus, UsageError
from archq.quantities import parse_duration
from archq.version import __version__
from archq.zones import find_zone, local_zone
from logsum.choice import Choice, chosen_period
from logsum.groups import BY_NIGHT, GROUPINGS
from logsum.observing import configured_zone
from logsum.period import NOON, Window
from logsum.problems import Problems
from logsum.render.style import UNITS, Style
from logsum.render.text import render
from logsum.report import Logs, Request, make_report
from logsum.sources import find_scope

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import tzinfo

    from archq.config import Config
    from logsum.period import Period
    from logsum.report import Report

PROGRAM = "logsum"
AUTO = "auto"
TEXT = "text"
FORMATS = (TEXT, "json", "csv", "ecsv")

_LATEST = 20  # arrivals and failures that a page tells one by one

_OF_FRESHNESS = {"instrument", "logs", "zone", "verbose", "max_age"}  # what --max-age may be combined with


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
    config = configuration.load("instrument", "logsum")
    now = time.time_ns()
    if words["max_age"] is not None:
        return _freshness(words, config, now)
    if words["reconcile"]:
        return _reconciliation(words, config, now)
    if words["spool"]:
        raise UsageError("--spool is for --reconcile only")
    problems = Problems()
    report = make_report(_request(words, config, now), config, problems)
    messages = problems.messages()
    for message in messages:
        complain(PROGRAM, message)
    style = _style(words, config)
    if words["plot"] or words["html"]:
        _draw(report, style, words, messages)
    if _last_of("format") or not (words["plot"] or words["html"]):
        sys.stdout.write(_rendered(report, style, words["format"], messages))
    return ExitStatus.DONE


# What draws, makes data or looks at one thing only takes longer to load than most reports take to make.


def _draw(report: Report, style: Style, words: dict[str, Any], messages: Sequence[str]) -> None:
    from logsum.output import publish
    from logsum.render.page import as_page
    from logsum.render.plot import as_plot

    if words["plot"]:
        publish(words["plot"], as_plot(report, style, words["plot"][-4:].lower()))
    if words["html"]:
        publish(words["html"], as_page(report, style, messages).encode())


def _style(words: dict[str, Any], config: Config) -> Style:
    return Style(
        verbosity={None: 1, True: 2, False: 0}[words["verbose"]],
        unit=words["unit"],
        bounds=config.logsum.bins if words["bins"] is None else configuration.parse_bins(words["bins"]),
        details=words["details"],
        by=words["by"],
    )


def _rendered(report: Report, style: Style, form: str, messages: Sequence[str]) -> str:
    if form == TEXT:
        return render(report, style)
    from logsum.render.data import as_csv, as_ecsv, as_json

    forms: dict[str, Callable[[], str]] = {
        "json": lambda: as_json(report, style, messages),
        "csv": lambda: as_csv(report, style),
        "ecsv": lambda: as_ecsv(report, style),
    }
    return forms[form]()


def _request(words: dict[str, Any], config: Config, now: int) -> Request:
    drawn = words["plot"] or words["html"]
    return Request(
        instrument=words["instrument"],
        period=_period(words, config, now),
        now=now,
        logs=Logs(
            directory=words["logs"],
            ftp_log=words["ftp_log"] or config.logsum.ftp_log,
            ftp_log_zone=_ftp_log_zone(words["ftp_log_zone"], config),
        ),
        by={name for name in (words["by"], BY_NIGHT if drawn else None) if name},
        names=words["details"] or words["format"] == "json" or bool(words["html"]),
        latest=_LATEST if words["html"] else 0,
    )


def _reconciliation(words: dict[str, Any], config: Config, now: int) -> int:
    """List what is in one ledger and not in the other, and say by the exit status whether there is any."""
    if words["format"] == "ecsv" or any(words[name] for name in ("by", "details", "plot", "html")):
        raise UsageError("--reconcile makes no report: leave --by, --details, --plot, --html and --format ecsv out")
    from logsum.ledgers import compare_ledgers
    from logsum.render.differences import differences_as_csv, differences_as_json, differences_as_text

    problems = Problems()
    comparison = compare_ledgers(_request(words, config, now), words["spool"], config, problems)
    messages = problems.messages()
    for message in messages:
        complain(PROGRAM, message)
    forms: dict[str, Callable[[], str]] = {
        TEXT: lambda: differences_as_text(comparison, verbose=bool(words["verbose"])),
        "json": lambda: differences_as_json(comparison, messages),
        "csv": lambda: differences_as_csv(comparison),
    }
    sys.stdout.write(forms[words["format"]]())
    return ExitStatus.SOME_FAILED if comparison.differences else ExitStatus.DONE


def _freshness(words: dict[str, Any], config: Config, now: int) -> int:
    """Say how old the newest file is, unless that is well and only what is not should be said."""
    if surplus := [one for one in click.get_current_context().meta["order"] if one not in _OF_FRESHNESS]:
        raise UsageError(f"--max-age makes no report: leave --{surplus[0].replace('_', '-')} out")
    from logsum.freshness import look

    fresh, problems = look(find_scope(words["instrument"], words["logs"], config), now, words["max_age"])
    for message in problems.messages():
        complain(PROGRAM, message)
    if fresh.is_late or words["verbose"] is not False:
        click.echo(fresh.sentence(words["instrument"], _zone(words) or local_zone()))
    return ExitStatus.TEMPORARY if fresh.is_late else ExitStatus.DONE


def _zone(words: dict[str, Any]) -> tzinfo | None:
    return None if words["zone"] is None else find_zone(words["zone"])


def _period(words: dict[str, Any], config: Config, now: int) -> Period:
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
    return chosen_period(choice, config, _zone(words), local_zone(), now)


def _ftp_log_zone(typed: str | None, config: Config) -> tzinfo:
    if typed is not None:
        return find_zone(typed)
    configured = config.logsum.ftp_log_zone
    return configured_zone(configured, "[logsum] ftp_log_zone") if configured else local_zone()


def main() -> int:
    """Run logsum with this process's arguments and return its exit status."""
    return run_click(PROGRAM, command)
