"""The sweeper's command line: parse, call, print."""

from __future__ import annotations

import sys
from typing import Any

import click

from archq import config, console
from archq.errors import ConfigurationError, ExitStatus, UsageError
from archq.quantities import parse_duration
from archq.version import __version__
from sweeper.job import Job, Words, jobs_of


@click.command(context_settings={"help_option_names": ["--help"]})
@click.option("-i", "instrument", metavar="INST", help="Sweep the arrivals of this instrument.")
@click.option("-d", "directory", metavar="DIR", help="Put them into this archive directory.")
@click.option("-L", "log_directory", metavar="LOGDIR", help="Directory of the transfer logs.  [DIR/xferlogs]")
@click.option("-l", "log_file", metavar="LOGFILE", help="Transfer log.  [YYYYMMDD.tdcin.log, by the UTC date]")
@click.option("-f", "incoming", metavar="INCOMING", help="Directory to sweep.  [from the configuration]")
@click.option("-o", "options", multiple=True, metavar="dir=NAME", help="Put the files into this subdirectory.")
@click.option("-D/+D", "dated", default=True, help="Use a dated subdirectory, or none.  [-D]")
@click.option("-A", "sweep_any", is_flag=True, help="Move on, unchanged, what belongs to no known instrument.")
@click.option("-n", "ignored", multiple=True, metavar="NAMES", help="Further instruments that -A leaves alone.")
@click.option("+n", "ignored_only", metavar="NAMES", help="The only instruments that -A leaves alone.")
@click.option("-j", "workers", metavar="N", type=click.IntRange(1), help="File a backlog by so many processes.")
@click.option("--stale", metavar="DURATION", help="Tell of what is incomplete for so long.  [1d]")
@click.option("--configured", is_flag=True, help="Sweep every instrument that the configuration gives a directory.")
@click.option("--watch", is_flag=True, help="Go on sweeping as files arrive, until SIGTERM.")
@click.option("-v", "--verbose", is_flag=True, help="Tell what was done, and all that lasts.")
@click.option("--check", "checking", is_flag=True, help="Compare the archive with its logs; resumes after a break.")
@click.option("--doctor", is_flag=True, help="Look at all that a sweep needs, and say what to do about it.")
@click.option("--dry-run", is_flag=True, help="Say what would happen; touch nothing.")
@click.version_option(__version__, prog_name="sweeper", message="%(prog)s %(version)s")
def command(*, workers: int | None, verbose: bool, **words: Any) -> int:
    """File what has arrived: verify it, put it into the archive, and log it."""
    modes = {"dry_run": _foretell, "checking": _check, "doctor": _examine}
    wanted = [mode for name, mode in modes.items() if words.pop(name)]
    watching = words.pop("watch")
    if len(wanted) + watching > 1:
        raise UsageError("--watch, --check, --doctor and --dry-run do different things: say one of them")
    jobs = jobs_of(config.load("instrument", "sweeper"), _words(**words))
    if wanted:
        return wanted[0](jobs)
    return _watch(jobs, workers, verbose=verbose) if watching else _sweep(jobs, workers, verbose=verbose)


def _words(*, stale: str | None, **words: Any) -> Words:
    try:
        return Words(stale=None if stale is None else parse_duration(stale), **words)
    except ConfigurationError as error:
        raise UsageError(f"--stale: {error}") from error


def _foretell(jobs: list[Job]) -> int:
    from sweeper.preview import preview

    for sentence in (sentence for job in jobs for sentence in preview(job)):
        click.echo(console.printable(sentence))
    return ExitStatus.DONE


def _check(jobs: list[Job]) -> int:
    from sweeper.check import check

    differences = sum(check(job, console.tell) for job in jobs)
    return ExitStatus.SOME_FAILED if differences else ExitStatus.DONE


def _examine(jobs: list[Job]) -> int:
    from sweeper.doctor import examine

    findings = [finding for job in jobs for finding in examine(job)]
    for finding in findings:
        console.tell(str(finding), console.Colour.RED if finding.remedy else console.Colour.PLAIN)
    return ExitStatus.CONFIGURATION if any(finding.remedy for finding in findings) else ExitStatus.DONE


def _sweep(jobs: list[Job], workers: int | None, *, verbose: bool) -> int:
    from sweeper.sweep import sweep
    from sweeper.telling import tell_all

    return tell_all(jobs, lambda job: sweep(job, workers=workers), everything=verbose)


def _watch(jobs: list[Job], workers: int | None, *, verbose: bool) -> int:
    from sweeper.watch import watch

    return watch(jobs, workers=workers, everything=verbose)


def main() -> None:
    """Run as the program ``sweeper``."""
    sys.exit(console.run_click("sweeper", command))
