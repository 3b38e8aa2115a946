"""Root takes over the dead claims of other accounts, but as those accounts.

A claim's record says what to rename and where to append.  Root must not obey one that another account wrote, or whoever
can make a directory where sweepers work could have anything done; so a process that has become the account does it.
"""

from __future__ import annotations

import contextlib
import os
import pwd
import stat
from typing import TYPE_CHECKING

from archq import durable
from archq.instants import SECOND
from sweeper.owner import is_dead, parse_owner

if TYPE_CHECKING:
    from collections.abc import Callable

    from sweeper.claim import WorkPlace


def accounts_with_dead_claims(work: WorkPlace) -> list[pwd.struct_passwd]:
    """Return the accounts of this machine, ours left out, of which there are claims that nobody will finish."""
    found = []
    # Not by its path: whoever may write the incoming directory can have put a link in its place meanwhile.
    with durable.opened_directory("..", directory=work.descriptor) as shared:
        for name in durable.names_in(shared):
            if name.isdecimal() and int(name) != os.geteuid() and _has_dead_claims(shared, name, work.now()):
                with contextlib.suppress(KeyError):  # no account to become
                    found.append(pwd.getpwuid(int(name)))
    return found


def as_account(account: pwd.struct_passwd, function: Callable[[], None]) -> bool:
    """Call ``function`` in a process that has become ``account`` for good; return whether it went well."""
    child = os.fork()
    if child:
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    try:
        os.initgroups(account.pw_name, account.pw_gid)
        os.setresgid(account.pw_gid, account.pw_gid, account.pw_gid)
        os.setresuid(account.pw_uid, account.pw_uid, account.pw_uid)
        function()
    except BaseException:
        os._exit(1)
    os._exit(0)


def _has_dead_claims(shared: int, name: str, now: int) -> bool:
    facts = os.stat(name, dir_fd=shared, follow_symlinks=False)
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != int(name) or facts.st_mode & 0o077:
        return False
    with durable.opened_directory(name, directory=shared) as place, os.scandir(place) as entries:
        for entry in entries:
            owner = parse_owner(entry.name)
            if owner and is_dead(owner, (now - entry.stat(follow_symlinks=False).st_mtime_ns) / SECOND):
                return True
    return False
