"""Other accounts: what a function does as another user of this machine."""

from __future__ import annotations

import os
import pickle
import tempfile
import traceback
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import sweeper.preview
import sweeper.sweep
from archq import durable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

# The other account may not be able to read the interpreter's library, so that all is loaded before.
LOADED = (sweeper.preview, sweeper.sweep, durable.can_sync_filesystem())

# No accounts of this machine: numbers are enough.
UPLOADER, FIRST_SWEEPER, SECOND_SWEEPER = 64_101, 64_102, 64_103
UPLOADERS, SWEEPERS = 64_201, 64_202  # groups


def as_account(uid: int, function: Callable[[], Any], *groups: int, umask: int = 0o027) -> Any:
    """Return what ``function`` returns when it is called by ``uid``, a member of ``groups``, in a process of its own.

    The process is forked, so that the account need not be able to read these tests.
    """
    if os.geteuid() != 0:
        pytest.skip("only root can act as other accounts")
    reading, writing = os.pipe()
    if not (child := os.fork()):
        os.close(reading)
        _become(uid, groups, umask)
        with os.fdopen(writing, "wb") as pipe:
            pickle.dump(_tried(function), pipe)
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        answer = pipe.read()
    os.waitpid(child, 0)
    result, failure = pickle.loads(answer)
    assert not failure, failure
    return result


def _become(uid: int, groups: tuple[int, ...], umask: int) -> None:
    os.setgroups(groups[1:])
    group = groups[0] if groups else uid
    os.setresgid(group, group, group)
    os.setresuid(uid, uid, uid)
    os.umask(umask)


def _tried(function: Callable[[], Any]) -> tuple[Any, str]:
    try:
        return function(), ""
    except BaseException:
        return None, traceback.format_exc()


@contextmanager
def common_ground() -> Iterator[Path]:
    """Hold a temporary directory that every account may enter; pytest's own are closed to others."""
    with tempfile.TemporaryDirectory() as name:
        os.chmod(name, 0o755)
        yield Path(name)
