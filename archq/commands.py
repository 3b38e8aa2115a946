"""The commands of `archq`: parse, call, print, nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from archq import suggestions
from archq.completion import SHELLS
from archq.console import Colour, progress, tell, width
from archq.errors import ArchqError, ExitStatus, UsageError
from archq.submitting import warn
from archq.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from archq.config import Config
    from archq.spool import RequestId, Spool

_CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"]}

_queue = click.option("-d", "queue", metavar="QUEUE", help="The queue; else LPDEST, PRINTER or the configured default.")
_one_queue = click.option("-d", "queue", metavar="QUEUE", help="Only this queue.")
_requests = click.argument("requests", metavar="[REQUEST]…", nargs=-1, shell_complete=suggestions.requests)
_named_requests = click.argument("requests", metavar="REQUEST…", nargs=-1, shell_complete=suggestions.requests)
_queued_requests = click.argument(
    "requests", metavar="[REQUEST]…", nargs=-1, shell_complete=suggestions.queued_requests
)
_options = click.option(
    "-o", "options", metavar="KEY=VALUE,…", multiple=True, help="inst, maxftp, dir, … (repeatable)."
)
_priority = click.IntRange(1, 100)


def _tell_broken(line: str, colour: Colour = Colour.PLAIN) -> None:
    from archq.listing import broken

    for part in broken(line, width(), colour):
        tell(*part)


@click.group(context_settings=_CONTEXT)
@click.version_option(__version__, message="%(prog)s %(version)s")
def cli() -> None:
    """Queue instrument data for the archive, as lp queues pages for a printer."""


@cli.command(context_settings=_CONTEXT)
@_queue
@_options
@click.option("-c", "_copy", is_flag=True, help="Copy the file; archq always does.")
@click.option("-q", "priority", metavar="1..100", type=_priority, default=50, help="Priority, 100 first; else 50.")
@click.option("-H", "when", default="immediate", metavar="WHEN", help="hold, immediate, or HH:MM (Z: UTC) for then.")
@click.option("-t", "title", metavar="TITLE", help="A title; the name of what comes from standard input.")
@click.option("-m", "mail", is_flag=True, help="Send a mail when all of it is sent.")
@click.option("-s", "silent", is_flag=True, help="Do not print the request id.")
@click.option("-w", "wait", is_flag=True, help="Return when all of it is sent, or held.")
@click.argument("files", metavar="FILE…", nargs=-1)
def submit(files: tuple[str, ...], silent: bool, wait: bool, _copy: bool, **wishes: Any) -> int:
    """Queue FILEs as one request and print its id; - is standard input."""
    from archq.submitting import submit_files

    return submit_files(files, silent=silent, wait=wait, **wishes)


@cli.command(context_settings=_CONTEXT)
@_one_queue
@click.option("--all", "everything", is_flag=True, help="Sent and cancelled requests too.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON document.")
@_requests
def status(queue: str | None, requests: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Show what is queued and why it waits.

    Whether a shipper runs for each queue is shown too.  REQUESTs that are named are shown in every state.
    """
    from archq.status import report, report_json

    config, spool = _spool()
    if as_json:
        print(report_json(config, spool, queue, requests, everything=everything))
        return
    for line in report(config, spool, queue, requests, everything=everything, width=width()):
        tell(*line)


@cli.command(context_settings=_CONTEXT)
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON document.")
def queues(as_json: bool) -> None:
    """List the queues: where they send to, and what they hold."""
    from archq.status import queue_report, queue_report_json

    if as_json:
        print(queue_report_json(*_spool()))
        return
    for line in queue_report(*_spool(), width()):
        tell(*line)


@cli.command(context_settings=_CONTEXT)
@_one_queue
@click.option("-a", "every", is_flag=True, help="All requests of the queue.")
@click.option("--purge", is_flag=True, help="Remove the copies at once; sent and cancelled requests too.")
@_requests
def cancel(queue: str | None, every: bool, purge: bool, requests: tuple[str, ...]) -> int:
    """Take REQUESTs out of the queue.

    archq retry puts them back while their copies are kept.
    """
    from archq import changes

    config, spool = _spool()
    if every != bool(queue) or every == bool(requests):
        raise UsageError("name REQUESTs, or all of a queue with -a -d QUEUE")
    if queue:
        requests = tuple(map(str, changes.queued_in(config, spool, queue)))
    return _each(requests, lambda request: changes.cancel(spool, request, purge=purge))


