"""The commands that the README tells its readers to type."""

from __future__ import annotations

import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()


def commands(after: str) -> list[str]:
    """Return the commands of the first block after ``after``; a backslash at the end of a line joins it to the next."""
    assert README.count(after) == 1, after
    found = re.search(r"(?m)(?:^    .*\n)+", README.partition(after)[2])
    assert found, after
    return re.sub(r"\\\n +", "", re.sub(r"(?m)^    ", "", found[0])).splitlines()


INSTALLING = commands("## Installing")
INSTRUMENT = commands("**The instrument computer.**")
ARCHIVE = commands("**The archive host.**")
CRONTAB = commands("and this is the line in the crontab")
ASTRONOMER = commands("**The astronomer**")
