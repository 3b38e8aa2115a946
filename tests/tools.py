"""Programs that tests use to look at ours: the installed one, else Debian's, fetched without being installed."""

from __future__ import annotations

import shutil

from tests.requirements import require
from tests.servers.debian import fetched
from tests.servers.process import UnavailableError


def tool(name: str) -> str:
    """Return the path of the program ``name`` of Debian's package ``name``; without it, skip the test and say why."""
    if installed := shutil.which(name):
        return installed
    try:
        return fetched(name).program(f"usr/bin/{name}")
    except UnavailableError as error:
        require(False, f"{name}: {error}")
        raise