@cli.command(context_settings=_CONTEXT)
@_one_queue
@click.option("-r", "reason", metavar="REASON", help="What `archq status` shows as the reason.")
@_queued_requests
def hold(queue: str | None, reason: str | None, requests: tuple[str, ...]) -> int:
    """Let REQUESTs, or a whole queue, wait until they are released."""
    from archq import changes

    config, spool = _spool()
    _either(queue, requests)
    if queue:
        changes.hold_queue(config, spool, queue, reason)
    return _each(requests, lambda request: changes.hold(spool, request, reason))


@cli.command(context_settings=_CONTEXT)
@_one_queue
@_queued_requests
def release(queue: str | None, requests: tuple[str, ...]) -> int:
    """Let held REQUESTs, or a held queue, be sent."""
    from archq import changes

    config, spool = _spool()
    _either(queue, requests)
    if queue:
        changes.release_queue(config, spool, queue)
    return _each(requests, lambda request: changes.release(spool, request))


@cli.command(context_settings=_CONTEXT)
@_named_requests
def retry(requests: tuple[str, ...]) -> int:
    """Try REQUESTs now, or send them again.

    Sent and cancelled ones are sent again under the same ids, as long as their copies are kept.
    """
    from archq import changes

    config, spool = _spool()
    _require(requests)
    return _each(requests, lambda request: changes.retry(config, spool, request))


@cli.command(context_settings=_CONTEXT)
@_options
@click.option("-q", "priority", metavar="1..100", type=_priority, help="Priority, 100 first.")
@click.option("-H", "when", metavar="WHEN", help="hold, immediate, or HH:MM (Z: UTC) for then.")
@_named_requests
def alter(requests: tuple[str, ...], **wishes: Any) -> int:
    """Change options, priority or time of queued REQUESTs."""
    from archq import changes

    config, spool = _spool()
    _require(requests)
    return _each(requests, lambda request: changes.alter(config, spool, request, **wishes))


@cli.command(context_settings=_CONTEXT)
@click.argument("what", metavar="REQUEST|QUEUE", shell_complete=suggestions.movable)
@click.argument("target", metavar="QUEUE")
def move(what: str, target: str) -> int:
    """Move one request, or all of a queue, to another queue."""
    from archq import changes
    from archq.spool import RequestId

    config, spool = _spool()
    whole_queue = what in config.queues or RequestId.parse(what) is None
    requests = map(str, changes.queued_in(config, spool, what)) if whole_queue else (what,)
    return _each(requests, lambda request: tell(f"{request} is now {changes.move(config, spool, request, target)}"))


@cli.command(context_settings=_CONTEXT)
@_one_queue
@click.option("--once", is_flag=True, help="Try every queued file once and end, as cron wants it (the default).")
@click.option("--follow", is_flag=True, help="Ship until told to stop, as systemd wants it.")
@click.option("--on-demand", is_flag=True, hidden=True)
def ship(queue: str | None, **how: bool) -> int:
    """Send what is queued to the archive site."""
    from archq.sending import ship

    return ship(queue, **how)


@cli.command(context_settings=_CONTEXT)
@_requests
def log(requests: tuple[str, ...]) -> None:
    """Tell what happened to REQUESTs, or to all."""
    from archq.status import story

    _config, spool = _spool()
    for line in story(spool, requests):
        tell(line)


@cli.command(context_settings=_CONTEXT)
@_one_queue
@click.option("--pin", metavar="SHA256:…", help="Trust the host key with this fingerprint, if the host shows it.")
def doctor(queue: str | None, pin: str | None) -> int:
    """Try all that a queue needs, step by step, and say what to do about what is wrong."""
    from archq.doctor import examine

    return examine(queue, pin, _tell_broken, warn)


