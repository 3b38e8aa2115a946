"""From a request to a report: find the logs, read them, tally, render."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from archq.names import ALL_INSTRUMENTS
from logsum.ledger import bring_together
from logsum.readers.ftplog import read_log
from logsum.readers.transferlog import read_directory
from logsum.render.text import render
from logsum.sources import find_scope
from logsum.tally import tally

if TYPE_CHECKING:
    from datetime import tzinfo

    from archq.config import Config
    from logsum.events import Upload
    from logsum.ledger import File
    from logsum.period import Period
    from logsum.problems import Problems
    from logsum.render.text import Style
    from logsum.sources import Scope
    from logsum.tally import Tally


@dataclass(frozen=True, slots=True, kw_only=True)
class Logs:
    """Where to look; the directory is that of the configuration where it is None."""

    directory: str | None
    ftp_log: str | None
    ftp_log_zone: tzinfo


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be reported."""

    instrument: str
    period: Period
    logs: Logs
    style: Style


def text_report(request: Request, config: Config, problems: Problems) -> str:
    """Return the report as text; raise NoInputError where there is no such instrument or log directory."""
    scope = find_scope(request.instrument, request.logs.directory, config)
    files = _files(scope, request.period, problems)
    uploads = _uploads(request.logs, scope, problems)
    return render(request.period, _tallies(request, files, uploads, scope), request.style)


def _files(scope: Scope, period: Period, problems: Problems) -> dict[str, File]:
    verdicts = (
        verdict
        for directory in scope.directories
        for verdict in read_directory(directory, period.start, problems)
        if scope.title_of(verdict.instrument)
    )
    return bring_together(verdicts)


def _uploads(logs: Logs, scope: Scope, problems: Problems) -> list[Upload] | None:
    if not logs.ftp_log:
        return None
    try:
        uploads = read_log(logs.ftp_log, logs.ftp_log_zone, problems)
        return [upload for upload in uploads if scope.title_of(upload.wire.instrument)]
    except OSError as error:
        problems.warn(f"cannot read the FTP log {logs.ftp_log}: {error.strerror}; times are the transfer logs' instead")
        return None


def _tallies(request: Request, files: dict[str, File], uploads: list[Upload] | None, scope: Scope) -> list[Tally]:
    def of(title: str) -> Tally:
        return tally(
            title,
            {id_: file for id_, file in files.items() if scope.title_of(file.latest.instrument) == title},
            request.period,
            None if uploads is None else [one for one in uploads if scope.title_of(one.wire.instrument) == title],
        )

    if request.instrument != ALL_INSTRUMENTS:
        return [of(request.instrument)]
    titles = {scope.title_of(file.latest.instrument) or "" for file in files.values()} | set(scope.titles.values())
    return [*map(of, sorted(titles)), tally(ALL_INSTRUMENTS, files, request.period, uploads)]
