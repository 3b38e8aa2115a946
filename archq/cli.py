"""The command `archq`: parse, call, print, nothing else."""

from __future__ import annotations

import sys

import click

from archq.console import complain, printable, run_click
from archq.version import __version__

PROGRAM = "archq"
_CONTEXT = {"help_option_names": ["-h", "--help"]}


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Queue instrument data for the archive, as lp queues pages for a printer."""


@cli.command(context_settings=_CONTEXT)
@click.option("-d", "queue", metavar="QUEUE", help="The queue; else LPDEST, PRINTER or the configured default.")
@click.option("-o", "options", metavar="KEY=VALUE,…", multiple=True, help="Options: inst, maxftp, dir, … (repeatable).")
@click.option("-q", "priority", type=click.IntRange(1, 100), default=50, help="Priority, 100 first.  Default: 50.")
@click.option("-t", "title", metavar="TITLE", help="A title; the name of what comes from standard input.")
@click.argument("files", metavar="FILE…", nargs=-1)
def submit(
    queue: str | None, options: tuple[str, ...], priority: int, title: str | None, files: tuple[str, ...]
) -> None:
    """Queue FILEs as one request and print its id; - is standard input."""
    from archq.submission import submit

    request = submit(files, queue=queue, options=options, priority=priority, title=title)
    click.echo(f"request id is {request.id} ({request.files} file(s))")


@cli.command(context_settings=_CONTEXT)
@click.option("-d", "queue", metavar="QUEUE", help="Only this queue.")
@click.option("--once", is_flag=True, help="Try every queued file once and end, as cron wants it (the default).")
def ship(queue: str | None, once: bool) -> int:  # noqa: ARG001  # once is what it does anyway
    """Send what is queued to the archive site."""
    from archq.config import load
    from archq.shipping import ship_once

    return ship_once(load("archq"), queue, complain=lambda line: complain(PROGRAM, line))


@cli.command(context_settings=_CONTEXT)
@click.option("-d", "queue", metavar="QUEUE", help="Only this queue.")
@click.option("--all", "everything", is_flag=True, help="Sent and cancelled requests too.")
@click.argument("requests", metavar="REQUEST…", nargs=-1)
def status(queue: str | None, everything: bool, requests: tuple[str, ...]) -> None:
    """Show what is queued, and why each file waits."""
    from archq.config import load
    from archq.status import report

    for line in report(load("archq"), queue, requests, everything=everything):
        click.echo(printable(line))


def main() -> None:
    """Run the command and exit."""
    sys.exit(run_click(PROGRAM, cli))