@cli.command(context_settings=_CONTEXT)
def fsck() -> int:
    """Check the spool: every file whole, every record sound.  Changes nothing."""
    from archq.spool.fsck import check_spool, spooled_bytes

    _config, spool = _spool()
    with progress("checking", spooled_bytes(spool)) as seen:
        findings = list(check_spool(spool, seen))
    for finding in findings:
        tell(f"{finding.where}: {finding.what}")
    return ExitStatus.MALFORMED if findings else ExitStatus.DONE


def _spool() -> tuple[Config, Spool]:
    from archq.config import load
    from archq.spool import Spool

    config = load("archq")
    return config, Spool(config.spool)


def _each(requests: Iterable[str], act: Callable[[RequestId], object]) -> int:
    """Do one thing to each request; those for which it fails are told, and the rest is done."""
    from archq.status import checked_request

    checked = [checked_request(text) for text in requests]
    failed = [error for request in checked if (error := _failure(act, request))]
    if len(failed) == 1 and len(checked) == 1:
        raise failed[0]
    for error in failed:
        warn(str(error))
    return ExitStatus.SOME_FAILED if failed else ExitStatus.DONE


def _failure(act: Callable[[RequestId], object], request: RequestId) -> ArchqError | None:
    try:
        act(request)
    except ArchqError as error:
        return error
    return None


def _require(requests: tuple[str, ...]) -> None:
    if not requests:
        raise UsageError("name at least one REQUEST, such as archive-17 (archq status lists them)")


def _either(queue: str | None, requests: tuple[str, ...]) -> None:
    if bool(queue) == bool(requests):
        raise UsageError("name REQUESTs, or a queue with -d QUEUE")


@cli.command(context_settings=_CONTEXT)
@click.option("--directory", metavar="DIR", default="demo", help="Where; made anew at each run.  Default: demo.")
def demo(directory: str) -> int:
    """Take a night of made-up frames down the whole line, as a tutorial."""
    from pathlib import Path

    from archq.demo.tour import run_tour

    return run_tour(Path(directory))


@cli.command(context_settings=_CONTEXT)
@click.option("--archive", is_flag=True, help="Set up the archive host, not the instrument computer.")
@click.option("--system", is_flag=True, help="For all accounts: /etc/archq/archq.toml (root's default).")
@click.option("--user", is_flag=True, help="For this account only (everybody else's default).")
@click.option("--force", is_flag=True, help="Write over a configuration, and keep a copy of the old one.")
@click.option("--instrument", "instruments", metavar="NAME", multiple=True, help="An instrument (repeatable).")
@click.option("--zone", metavar="ZONE", help="The time zone in which the instruments' nights are counted.")
@click.option("--rollover", metavar="HH:MM", help="When a night's date begins.")
@click.option("--owner", metavar="ACCOUNT", help="The account that ships; or with --archive, that sweeps.")
@click.option("--group", metavar="GROUP", help="Who may submit; or with --archive, the group of incoming.")
@click.option("--url", metavar="URL", help="Where files are sent.")
@click.option("--queue", metavar="NAME", help="The queue's name.  Default: archive.")
@click.option("--spool", metavar="DIR", help="Where copies wait.")
@click.option("--password-file", metavar="FILE", help="Holds the password of the URL's account.")
@click.option("--key", metavar="FILE", help="Holds the private key of the URL's account.")
@click.option("--incoming", metavar="DIR", help="With --archive: where files arrive.")
@click.option("--directory", metavar="DIR", help="With --archive: below it are the instruments' archives.")
@click.option("--uploader", metavar="ACCOUNT", help="With --archive: the account that uploads.")
@click.option("--ftp-log", metavar="FILE", help="With --archive: the FTP server's log, for logsum.")
@click.option(
    "--drop-box", type=click.Choice(["vsftpd", "sshd"]), help="With --archive: print this server's part only."
)
def init(archive: bool, system: bool, user: bool, force: bool, **wishes: Any) -> int:
    """Set this host up: write a commented configuration, make the directories, and try it all."""
    from archq.setup import set_up

    return set_up(wishes, tell, warn, archive=archive, system=system, user=user, force=force)


@cli.command(context_settings=_CONTEXT)
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what a shell has to read to complete commands, requests, queues and instruments."""
    from archq.completion import script

    click.echo(script(shell))
