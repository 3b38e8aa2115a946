"""The lines of a transfer log that nearly all are, understood at one glance; all others are for the exact reader."""

from __future__ import annotations

from functools import lru_cache

from archq.errors import MalformedError
from archq.instants import SECOND, parse_instant
from archq.light import pattern
from archq.names import ALL_INSTRUMENTS, WireName
from archq.transferlog import FILED
from logsum.events import Verdict

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re

_MILLISECOND = SECOND // 1000

_STAMP = r"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}):([0-5][0-9])\.([0-9]{3})Z"
_INSTRUMENT = r"[A-Za-z0-9][A-Za-z0-9_+-]{0,31}"
_VALUE = r"[!-$&-~]++"  # with nothing in it that is encoded or should be
_LINE = pattern(
    rf"{_STAMP} {FILED} instrument=({_VALUE})(?: request={_VALUE})?(?: part={_VALUE})?"
    rf" wire=({_INSTRUMENT})\.([0-7][0-9a-hjkmnp-tv-z]{{25}})\.([1-9][0-9]{{0,8}})\.df size=([0-9]{{1,18}})"
    rf" queued={_STAMP} started={_STAMP} seconds=([0-9]{{1,9}}\.[0-9]{{3}}) tries=[0-9]+(?: host={_VALUE})?"
    rf"(?: spool={_VALUE})? path=({_VALUE}) checksum=({_VALUE})\n"
)


def usual_verdict(line: bytes) -> Verdict | None:
    """Return what a usual line says, None for any other."""
    try:
        match = _LINE.fullmatch(line.decode())
        return match and _verdict(match)
    except (UnicodeDecodeError, MalformedError):
        return None


def _verdict(match: re.Match[str]) -> Verdict | None:
    groups = match.groups()
    if groups[4] == ALL_INSTRUMENTS:
        return None
    seconds = float(groups[14])
    return Verdict(
        wire=WireName(instrument=groups[4], id=groups[5], attempt=int(groups[6])),
        instrument=groups[3],
        outcome=FILED,
        time=_instant(*groups[:3]),
        ended=_instant(*groups[11:14]) + round(seconds * SECOND),
        size=int(groups[7]),
        seconds=seconds,
        queued=_instant(*groups[8:11]),
        path=groups[15],
        checksum=groups[16],
    )


def _instant(minute: str, second: str, millisecond: str) -> int:
    return _beginning(minute) + int(second + millisecond) * _MILLISECOND


@lru_cache(maxsize=1024)
def _beginning(minute: str) -> int:
    return parse_instant(f"{minute}:00Z")
