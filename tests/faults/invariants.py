"""What has to hold at every instant, and what once all is recovered: by the checks that users have, and beside them."""

from __future__ import annotations

import os
import stat
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from archq.config import Config
from archq.control import parse_control
from archq.durable import CUT
from archq.errors import ArchqError, MalformedError
from archq.spool import BUILDING, CANCELLED, QUEUED, SENT, STATES, Spool
from archq.spool.fsck import check_spool
from archq.spool.housekeeping import keep_house
from archq.transferlog import CONFLICT, DUPLICATE, FILED, FINAL, REJECTED, parse_outcome
from tests.faults.line import MTIME, SWEEP_ANY, VISITOR

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from archq.spool import RequestId, SpooledFile
    from archq.transferlog import Outcome
    from tests.faults.line import Line

TOP = {"archq.toml", "data", "spool", "incoming", "archive", "any", "other", "user"}
LOGS = "xferlogs"


# What fsck says where `archq retry` was cut short: its user was told nothing, and is told how to go on.
_HALF_RETRIED = "was not sent: archq retry sends it"


def always(line: Line) -> Iterator[str]:
    """Yield what is wrong though it has to hold whatever was killed, refused or lost a moment ago."""
    yield from (problem for problem in _spool_is_sound(line) if _HALF_RETRIED not in problem)
    yield from _owed_files_are_whole(line)
    yield from archive_shows_whole_files_only(line)
    yield from _control_files_have_their_data(line)
    yield from _strangers(line)


def settled(line: Line) -> Iterator[str]:
    """Yield what is wrong after recovery: everything owed is filed once, told once, and nothing lies about."""
    yield from always(line)
    yield from _spool_is_sound(line)
    yield from _log_is_readable(line)
    yield from _log_tells_all_once(line)
    yield from _nothing_lies_about(line)


def aftermath(line: Line, program: str, words: Sequence[str]) -> Iterator[str]:
    """Say the command again, as whoever got no answer does, and recover; yield what is wrong in that or after it."""
    line.run(program, *words)
    yield from recover(line)
    yield from settled(line)


def recover(line: Line) -> Iterator[str]:
    """Do what cron would: ship and sweep until nothing moves; yield what does not go well."""
    for request in held(line):
        line.run("archq", "retry", request)  # as a person would who reads in `archq status` why it is held
    for _round in range(3):
        for program, words in _of_cron(line):
            ended = line.run(program, *words)
            if ended.status not in {0, 3, 75}:
                yield f"recovery: {program} {' '.join(words)}: exit status {ended.status}: {ended.errors.strip()}"
        if not Spool(str(line.home / "spool")).requests(QUEUED) and not line.arrivals() and not _swept(line):
            break
        line.let_rest()
    # What a dead writer left stays for an hour, as it may be a living one's.
    keep_house(Spool(str(line.home / "spool")), Config(), time.time() + 7200, lambda _line: None)


def recover_at_last(line: Line, within: float = 30.0) -> Iterator[str]:
    """Recover as :func:`recover` does, until nothing comes any more: a server may still write what it has received."""
    end = time.monotonic() + within
    yield from recover(line)
    while line.arrivals() and time.monotonic() < end:
        time.sleep(0.5)
        yield from recover(line)


def _of_cron(line: Line) -> Iterator[tuple[str, tuple[str, ...]]]:
    yield "archq", ("ship", "--once")
    yield "sweeper", ("-i", "minicam")
    if any(name.startswith(f"{VISITOR}.") for name in line.arrivals()):
        yield "sweeper", SWEEP_ANY
    if _swept(line):
        yield "sweeper", ("-i", VISITOR, "-f", str(line.home / "any"), "-d", str(line.home / "archive"))


def _swept(line: Line) -> list[Path]:
    """Return what lies where the arrivals of all other instruments are put."""
    return [path for path in (line.home / "any").rglob(f"{VISITOR}.*.?f") if ".archq-work" not in path.parts]


def _files(spool: Spool, state: str, request: RequestId) -> list[SpooledFile]:
    """Return a request's files, and none if its records are damaged, which fsck tells."""
    with suppress(ArchqError):
        return spool.files(state, request)
    return []


