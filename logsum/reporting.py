"""What logsum does once it is known what is asked for."""

from __future__ import annotations

import time

from archq import config as configuration
from archq.console import complain, tell
from archq.errors import ExitStatus, UsageError
from archq.zones import find_zone, local_zone
from logsum.choice import Choice, chosen_period
from logsum.groups import BY_NIGHT
from logsum.observing import configured_zone
from logsum.period import NOON, Window
from logsum.problems import Problems
from logsum.render.style import Style
from logsum.render.text import render
from logsum.report import Logs, Request, make_report
from logsum.sources import find_scope

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import tzinfo
    from typing import Any

    from archq.config import Config
    from logsum.period import Period
    from logsum.report import Report

PROGRAM = "logsum"
TEXT = "text"
FORMATS = (TEXT, "json", "csv", "ecsv")

_LATEST = 20  # arrivals and failures that a page tells one by one

_OF_FRESHNESS = {"instrument", "logs", "zone", "verbose", "max_age"}  # what --max-age may be combined with


def answer(words: dict[str, Any]) -> int:
    """Print what is asked for and return the exit status.

    ``words`` are the values of all options by name, and as ``order`` the names of those that were given, in order.
    """
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
    if "format" in words["order"] or not (words["plot"] or words["html"]):
        print(_rendered(report, style, words["format"], messages), end="")
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
    print(forms[words["format"]](), end="")
    return ExitStatus.SOME_FAILED if comparison.differences else ExitStatus.DONE


def _freshness(words: dict[str, Any], config: Config, now: int) -> int:
    """Say how old the newest file is, unless that is well and only what is not should be said."""
    if surplus := [one for one in words["order"] if one not in _OF_FRESHNESS]:
        raise UsageError(f"--max-age makes no report: leave --{surplus[0].replace('_', '-')} out")
    from logsum.freshness import look

    fresh, problems = look(find_scope(words["instrument"], words["logs"], config), now, words["max_age"])
    for message in problems.messages():
        complain(PROGRAM, message)
    if fresh.is_late or words["verbose"] is not False:
        tell(fresh.sentence(words["instrument"], _zone(words) or local_zone()))
    return ExitStatus.TEMPORARY if fresh.is_late else ExitStatus.DONE


def _zone(words: dict[str, Any]) -> tzinfo | None:
    return None if words["zone"] is None else find_zone(words["zone"])


def _period(words: dict[str, Any], config: Config, now: int) -> Period:
    names = {name: words[name] for name in ("night", "last_night", "month", "since", "until")}
    offsets = {"base": "-B", "clock": "-b", "noon": "-n", "days": "-D", "hours": "-h"}
    clock = {"noon": NOON, "clock": words["clock"], None: None}[_last_of(words, "noon", "clock")]
    end = _last_of(words, "days", "hours")
    choice = Choice(
        instrument=words["instrument"],
        window=Window(base=words["base"], clock=clock, **({end: words[end]} if end else {})),
        offsets=[offset for name, offset in offsets.items() if name in words["order"]],
        **names,
    )
    zone = _zone(words)
    return chosen_period(choice, config, zone, zone or local_zone(), now)


def _ftp_log_zone(typed: str | None, config: Config) -> tzinfo:
    if typed is not None:
        return find_zone(typed)
    configured = config.logsum.ftp_log_zone
    return configured_zone(configured, "[logsum] ftp_log_zone") if configured else local_zone()


def _last_of(words: dict[str, Any], *names: str) -> str | None:
    return next((name for name in reversed(words["order"]) if name in names), None)
