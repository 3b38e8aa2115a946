"""Names that the two sides agree on: ids, instruments, and what an arrival's two files are called on the wire."""

from __future__ import annotations

import os
import time

from archq.errors import MalformedError, UsageError
from archq.fields import LETTERS_AND_DIGITS, consists_of
from archq.light import dataclass, made_often, pattern

DATA = "df"  # after the data and control files of lpd (RFC 1179)
CONTROL = "cf"

STANDARD_INPUT = "-"  # where a file is named

ALL_INSTRUMENTS = "all"  # what reports call the sum, so never an instrument's name
PROBE_INSTRUMENT = "archq-probe"  # `archq doctor` sends under it, and every sweeper discards it
UNDEFINED_INSTRUMENT = "undef"

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_IN_INSTRUMENTS = f"{LETTERS_AND_DIGITS}_+-"
_WIRE = pattern(
    r"(?P<instrument>[A-Za-z0-9][A-Za-z0-9_+-]{0,31})\.(?P<id>[0-7][0-9a-hjkmnp-tv-z]{25})"
    r"\.(?P<attempt>[1-9][0-9]{0,8})\.(?P<kind>df|cf)"
)


def new_id(instant: int | None = None) -> str:
    """Return a new ULID in lower case: 48 bits of milliseconds, then 80 random bits, so ids sort by time.

    ``instant`` is in nanoseconds since 1970, now by default (https://github.com/ulid/spec).
    """
    milliseconds = (time.time_ns() if instant is None else instant) // 1_000_000
    number = (milliseconds & (1 << 48) - 1) << 80 | int.from_bytes(os.urandom(10))
    return "".join(_CROCKFORD[number >> shift & 31] for shift in range(125, -1, -5))


def checked_id(text: str) -> str:
    """Return ``text`` if it is an id, else raise MalformedError."""
    if len(text) != 26 or text[0] not in "01234567" or not consists_of(text, _CROCKFORD):
        raise MalformedError(f"not an id (26 characters, a ULID in lower case): {text[:40]!r}")
    return text


def checked_instrument(text: str) -> str:
    """Return ``text`` if it can name an instrument, else raise UsageError."""
    if (
        not (0 < len(text) <= 32 and text[0] not in "_+-" and consists_of(text, _IN_INSTRUMENTS))
        or text == ALL_INSTRUMENTS
    ):
        raise UsageError(
            f"not an instrument's name: {text[:40]!r}; use up to 32 letters, digits, '_', '+' or '-', "
            f"a letter or digit first, and not {ALL_INSTRUMENTS!r}"
        )
    return text


def checked_file_name(text: str) -> str:
    """Return ``text`` if it can name a file in the archive: one path component that does not begin with a dot."""
    if not text or text.startswith(".") or "/" in text or "\0" in text:
        raise MalformedError(f"not a file's name in an archive (one component, no leading dot): {text[:80]!r}")
    try:
        size = len(text.encode("utf-8", "surrogateescape"))
    except UnicodeEncodeError as error:
        raise MalformedError(f"not text that a file's name can hold: {text[:80]!r}") from error
    if size > 255:
        raise MalformedError(f"a file's name of more than 255 bytes: {text[:40]!r}…")
    return text


@made_often
@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class WireName:
    """``<instrument>.<id>.<try>.df`` or ``.cf``: plain ASCII, unique for ever, sorted by time within an instrument."""

    instrument: str
    id: str
    attempt: int
    kind: str = DATA

    def __str__(self) -> str:
        return f"{self.instrument}.{self.id}.{self.attempt}.{self.kind}"

    @property
    def control(self) -> WireName:
        """The name of the control file of the same arrival."""
        return WireName(instrument=self.instrument, id=self.id, attempt=self.attempt, kind=CONTROL)

    @property
    def data(self) -> WireName:
        """The name of the data file of the same arrival."""
        if self.kind == DATA:
            return self
        return WireName(instrument=self.instrument, id=self.id, attempt=self.attempt, kind=DATA)

    @property
    def part(self) -> str:
        """The temporary name under which an account that may rename uploads."""
        return f".{self}.part"


def parse_wire_name(text: str) -> WireName | None:
    """Return the wire name that ``text`` is, None if it is none (a temporary name is none)."""
    match = _WIRE.fullmatch(text)
    if not match or match["instrument"] == ALL_INSTRUMENTS:
        return None
    return WireName(instrument=match["instrument"], id=match["id"], attempt=int(match["attempt"]), kind=match["kind"])


def parse_logged_name(text: str) -> WireName | None:
    """Return the wire name in ``text`` as a server's log shows it: with directories, perhaps temporary."""
    name = text.rpartition("/")[2]
    if name.startswith(".") and name.endswith(".part"):
        name = name[1 : -len(".part")]
    return parse_wire_name(name)