def held(line: Line) -> list[str]:
    """Return the requests that wait for a person, of whose files one could not be used."""
    spool = Spool(str(line.home / "spool"))
    requests = spool.requests(QUEUED)
    return [str(one) for one in requests if any(file.state.held for file in _files(spool, QUEUED, one))]


def spoiled(line: Line) -> set[str]:
    """Return the ids that were rejected and are not in the archive."""
    ids: dict[str, set[str]] = {}
    for one in outcomes(line):
        if "wire" in one.facts:
            ids.setdefault(one.facts["wire"].split(".")[1], set()).add(one.outcome)
    return {key for key, found in ids.items() if REJECTED in found and not found & {FILED, CONFLICT, DUPLICATE}}


def requests_of(line: Line, ids: set[str]) -> set[str]:
    """Return the requests that were sent with these files, which a person who reads of a rejection sends again."""
    spool = Spool(str(line.home / "spool"))
    return {
        str(request)
        for request in spool.requests(SENT)
        for file in _files(spool, SENT, request)
        if file.control.id in ids
    }


def _spool_is_sound(line: Line) -> Iterator[str]:
    for finding in check_spool(Spool(str(line.home / "spool"))):
        yield f"archq fsck: {finding.where}: {finding.what}"


def _owed_files_are_whole(line: Line) -> Iterator[str]:
    safe = Counter([*_whole_in_spool(line), *_whole_in_archive(line)])
    for name in sorted(line.owed - safe.keys()):
        yield f"{name} was acknowledged, and is whole neither in the spool nor in the archive"


def _whole_in_spool(line: Line) -> Iterator[str]:
    spool = Spool(str(line.home / "spool"))
    for state in STATES:
        for request in spool.requests(state):
            for file in _files(spool, state, request):
                if _is(line, file.control.name, spool.place(state, str(request), f"{file.part}.df")):
                    yield file.control.name


def _whole_in_archive(line: Line) -> Iterator[str]:
    for path in archived(line):
        if _is(line, original(path.name), path):
            yield original(path.name)


def original(name: str) -> str:
    """Return the name under which a conflict's file was sent."""
    base, _, ending = name.rpartition(".")
    return f"{base.partition('~')[0]}.{ending}"


def _is(line: Line, name: str, path: str | Path) -> bool:
    try:
        with open(path, "rb") as file:
            return line.contents.get(name) == file.read()
    except FileNotFoundError:
        return False


def archived(line: Line) -> list[Path]:
    """Return what a user of the archive sees: its files but for the logs and hidden names."""
    archive = line.home / "archive"
    return [
        path
        for path in sorted(archive.rglob("*"))
        if path.is_file() and path.relative_to(archive).parts[0] != LOGS and not path.name.startswith(".")
    ]


def archive_shows_whole_files_only(line: Line) -> Iterator[str]:
    """Yield what a user of the archive may not see at any instant, whatever is at work."""
    for path in archived(line):
        facts = path.lstat()
        if not stat.S_ISREG(facts.st_mode):
            yield f"archive: {path.name} is no regular file"
        elif path.name.startswith("taken") and "~" not in path.name:
            if path.read_bytes() != b"before":
                yield f"archive: {path.name} was overwritten"
        elif not _is(line, original(path.name), path):
            yield f"archive: {path.name} does not hold what was sent"
        elif facts.st_mtime_ns != MTIME:
            yield f"archive: {path.name} has not the time of its source"


def _control_files_have_their_data(line: Line) -> Iterator[str]:
    """A control file is the commit mark, for whoever reads the incoming directory."""
    for path in sorted(line.incoming.glob("*.cf")):
        try:
            control = parse_control(path.read_bytes())
        except ArchqError:
            continue  # not a control file, or not yet
        data = path.with_suffix(".df")
        if not data.exists() or data.stat().st_size != control.size:
            yield f"incoming: {path.name} is there without its data"


def _strangers(line: Line) -> Iterator[str]:
    for name in sorted(set(os.listdir(line.home)) - TOP):
        yield f"outside of every root: {name}"


def outcomes(line: Line) -> list[Outcome]:
    """Return what readers of the transfer log read: not what a dead writer, or a dead disk, has cut."""
    found = []
    for text in _log_lines(line):
        with suppress(MalformedError):
            found.append(parse_outcome(text))
    return found


