"""Put one arrival on the other side so that no reader sees half of it: data first, the control file last.

An account that may rename gets each file under a temporary name, which is renamed; an interrupted one is resumed.
An upload-only drop box gets final names, and a new try, under new names, after every failure: what an earlier try left
there can be neither looked at nor removed.  Every try is complete in itself, and the sweeper files one of them.
"""

from __future__ import annotations

import io
import os
import time
from dataclasses import replace
from typing import TYPE_CHECKING

from archq import durable
from archq.control import format_control
from archq.errors import InputOutputError, from_os_error
from archq.filestate import FileState, Phase
from archq.names import WireName
from archq.transports.base import NotPermittedTransferError, TemporaryTransferError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

    from archq.control import ControlFile
    from archq.spool import SpooledFile
    from archq.transports.base import Transport

    Record = Callable[[FileState], object]


class Pace:
    """How fast a file is read for sending, and who is told how far it came; this one is as fast as it can be."""

    def block(self, size: int) -> int:
        """Return how many of ``size`` bytes to read at once."""
        return size

    def passed(self, count: int) -> None:
        """Take note of ``count`` bytes; may wait."""


class PacedReader(io.RawIOBase):
    """Reads a spooled copy, no faster than allowed, and tells how much; its errors are ours, not the destination's."""

    def __init__(self, path: str, control: ControlFile, pace: Pace) -> None:
        """Open the copy at ``path``, which must be as ``control`` says."""
        self._path = path
        self._pace = pace
        try:
            self._descriptor = durable.open_unfollowed(path)
        except OSError as error:
            raise InputOutputError(str(from_os_error(error, f"read the spooled copy {path}"))) from error
        status = os.fstat(self._descriptor)
        if (status.st_size, status.st_mtime_ns) != (control.size, control.mtime):
            self.close()
            raise InputOutputError(
                f"{path} is no longer what was submitted: it has {status.st_size} bytes instead of {control.size}, "
                "or another time (a source that is linked, not copied, must not be written to)"
            )

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes, fewer at the end."""
        try:
            block = os.read(self._descriptor, self._pace.block(size))
        except OSError as error:
            raise InputOutputError(str(from_os_error(error, f"read the spooled copy {self._path}"))) from error
        self._pace.passed(len(block))
        return block

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Go to ``offset`` bytes from the beginning."""
        return os.lseek(self._descriptor, offset, whence)

    def close(self) -> None:
        """Close the copy."""
        if not self.closed:
            os.close(self._descriptor)
        super().close()


def deliver(
    file: SpooledFile, transport: Transport, *, may_rename: bool, record: Record, pace: Pace | None = None
) -> FileState:
    """Deliver ``file`` and return its state, which says sent.

    ``record`` makes a state durable; it is called before anything of a new try is sent and whenever an error has shown
    how far that try came, so that a delivery after this one, in this process or another, goes on rightly.  Raise
    TransferError, or InputOutputError where the spooled copy is at fault.
    """
    kind = _Renamed if may_rename else _Final
    return kind(file, transport, record, pace or Pace()).deliver()


class _Delivery:
    """What both kinds of account have in common."""

    def __init__(self, file: SpooledFile, transport: Transport, record: Record, pace: Pace) -> None:
        self.control = file.control
        self.data_path = file.data_path
        self.state = file.state
        self.transport = transport
        self._record = record
        self.pace = pace

    @property
    def wire(self) -> WireName:
        return WireName(instrument=self.control.instrument, id=self.control.id, attempt=self.state.attempt)

    def record(self, **changes: object) -> None:
        self.state = replace(self.state, **changes)  # type: ignore[arg-type]  # names and types are FileState's
        self._record(self.state)

    def begin(self, phase: Phase) -> None:
        self.record(phase=phase, tries=self.state.tries + 1, started=time.time_ns())

    def upload(self, name: str, offset: int = 0) -> None:
        """Send the data file, then ask for its size where the server answers."""
        begun = time.monotonic()
        with PacedReader(self.data_path, self.control, self.pace) as reader:
            reader.seek(offset)
            self.transport.put(_as_binary(reader), name, offset=offset)
        self.verify(name, self.control.size)
        self.state = replace(self.state, seconds=time.monotonic() - begun)

    def verify(self, name: str, size: int) -> None:
        """Compare sizes: a server's "complete" proves nothing."""
        try:
            there = self.transport.size(name)
        except NotPermittedTransferError:
            return
        if there != size:
            has = "nothing" if there is None else f"{there} bytes"
            raise TemporaryTransferError(
                f"{self.transport.label}: has {has} under {name} after it said that all {size} bytes had arrived"
            )

    def control_text(self) -> bytes:
        """Return the control file with what is known only now."""
        sent: ControlFile = replace(
            self.control, started=self.state.started, seconds=self.state.seconds, tries=self.state.tries
        )
        return format_control(sent)

    def put_control(self, name: str) -> None:
        text = self.control_text()
        self.transport.put(io.BytesIO(text), name)
        self.verify(name, len(text))

    def done(self) -> FileState:
        self.record(phase=Phase.SENT, sent=time.time_ns(), failures=0, reason="", next_try=0)
        return self.state


class _Renamed(_Delivery):
    """Temporary names, then renames."""

    def deliver(self) -> FileState:
        if self.state.phase is not Phase.UPLOADED:
            self.send_data()
        self.send_control()
        return self.done()

    def send_data(self) -> None:
        part, final = self.wire.data.part, str(self.wire.data)
        there = self.transport.size(part) if self.state.tries else None
        if self.state.phase is Phase.BEGUN and there is None:
            # The renames, or their replies, were lost: what was renamed may have been swept up already.
            self.record(phase=Phase.WAITING, attempt=self.state.attempt + 1)
            part, final = self.wire.data.part, str(self.wire.data)
        self.begin(Phase.BEGUN)
        try:
            self.upload(part, self.resumable(part, there))
        except Exception:
            self.record(phase=Phase.WAITING)  # the renames were not begun: the same try goes on
            raise
        self.transport.rename(part, final)

    def resumable(self, part: str, there: int | None) -> int:
        """Return the offset to go on from; what is longer than the file cannot be a part of it."""
        if there is not None and (there > self.control.size or there == 0):
            self.transport.remove(part)
            there = None
        return there or 0

    def send_control(self) -> None:
        part = self.wire.control.part
        try:
            if self.state.phase is Phase.UPLOADED:
                self.transport.remove(part)  # of an earlier try of the control file
            self.put_control(part)
        except Exception:
            self.record(phase=Phase.UPLOADED)
            raise
        if self.state.phase is not Phase.BEGUN:
            self.record(phase=Phase.BEGUN)  # from here on only a reply tells what is there
        self.transport.rename(part, str(self.wire.control))  # the commit: a sweeper takes it as proof of the rest


class _Final(_Delivery):
    """Final names, made new, never touched again."""

    def deliver(self) -> FileState:
        if self.state.phase is not Phase.WAITING:
            self.record(phase=Phase.WAITING, attempt=self.state.attempt + 1)
        self.begin(Phase.BEGUN)
        try:
            self.upload(str(self.wire.data))
            # Last on purpose: a sweeper takes the control file as proof that the rest is there.
            self.put_control(str(self.wire.control))
        except Exception:
            self.record(phase=Phase.WAITING, attempt=self.state.attempt + 1)
            raise
        return self.done()


def _as_binary(reader: PacedReader) -> BinaryIO:
    return reader  # type: ignore[return-value]  # typing.BinaryIO is nominal; transports only read
