"""Reading an arrival's control file: what it says, or why it cannot be used; a verdict is a value, not an exception."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from archq import durable
from archq.control import (
    MAX_SIZE,
    ControlFile,
    IncompleteControlFileError,
    MalformedControlFileError,
    UnsupportedControlFileError,
    parse_control,
)
from archq.light import dataclass, made_often

if TYPE_CHECKING:
    from archq.checksum import Checksum
    from archq.names import WireName

# A sender on this machine may publish with link and unlink, so for a moment a good file has two links.
LINK_GRACE = 60 * 1_000_000_000  # nanoseconds

# What opening says of a link, a socket, a device without a driver, and of all else that is no regular file.
NO_REGULAR_FILE = frozenset({errno.ELOOP, errno.ENXIO, errno.ENODEV, errno.EINVAL})

_SPARSE_FROM = 1 << 30  # bytes


@dataclass(frozen=True, slots=True)
class Refusal:
    """The arrival will never do; it is set aside."""

    reason: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Something is still missing; it stays where it is."""

    reason: str


@dataclass(frozen=True, slots=True)
class Unsupported:
    """Made by a newer archq: not the sender's error, so it stays where it is, reported."""

    reason: str


@made_often
@dataclass(frozen=True, slots=True, kw_only=True)
class Letter:
    """A whole control file that fits its wire name."""

    wire: WireName
    control: ControlFile
    text: bytes
    arrived: int  # when the control file was complete, by the file server's clock; nanoseconds since 1970
    size: int  # of the data file, in bytes, as it lies there


Verdict = Letter | Refusal | Waiting | Unsupported


def inspect(directory: int, wire: WireName, now: int) -> Verdict:
    """Return what the arrival ``wire`` in ``directory`` says of itself; ``now`` is by the file server's clock.

    Nothing is changed.  Raise OSError where it cannot be read.
    """
    try:
        text, control_facts = _read_control(directory, str(wire.control))
        data_facts = os.stat(str(wire.data), dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError as error:
        return Waiting(f"{os.fsdecode(error.filename)} is not there")
    except OSError as error:
        if error.errno in NO_REGULAR_FILE:
            return Refusal("the control file is not a regular file")
        raise
    for kind, facts in (("control", control_facts), ("data", data_facts)):
        if problem := _suspect(kind, facts, now):
            return problem
    return _understood(wire, text, control_facts.st_mtime_ns, data_facts.st_size)


def _read_control(directory: int, name: str) -> tuple[bytes, os.stat_result]:
    descriptor, facts = durable.open_and_look(name, directory=directory)
    try:
        # A second name may be somebody's for a file that is not the uploader's to read.
        return os.read(descriptor, min(facts.st_size, MAX_SIZE) + 1) if facts.st_nlink == 1 else b"", facts
    finally:
        os.close(descriptor)


def _suspect(kind: str, facts: os.stat_result, now: int) -> Refusal | Waiting | None:
    if facts.st_mode & 0o170000 != 0o100000:
        return Refusal(f"the {kind} file is not a regular file")
    if facts.st_nlink == 0:
        return Waiting(f"the {kind} file has just been taken")
    if facts.st_nlink == 1:
        return None
    if now - facts.st_ctime_ns < LINK_GRACE:
        return Waiting(f"the {kind} file has a second name")
    return Refusal(f"the {kind} file has {facts.st_nlink} hard links, so that somebody else holds it too")


def _understood(wire: WireName, text: bytes, arrived: int, size: int) -> Verdict:
    try:
        control = parse_control(text)
    except IncompleteControlFileError as error:
        return Waiting(f"the control file is incomplete: {error}")
    except UnsupportedControlFileError as error:
        return Unsupported(str(error))
    except MalformedControlFileError as error:
        return Refusal(f"the control file is wrong: {error}")
    for key, told, expected in (
        ("instrument", control.instrument, wire.instrument),
        ("id", control.id, wire.id),
    ):
        if told != expected:
            return Refusal(f"the control file says {key}={told}, its name says {expected}")
    return Letter(wire=wire, control=control, text=text, arrived=arrived, size=size)


def refused_data(facts: os.stat_result, control: ControlFile) -> str | None:
    """Return why a data file with these facts cannot be what its control file says, None where it may be."""
    if facts.st_nlink != 1:
        return f"the data file has {facts.st_nlink} hard links, so that somebody else holds it too"
    if facts.st_size != control.size:
        word = "truncated" if facts.st_size < control.size else "too long"
        return f"{word}: {facts.st_size} bytes arrived, {control.size} were sent"
    # Compressing filesystems keep zeros in no space at all, but not a gigabyte in a thousandth of itself.
    if facts.st_size > _SPARSE_FROM and facts.st_blocks * 512 < facts.st_size // 1000:
        return f"sparse: {facts.st_size} bytes that hold {facts.st_blocks * 512}"
    return None


def refused_content(control: ControlFile, size: int, checksum: Checksum) -> Refusal | None:
    """Return why data that were read to their end are not what was sent, None where they are."""
    if size != control.size:
        return Refusal(f"{size} bytes were read, {control.size} were sent")
    if checksum != control.checksum:
        return Refusal(f"the checksum is {checksum}, {control.checksum} was sent")
    return None
