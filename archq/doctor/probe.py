"""A harmless arrival, by which an account shows what it may do: every sweeper discards its instrument."""

from __future__ import annotations

import contextlib
import io
import time
from typing import TYPE_CHECKING

from archq.checksum import DEFAULT_ALGORITHM, Checksum, new_hasher
from archq.control import ControlFile, format_control
from archq.names import PROBE_INSTRUMENT, WireName, new_id
from archq.quantities import format_duration
from archq.transports.base import NotPermittedTransferError, TemporaryTransferError, TransferError
from archq.version import __version__

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from archq.transports.base import Transport

    class Notes(Protocol):
        """Is told what the probe does and finds."""

        def start(self, step: str) -> None:
            """Take note that what came before is done, and that ``step`` begins."""

        def found(self, fact: str) -> None:
            """Take note of what the current step has found."""

        def no(self, reason: str) -> None:
            """Take note that the current step has shown an ability to be missing."""


CONTENT = b"archq doctor has sent this; a sweeper discards it.\n"
LARGEST_DIFFERENCE = 60.0  # seconds between two clocks before it is worth a word


class Probe:
    """One arrival of the probe's instrument, put where the queue puts its files."""

    def __init__(self, session: Transport, notes: Notes) -> None:
        """``session`` is at the queue's directory."""
        self._session = session
        self._notes = notes
        self._wire = WireName(instrument=PROBE_INSTRUMENT, id=new_id(), attempt=1)
        self._content = CONTENT
        self._sent = 0.0

    def account(self) -> str:
        """Return "full" if the account may do all that renaming takes, else "upload-only".

        One that is refused to resume starts again; one that resumes wrongly must never try.  Leave nothing behind, or
        else an arrival that is complete, so that a sweeper discards it.  Raise TransferError where the account may not
        even write.
        """
        name = str(self._wire.data)
        self._write(name)
        sizes = self._can("ask sizes", lambda: self._has_size(name))
        self._can("list", lambda: self._is_listed(name))
        self._compare_clocks(name)
        renames = self._can("rename", lambda: self._session.rename(name, self._wire.data.part))
        now = self._wire.data.part if renames else name
        resumes_rightly = renames and self._resumes_rightly(now)
        removes = self._can("remove", lambda: self._session.remove(now))
        if not removes:
            self._leave_complete(now, name)
        return "full" if renames and sizes and resumes_rightly and removes else "upload-only"

    def _write(self, name: str) -> None:
        self._notes.start("write")
        self._sent = time.time()
        try:
            self._session.put(io.BytesIO(CONTENT), name)
        except TransferError:
            with contextlib.suppress(TransferError):
                self._session.remove(name)  # a part of it may be there
            raise

    def _can(self, step: str, act: Callable[[], None]) -> bool:
        return self._problem(step, act) is None

    def _problem(self, step: str, act: Callable[[], None]) -> TransferError | None:
        self._notes.start(step)
        try:
            act()
        except TransferError as error:
            self._notes.no(str(error))
            return error
        return None

    def _resumes_rightly(self, name: str) -> bool:
        problem = self._problem("resume", lambda: self._resume(name))
        return problem is None or isinstance(problem, NotPermittedTransferError)

    def _has_size(self, name: str) -> None:
        size = self._session.size(name)
        if size != len(self._content):
            raise TemporaryTransferError(f"{self._session.label}: says {size} bytes, {len(self._content)} were sent")

    def _is_listed(self, name: str) -> None:
        if name not in self._session.names():
            raise TemporaryTransferError(f"{self._session.label}: the list leaves out what was sent")

    def _resume(self, name: str) -> None:
        self._session.put(io.BytesIO(CONTENT), name, offset=len(CONTENT))
        self._content = CONTENT * 2
        self._has_size(name)

    def _compare_clocks(self, name: str) -> None:
        self._notes.start("clock")
        before = self._sent
        try:
            ahead = self._session.modified(name) - before
        except TransferError as error:
            self._notes.no(str(error))
            return
        # The file was made between its sending and now, and some servers tell whole seconds only.
        if -LARGEST_DIFFERENCE < ahead < time.time() - before + LARGEST_DIFFERENCE:
            self._notes.found(f"differs by less than {format_duration(LARGEST_DIFFERENCE)}")
            return
        which = "ahead of" if ahead > 0 else "behind"
        self._notes.no(f"the server's is {format_duration(abs(ahead))} {which} ours: see to NTP on both sides")

    def _leave_complete(self, now: str, name: str) -> None:
        self._notes.start("leave")
        if now != name:
            self._session.rename(now, name)
        self._session.put(io.BytesIO(self._control()), str(self._wire.control))
        self._notes.found(f"{name} and its control file, which a sweeper discards")

    def _control(self) -> bytes:
        hasher = new_hasher(DEFAULT_ALGORITHM)
        hasher.update(self._content)
        instant = round(self._sent * 1e9)
        return format_control(
            ControlFile(
                id=self._wire.id,
                instrument=PROBE_INSTRUMENT,
                name=PROBE_INSTRUMENT,
                size=len(self._content),
                checksum=Checksum(DEFAULT_ALGORITHM, hasher.hexdigest()),
                mtime=instant,
                queued=instant,
                agent=f"archq/{__version__}",
            )
        )
