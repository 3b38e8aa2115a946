"""Put one arrival on the other side so that no reader sees half of it: data first, the control file last.

An account that may rename gets each file under a temporary name, which is renamed; an interrupted one is resumed.
An upload-only drop box gets final names, and a new try, under new names, after every failure: what an earlier try left
there can be neither looked at nor removed.  Every try is complete in itself, and the sweeper files one of them.
"""

from __future__ import annotations

import contextlib
import io
import os
import time
from typing import TYPE_CHECKING

from archq import durable
from archq.control import format_control
from archq.errors import ExitStatus, InputOutputError, from_os_error
from archq.light import replace
from archq.names import WireName
from archq.spool.filestate import FileState, Phase
from archq.transports.base import NotPermittedTransferError, TemporaryTransferError, TransferError
from archq.transports.pipeline import Answer, AtOnce, run_together

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence
    from typing import BinaryIO

    from archq.control import ControlFile
    from archq.errors import ArchqError
    from archq.spool import SpooledFile
    from archq.transports.base import Transport
    from archq.transports.pipeline import Pipeline

    Sign = Callable[[ControlFile], ControlFile]
    Record = Callable[[Sequence[tuple[SpooledFile, FileState]]], object]
    RecordOne = Callable[[FileState], Awaitable[object]]

# To how many nanoseconds filesystems keep times: ext4, NTFS, NFS, an old ext3, FAT.
_TIME_GRAINS = (1, 100, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)


class Pace:
    """How fast a file is read for sending, and who is told how far it came; this one is as fast as it can be."""

    def block(self, size: int) -> int:
        """Return how many of ``size`` bytes to read at once."""
        return size

    def passed(self, count: int) -> None:
        """Take note of ``count`` bytes; may wait."""

    def heard(self) -> None:
        """Take note that the destination has answered something."""

    def starts_again(self) -> None:
        """Take note that the destination resumes nothing."""


class PacedReader(io.RawIOBase):
    """Reads a spooled copy, no faster than allowed, and tells how much; its errors are ours, not the destination's."""

    def __init__(self, path: str, control: ControlFile, pace: Pace) -> None:
        """Open the copy at ``path``, which must be as ``control`` says."""
        self._path = path
        self._pace = pace
        try:
            self._descriptor = durable.open_unfollowed(path)
        except OSError as error:
            raise _unreadable(path, error) from error
        status = os.fstat(self._descriptor)
        if status.st_size != control.size or not _is_kept(control.mtime, status.st_mtime_ns):
            self.close()
            raise InputOutputError(
                f"{path} is no longer what was submitted: it has {status.st_size} bytes instead of {control.size}, "
                "or another time (a source that is linked, not copied, must not be written to): "
                "cancel its request, and submit the file again"
            )

    def read(self, size: int = -1) -> bytes:
        """Return the next ``size`` bytes, fewer at the end."""
        try:
            block = os.read(self._descriptor, self._pace.block(size))
        except OSError as error:
            raise _unreadable(self._path, error) from error
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


