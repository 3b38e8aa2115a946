"""Every error has its exit status, and the system's errors become ours."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

import pytest

from archq import errors
from archq.errors import ArchqError, ExitStatus, from_os_error

if TYPE_CHECKING:
    from collections.abc import Iterator


def classes(base: type[ArchqError] = ArchqError) -> Iterator[type[ArchqError]]:
    for one in base.__subclasses__():
        yield one
        yield from classes(one)


def test_the_statuses_are_those_of_the_contract() -> None:
    assert [int(status) for status in ExitStatus] == [0, 2, 3, 65, 66, 69, 70, 73, 74, 75, 77, 78, 130]


@pytest.mark.parametrize(
    ("status", "sysexits"),
    [
        (ExitStatus.MALFORMED, os.EX_DATAERR),
        (ExitStatus.NO_INPUT, os.EX_NOINPUT),
        (ExitStatus.REFUSED, os.EX_UNAVAILABLE),
        (ExitStatus.BUG, os.EX_SOFTWARE),
        (ExitStatus.CANNOT_CREATE, os.EX_CANTCREAT),
        (ExitStatus.INPUT_OUTPUT, os.EX_IOERR),
        (ExitStatus.TEMPORARY, os.EX_TEMPFAIL),
        (ExitStatus.NOT_PERMITTED, os.EX_NOPERM),
        (ExitStatus.CONFIGURATION, os.EX_CONFIG),
    ],
)
def test_a_status_is_that_of_sysexits_where_it_has_one(status: ExitStatus, sysexits: int) -> None:
    assert status == sysexits


def test_every_status_but_those_of_no_error_has_its_error() -> None:
    without = {ExitStatus.DONE, ExitStatus.BUG, ExitStatus.INTERRUPTED}
    assert {one.status for one in classes() if one.__module__ == errors.__name__} == {*ExitStatus} - without


@pytest.mark.parametrize("error", sorted(set(classes()), key=lambda one: one.__name__))
def test_every_error_is_a_failure(error: type[ArchqError]) -> None:
    assert error.status is not ExitStatus.DONE


@pytest.mark.parametrize(
    ("number", "status"),
    [
        (errno.ENOENT, ExitStatus.NO_INPUT),
        (errno.ENOTDIR, ExitStatus.NO_INPUT),
        (errno.EACCES, ExitStatus.NOT_PERMITTED),
        (errno.EPERM, ExitStatus.NOT_PERMITTED),
        (errno.EROFS, ExitStatus.CANNOT_CREATE),
        (errno.EEXIST, ExitStatus.CANNOT_CREATE),
        (errno.ENOSPC, ExitStatus.TEMPORARY),
        (errno.EDQUOT, ExitStatus.TEMPORARY),
        (errno.EMFILE, ExitStatus.TEMPORARY),
        (errno.ESTALE, ExitStatus.TEMPORARY),
        (errno.EIO, ExitStatus.INPUT_OUTPUT),
        (errno.EBADF, ExitStatus.INPUT_OUTPUT),
    ],
)
def test_an_error_of_the_system_tells_whether_later_will_help(number: int, status: ExitStatus) -> None:
    told = from_os_error(OSError(number, os.strerror(number), "img0001.fits"), "read the source img0001.fits")
    assert told.status is status
    assert str(told) == f"cannot read the source img0001.fits: {os.strerror(number)}"


def test_an_error_without_a_number_keeps_its_words() -> None:
    told = from_os_error(OSError("the tape is torn"), "read x")
    assert (told.status, str(told)) == (ExitStatus.INPUT_OUTPUT, "cannot read x: the tape is torn")