def _log_lines(line: Line) -> list[bytes]:
    logs = line.home / "archive" / LOGS
    paths = [path for path in sorted(logs.glob("*")) if not path.name.startswith(".")]
    return [text for path in paths for text in path.read_bytes().splitlines(keepends=True)]


def _log_is_readable(line: Line) -> Iterator[str]:
    for text in _log_lines(line):
        if text.endswith(b"\n") and not text.endswith(CUT):
            try:
                parse_outcome(text)
            except MalformedError as error:
                yield f"transfer log: {error}"


def _log_tells_all_once(line: Line) -> Iterator[str]:
    lines = [one for one in outcomes(line) if one.outcome in FINAL]
    for wire, count in Counter(one.facts["wire"] for one in lines).items():
        if count > 1:
            yield f"transfer log: {count} final lines for {wire}"
    filed = [one for one in lines if one.outcome in (FILED, CONFLICT)]
    ids = Counter(one.facts["wire"].split(".")[1] for one in filed)
    for file_id, count in ids.items():
        if count > 1:
            yield f"transfer log: {file_id} was filed {count} times"
    told = Counter(one.facts["path"] for one in filed)
    there = {str(path.relative_to(line.home / "archive")) for path in archived(line)}
    for path in sorted(told.keys() ^ (there - {str(one) for one in _planted(line)})):
        yield f"transfer log and archive differ about {path}"
    names = {original(path.rpartition("/")[2]) for path in told} | _answered(lines) | set(_not_for_this_archive(line))
    for name in sorted(line.owed - names):
        yield f"{name} was acknowledged and never filed: {'; '.join(_whereabouts(line, name)) or 'it is nowhere'}"


def _whereabouts(line: Line, name: str) -> Iterator[str]:
    """Yield where a file stands, and what the sweeper said of it."""
    spool = Spool(str(line.home / "spool"))
    for state in STATES:
        for request in spool.requests(state):
            for file in _files(spool, state, request):
                if file.control.name == name:
                    yield f"{state} in {request}, {file.state}"
                    yield from (str(one) for one in outcomes(line) if file.control.id in one.facts.get("wire", ""))


def _answered(lines: list[Outcome]) -> set[str]:
    """Return the names of files that the archive had already, by the log."""
    return {one.facts["with"].rpartition("/")[2] for one in lines if "with" in one.facts}


def _not_for_this_archive(line: Line) -> Iterator[str]:
    """Yield the files that were cancelled, or moved to another queue: what is owed is whole in the spool or there."""
    spool = Spool(str(line.home / "spool"))
    for state in STATES:
        for request in spool.requests(state):
            if state == CANCELLED or request.queue != "archive":
                yield from (file.control.name for file in _files(spool, state, request))


def _planted(line: Line) -> list[Path]:
    archive = line.home / "archive"
    return [path.relative_to(archive) for path in archived(line) if path.name == "taken.fits"]


def _nothing_lies_about(line: Line) -> Iterator[str]:
    if waiting := Spool(str(line.home / "spool")).requests(QUEUED):
        yield f"still queued after recovery: {', '.join(map(str, waiting))}"
    for name in [*line.arrivals(), *(str(path) for path in _swept(line))]:
        yield f"still in incoming after recovery: {name}"
    places = {
        "archive": line.home / "archive",
        "any": line.home / "any",
        "incoming": line.incoming,
        "spool": line.home / "spool",
    }
    for label, root in places.items():
        for path in root.rglob("*"):
            if _is_temporary(path, root):
                yield f"stale temporary in {label}: {path.relative_to(root)}"


def _is_temporary(path: Path, root: Path) -> bool:
    parts = path.relative_to(root).parts
    if root.name == "spool":
        return (parts[0] == BUILDING and len(parts) > 1) or path.name.endswith(".new")
    if parts[0] == ".archq-work":
        return len(parts) > 2 and parts[2] != "ballast"  # which stays, to be given up when the disk is full
    if parts[0] == ".archq-rejected" or LOGS in parts:
        return False
    return path.name.startswith(".archq-") and path.name not in {".archq-work", ".archq-rejected"}
