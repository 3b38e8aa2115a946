"""The system's own program of the same name: found, told from ourselves, and run in our place."""

from __future__ import annotations

import os
import sys

from archq.lpfamily.command import FamilyError

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from typing import NoReturn

    from archq.config import Config

# Where the lp family lives if $PATH does not say; CUPS has lpmove among the administrator's programs.
USUAL_PLACES = ("/usr/bin", "/bin", "/usr/sbin", "/sbin")
# The files that this process has run already, as device:inode.  A wrapper that leads back to us is not run again.
GUARD = "ARCHQ_LP_PASSED"


def system_program(name: str, config: Config, environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the path of the system's ``name`` (lp, lpstat, …), None if there is none beside ours.

    It is never the file that runs now, under whatever name, nor one that this call was handed to before.
    """
    passed = _passed(environment)
    for candidate in _candidates(name, config, environment):
        if os.access(candidate, os.X_OK) and os.path.isfile(candidate) and _identity(candidate) not in passed:
            return candidate
    return None


def was_handed_on(environment: Mapping[str, str] = os.environ) -> bool:
    """Tell whether a program of ours handed its call on and, through a wrapper, it came back to us."""
    return GUARD in environment


def hand_over(program: str, name: str, arguments: Sequence[str]) -> NoReturn:
    """Become ``program``, which is called ``name``, with ``arguments`` and our standard input as they are."""
    import signal

    passed = " ".join(sorted(_passed(os.environ) | {_identity(program)}))
    if sys.stdout is not None:
        sys.stdout.flush()
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # Python ignores them, and exec would hand that on
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execve(program, [name, *arguments], {**os.environ, GUARD: passed})
    except OSError as error:
        raise FamilyError(f"Error - cannot run {program}: {error.strerror}") from error


def _candidates(name: str, config: Config, environment: Mapping[str, str]) -> Iterator[str]:
    if config.lp_system:
        yield _sibling(config.lp_system, name)
    for directory in (*os.get_exec_path(environment), *USUAL_PLACES):
        yield os.path.join(directory, name)


def _sibling(lp: str, name: str) -> str:
    """Return ``lp`` or what stands beside it under the name of another program: lp.cups, so lpstat.cups."""
    directory, base = os.path.split(lp)
    return lp if name == "lp" else os.path.join(directory, name + base.removeprefix("lp"))


def _passed(environment: Mapping[str, str]) -> set[str]:
    return {*environment.get(GUARD, "").split(), _identity(sys.argv[0])}


def _identity(path: str) -> str:
    """Return what two names of one file have in common, be they symbolic or hard links."""
    try:
        status = os.stat(path)
    except OSError:
        return ""
    return f"{status.st_dev}:{status.st_ino}"
