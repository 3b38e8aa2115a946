"""The ledgers that are compared, found and read: of what was sent, what a server has seen and what was filed."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from archq.errors import UsageError, from_os_error
from logsum.period import HOUR
from logsum.problems import Problems
from logsum.readers.bulk import read_period
from logsum.readers.ftplog import read_log
from logsum.readers.spool import read_spool
from logsum.reconcile import Comparison, Ledgers, compare
from logsum.report import known_files
from logsum.sources import find_scope

if TYPE_CHECKING:
    from archq.config import Config
    from logsum.events import Sent, Upload
    from logsum.ledger import Ledger
    from logsum.report import Request
    from logsum.sources import Scope

_UNDER_WAY = 24 * HOUR  # what is transferred in a period may have been begun before it


def compare_ledgers(request: Request, spool: str | None, config: Config, problems: Problems) -> Comparison:
    """Return what the ledgers disagree about.

    Raise UsageError where there is only one, NoInputError and the like where one that was asked for cannot be read:
    an empty ledger would agree with nothing.
    """
    if not spool and not request.logs.ftp_log:
        raise UsageError("--reconcile needs something to compare the transfer logs with: give -f, --spool or both")
    scope = find_scope(request.instrument, request.logs.directory, config)
    files = known_files(scope, request.period, problems, checksums=True)
    since, uploads = _uploads(request, files, scope, problems)
    ledgers = Ledgers(
        sent=_sent(spool, request, problems) if spool else None,
        uploads=uploads,
        files=files,
        server_since=since,
    )
    comparison = compare(ledgers, request.period, scope, request.now)
    if comparison.too_early:
        problems.warn(
            f"{request.logs.ftp_log} begins too late for {comparison.too_early} of the files, "
            "which are not looked for in it: name one that still has its elders beside it"
        )
    return comparison


def _sent(spool: str, request: Request, problems: Problems) -> list[Sent]:
    try:
        return list(read_spool(spool, request.period.start - _UNDER_WAY, problems))
    except OSError as error:
        raise from_os_error(error, f"read the spool {spool}") from error


def _uploads(request: Request, files: Ledger, scope: Scope, problems: Problems) -> tuple[int, list[Upload] | None]:
    """Return when the server's log begins, and the uploads that it tells of around the period."""
    path, zone = request.logs.ftp_log, request.logs.ftp_log_zone
    if not path:
        return 0, None
    start, end = request.period.start - _UNDER_WAY, request.period.end + _UNDER_WAY
    around = replace(request.period, start=start if files.since is None else min(start, files.since), end=end)
    try:
        first = next(read_log(path, zone, Problems()), None)
        uploads = read_period(path, zone, around, problems)
        kept = [one for one in uploads if one.ended in around and scope.title_of(one.wire.instrument)]
    except OSError as error:
        raise from_os_error(error, f"read the FTP log {path}") from error
    return first.ended if first else 0, kept
