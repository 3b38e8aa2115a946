"""Root takes over the dead claims of other accounts, but as those accounts.

A claim's record says what to rename and where to append.  Root must not obey one that another account wrote, or whoever
can make a directory where sweepers work could have anything done; so a process that has become the account does it.
"""

from __future__ import annotations

import os
import pwd
import stat
from typing import TYPE_CHECKING

from archq.instants import SECOND
from sweeper.owner import is_dead, parse_owner

if TYPE_CHECKING:
    from collections.abc import Callable

    from sweeper.claim import WorkPlace


def accounts_with_dead_claims(work: WorkPlace) -> list[pwd.struct_passwd]:
    """Return the accounts of this machine, ours left out, of which there are claims that nobody will finish."""
    shared = os.path.dirname(work.path)
    found = []
    for name in os.listdir(shared):
        if name.isdecimal() and int(name) != os.geteuid() and _has_dead_claims(os.path.join(shared, name), work.now()):
            try:
                found.append(pwd.getpwuid(int(name)))
            except KeyError:
                continue  # no account to become
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


def _has_dead_claims(place: str, now: int) -> bool:
    facts = os.lstat(place)
    if not stat.S_ISDIR(facts.st_mode) or facts.st_uid != int(os.path.basename(place)) or facts.st_mode & 0o077:
        return False
    with os.scandir(place) as entries:
        for entry in entries:
            owner = parse_owner(entry.name)
            if owner and is_dead(owner, (now - entry.stat(follow_symlinks=False).st_mtime_ns) / SECOND):
                return True
    return False