def _is_kept(mtime: int, there: int) -> bool:
    """Tell whether ``there`` is ``mtime`` as some filesystem keeps it; both are in nanoseconds since 1970."""
    return any(there == mtime // grain * grain for grain in _TIME_GRAINS)


def _unsigned(control: ControlFile) -> ControlFile:
    return control


def _unreadable(path: str, error: OSError) -> ArchqError:
    """Return the error of a spooled copy; it tells whether a later try may work: too many open files, say."""
    told = from_os_error(error, f"read the spooled copy {path}")
    return told if told.status == ExitStatus.TEMPORARY else InputOutputError(str(told))


def deliver(
    file: SpooledFile,
    transport: Transport,
    *,
    may_rename: bool,
    record: Callable[[FileState], object],
    pace: Pace | None = None,
    signed: Sign = _unsigned,
) -> FileState:
    """Deliver ``file`` and return its state, which says sent; raise what :func:`deliver_together` returns."""

    def record_it(changes: Sequence[tuple[SpooledFile, FileState]]) -> None:
        for _file, state in changes:
            record(state)

    [outcome] = deliver_together(
        [file], AtOnce(transport), may_rename=may_rename, record=record_it, pace=pace, signed=signed
    )
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def deliver_together(
    files: Sequence[SpooledFile],
    pipeline: Pipeline,
    *,
    may_rename: bool,
    record: Record,
    pace: Pace | None = None,
    signed: Sign = _unsigned,
) -> list[FileState | Exception]:
    """Deliver ``files`` side by side; return for each its state, which says sent, or why it was not.

    ``record`` makes states durable; it is called before anything of a new try is sent and whenever an error has shown
    how far that try came, so that a delivery after this one, in this process or another, goes on rightly.  ``signed``
    returns the control file with its signature, if it is to have one.  What is returned instead of a state is a
    TransferError, InputOutputError where the spooled copy is at fault, or what ``record`` has raised.
    """
    pace, kind = pace or Pace(), _Renamed if may_rename else _Final
    records = _Records(record)
    deliveries = [kind(file, pipeline, records.of(file), pace, signed) for file in files]

    def receive() -> bool:
        has_received = pipeline.receive()
        pace.heard()
        return has_received

    # States last: whoever else can go on may have one to record as well, and one wait for the disk is enough.
    return run_together([one.deliver_once() for one in deliveries], receive, records.write)


class _Records:
    """Collects the states that are to become durable."""

    def __init__(self, record: Record) -> None:
        self._record = record
        self._changes: list[tuple[SpooledFile, FileState]] = []
        self._answers: list[Answer[None]] = []

    def of(self, file: SpooledFile) -> RecordOne:
        """Return what makes a state of ``file`` durable."""

        def record(state: FileState) -> Answer[None]:
            self._changes.append((file, state))
            self._answers.append(Answer())
            return self._answers[-1]

        return record

    def write(self) -> bool:
        """Make durable what was collected, and let those go on who wait for it; return whether anybody did."""
        changes, answers = self._changes, self._answers
        self._changes, self._answers = [], []
        try:
            if changes:
                self._record(changes)
        except Exception as error:
            for answer in answers:
                answer.fail(error)
        else:
            for answer in answers:
                answer.give(None)
        return bool(answers)


class _Delivery:
    """What both kinds of account have in common."""

    def __init__(self, file: SpooledFile, pipeline: Pipeline, record: RecordOne, pace: Pace, signed: Sign) -> None:
        self.control = file.control
        self.data_path = file.data_path
        self.state = file.state
        self.pipeline = pipeline
        self._record = record
        self.pace = pace
        self.signed = signed

    @property
    def wire(self) -> WireName:
        return WireName(instrument=self.control.instrument, id=self.control.id, attempt=self.state.attempt)

    async def record(self, **changes: object) -> None:
        self.state = replace(self.state, **changes)  # type: ignore[arg-type]  # names and types are FileState's
        await self._record(self.state)

    async def begin(self, phase: Phase) -> None:
        await self.record(phase=phase, tries=self.state.tries + 1, started=time.time_ns())

    async def deliver_once(self) -> FileState:
        """Deliver the file unless that was done."""
        if self.state.phase is Phase.SENT:
            return self.state  # who recorded that died, or failed, before it could say so
        return await self.deliver()

    async def deliver(self) -> FileState:
        """Deliver the file, as this kind of account allows."""
        raise NotImplementedError

    async def upload(self, name: str, offset: int = 0) -> None:
        """Send the data file, then ask for its size where the server answers."""
        started, begun = time.time_ns(), time.monotonic()  # others may have gone first since the try was begun
        with PacedReader(self.data_path, self.control, self.pace) as reader:
            reader.seek(offset)
            await self.pipeline.put(_as_binary(reader), name, offset=offset)
        await self.verify(name, self.control.size)
        self.state = replace(self.state, started=started, seconds=time.monotonic() - begun)

    async def verify(self, name: str, size: int, *, taken_with: str = "") -> None:
        """Compare sizes: a server's "complete" proves nothing.

        ``taken_with`` names the file that goes as well if a sweeper was faster than our question.
        """
        try:
            there = await self.pipeline.size(name)
            if there == size or (there is None and taken_with and await self.pipeline.size(taken_with) is None):
                return
        except NotPermittedTransferError:
            return
        has = "nothing" if there is None else f"{there} bytes"
        raise TemporaryTransferError(
            f"{self.pipeline.label}: has {has} under {name} after it said that all {size} bytes had arrived"
        )

    def require_queued(self) -> None:
        """Make sure that the request was not cancelled meanwhile: from now on the arrival would be complete."""
        try:
            os.lstat(self.data_path)
        except FileNotFoundError as error:
            raise InputOutputError(f"{self.data_path} is gone: its request is no longer queued") from error

    def control_text(self) -> bytes:
        """Return the control file with what is known only now."""
        sent: ControlFile = replace(
            self.control, started=self.state.started, seconds=self.state.seconds, tries=self.state.tries
        )
        return format_control(self.signed(sent))

    async def put_control(self, name: str, *, taken_with: str = "") -> None:
        self.require_queued()
        text = self.control_text()
        await self.pipeline.put(io.BytesIO(text), name)
        await self.verify(name, len(text), taken_with=taken_with)

    async def done(self) -> FileState:
        await self.record(phase=Phase.SENT, sent=time.time_ns(), failures=0, reason="", next_try=0)
        return self.state


class _Renamed(_Delivery):
    """Temporary names, then renames."""

    async def deliver(self) -> FileState:
        if self.state.phase is Phase.UPLOADED:
            await self.clear_control()
        if self.state.phase is not Phase.UPLOADED:
            await self.send_data()
        await self.send_control()
        return await self.done()

    async def send_data(self) -> None:
        offset = await self.offset() if self.state.tries else 0
        await self.begin(Phase.BEGUN)
        try:
            await self.upload(self.wire.data.part, offset)
        except NotPermittedTransferError:
            if not offset:
                await self.record(phase=Phase.WAITING)
                raise
            self.pace.starts_again()
            await self.start_again()
            await self.send_data()
            return
        except Exception:
            await self.record(phase=Phase.WAITING)  # the renames were not begun: the same try goes on
            raise
        await self.pipeline.rename(self.wire.data.part, str(self.wire.data))

    async def offset(self) -> int:
        """Return how many bytes are there to go on from; a new try begins where that cannot be told."""
        try:
            there = await self.pipeline.size(self.wire.data.part)
            if there is not None and not 0 < there <= self.control.size:
                await self.pipeline.remove(self.wire.data.part)  # it cannot be a part of this file
                return 0
        except NotPermittedTransferError:
            return await self.start_again()
        if there is None and self.state.phase is Phase.BEGUN:
            # The renames, or their replies, were lost: what was renamed may have been swept up already.
            return await self.start_again()
        return there or 0

    async def start_again(self) -> int:
        """Begin a new try, of which nothing is there."""
        with contextlib.suppress(TransferError):  # nobody else would remove them
            await self.pipeline.remove(self.wire.data.part)
            await self.pipeline.remove(self.wire.control.part)
        await self.record(phase=Phase.WAITING, attempt=self.state.attempt + 1)
        return 0

    async def clear_control(self) -> None:
        """Remove what an earlier try of the control file may have left."""
        try:
            await self.pipeline.remove(self.wire.control.part)
        except NotPermittedTransferError:
            await self.start_again()

    async def send_control(self) -> None:
        part = self.wire.control.part
        try:
            await self.put_control(part)
        except Exception:
            await self.record(phase=Phase.UPLOADED)
            raise
        if self.state.phase is not Phase.BEGUN:
            await self.record(phase=Phase.BEGUN)  # from here on only a reply tells what is there
        # The commit: a sweeper takes it as proof of the rest.
        await self.pipeline.rename(part, str(self.wire.control))


class _Final(_Delivery):
    """Final names, made new, never touched again."""

    async def deliver(self) -> FileState:
        if self.state.phase is not Phase.WAITING:
            await self.record(phase=Phase.WAITING, attempt=self.state.attempt + 1)
        await self.begin(Phase.BEGUN)
        try:
            await self.upload(str(self.wire.data))
            # Last on purpose: a sweeper takes the control file as proof that the rest is there.
            await self.put_control(str(self.wire.control), taken_with=str(self.wire.data))
        except Exception:
            await self.record(phase=Phase.WAITING, attempt=self.state.attempt + 1)
            raise
        return await self.done()


def _as_binary(reader: PacedReader) -> BinaryIO:
    return reader  # type: ignore[return-value]  # typing.BinaryIO is nominal; transports only read
