"""The control file: what a file's source says about it, as a value and as text (version 1).

The text is UTF-8, one ``key=value`` a line; ``archq=1`` is the first and ``check=sha256:…`` over every byte before it
the last, so that no truncation of a control file can be taken for a whole one.
"""

from __future__ import annotations

from archq import fields
from archq.checksum import Checksum, UnknownAlgorithmError, new_hasher, parse_checksum
from archq.errors import MalformedError, TemporaryError, UsageError
from archq.instants import format_instant, parse_instant
from archq.light import dataclass, field, made_often, pattern
from archq.names import checked_file_name, checked_id, checked_instrument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

VERSION = "1"
MAX_SIZE = 65_536  # bytes
ROOM_FOR_DELIVERY = 640  # bytes: what a delivery adds, ``started``, ``seconds``, ``tries`` and a ``signature``
MAX_SECONDS = 1e12  # more than anybody waits, and exact to the millisecond

REQUIRED = ("archq", "id", "instrument", "name", "size", "checksum", "mtime", "queued")
OPTIONAL = (
    "path",
    "request",
    "part",
    "spool",
    "host",
    "user",
    "title",
    "agent",
    "started",
    "seconds",
    "tries",
)
OPTION = "option."  # the prefix of the keys that carry what the user said with -o
SIGNATURE = "signature"
MUST = "must."  # the prefix of keys that a reader has to understand or leave the arrival alone

_NUMBER = pattern(r"0|[1-9][0-9]{0,18}")
_SECONDS = pattern(r"[0-9]{1,12}(?:\.[0-9]{1,9})?")


class IncompleteControlFileError(MalformedError):
    """No complete ``check=`` line yet: it may still be on its way."""


class MalformedControlFileError(MalformedError):
    """It is complete, and wrong."""


class UnsupportedControlFileError(TemporaryError):
    """A version, algorithm or ``must.`` key of a newer archq: not the sender's error."""


@made_often
@dataclass(frozen=True, slots=True, kw_only=True)
class ControlFile:
    """What the source says about one file.  Instants are nanoseconds since 1970; ``size`` is in bytes.

    ``extra`` holds keys this version does not know: they are kept and ignored.  ``signature`` is what stood in the
    text, not verified.
    """

    id: str
    instrument: str
    name: str
    size: int
    checksum: Checksum
    mtime: int
    queued: int
    path: str | None = None
    request: str | None = None
    part: str | None = None
    spool: str | None = None
    host: str | None = None
    user: str | None = None
    title: str | None = None
    agent: str | None = None
    options: Mapping[str, str] = field(default_factory=dict)
    started: int | None = None
    seconds: float | None = None  # the data file's last try on the wire
    tries: int | None = None
    signature: str | None = None
    extra: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        checked_id(self.id)
        checked_file_name(self.name)
        checked_instrument(self.instrument)
        if self.size < 0:
            raise MalformedError(f"{self.name}: a negative size, {self.size}")
        if self.seconds is not None and not 0 <= self.seconds < MAX_SECONDS:
            raise MalformedError(f"{self.name}: a try cannot last {self.seconds} s")


def format_control(control: ControlFile, *, room: int = 0) -> bytes:
    """Return the text of ``control``; raise MalformedError where it, and ``room`` bytes more, exceed MAX_SIZE."""
    text = seal(fields.format_lines(_pairs(control)).encode())
    if len(text) + room > MAX_SIZE:
        raise MalformedError(
            f"{control.name}: the control file would have {len(text) + room} bytes, at most {MAX_SIZE} are allowed"
        )
    return text


def seal(text: bytes) -> bytes:
    """Return ``text`` with the line that proves it whole."""
    return text + b"check=sha256:" + _digest(text).encode() + b"\n"


def _digest(text: bytes) -> str:
    hasher = new_hasher("sha256", len(text))
    hasher.update(text)
    return hasher.hexdigest()


def unseal(text: bytes) -> bytes:
    """Return what :func:`seal` was given; raise IncompleteControlFileError or MalformedControlFileError."""
    start = (b"\n" + text).find(b"\ncheck=")  # of the line, as the newline put before it moves all by one
    end = text.find(b"\n", start) + 1
    if start < 0 or not end:
        raise IncompleteControlFileError("no complete check= line yet")
    if end != len(text):
        raise MalformedControlFileError("there is text after the check= line")
    body = text[:start]
    if seal(body) != text:
        raise MalformedControlFileError("the check= line does not fit the text before it")
    return body


def parse_control(text: bytes) -> ControlFile:
    """Return what ``text`` says.

    Raise IncompleteControlFileError while its end is missing, UnsupportedControlFileError for what a newer archq may
    understand, MalformedControlFileError for all else.
    """
    _refuse_other_versions(text)
    if len(text) > MAX_SIZE:
        raise MalformedControlFileError(f"more than {MAX_SIZE} bytes")
    body = unseal(text)
    try:
        return _from_pairs(fields.parse_lines(body.decode()))
    except UnknownAlgorithmError as error:
        raise UnsupportedControlFileError(str(error)) from error
    except UnicodeDecodeError as error:
        raise MalformedControlFileError(f"bytes that are not UTF-8: {error.object[error.start :][:20]!r}") from error
    except (MalformedError, UsageError) as error:
        raise MalformedControlFileError(str(error)) from error


def _refuse_other_versions(text: bytes) -> None:
    """Refuse before anything else is looked at: another version may have another form."""
    first, newline, _rest = text.partition(b"\n")
    key, equals, version = first.partition(b"=")
    if newline and equals and key == b"archq" and version.isdigit() and version != VERSION.encode():
        raise UnsupportedControlFileError(
            f"version {version[:20].decode()} of the control file: a newer archq may know it"
        )


def _from_pairs(pairs: dict[str, str]) -> ControlFile:
    missing = [key for key in REQUIRED if key not in pairs]
    if missing:
        raise MalformedError(f"required keys are missing: {' '.join(missing)}")
    if next(iter(pairs)) != "archq" or pairs.pop("archq") != VERSION:
        raise MalformedError("the first line is not archq=1")
    # A signature covers the bytes before itself: what stood after it could be added without the key.
    if SIGNATURE in pairs and list(pairs)[-1] != SIGNATURE:
        raise MalformedError("the signature is not the last line before check=")
    if unknown := [key for key in pairs if key.startswith(MUST)]:
        raise UnsupportedControlFileError(f"{unknown[0]} has to be understood: a newer archq may know it")
    return ControlFile(
        id=pairs.pop("id"),
        instrument=pairs.pop("instrument"),
        name=pairs.pop("name"),
        size=_number(pairs.pop("size")),
        checksum=parse_checksum(pairs.pop("checksum")),
        mtime=parse_instant(pairs.pop("mtime")),
        queued=parse_instant(pairs.pop("queued")),
        path=pairs.pop("path", None),
        request=pairs.pop("request", None),
        part=pairs.pop("part", None),
        spool=pairs.pop("spool", None),
        host=pairs.pop("host", None),
        user=pairs.pop("user", None),
        title=pairs.pop("title", None),
        agent=pairs.pop("agent", None),
        started=parse_instant(pairs.pop("started")) if "started" in pairs else None,
        seconds=_seconds(pairs.pop("seconds")) if "seconds" in pairs else None,
        tries=_number(pairs.pop("tries")) if "tries" in pairs else None,
        signature=pairs.pop(SIGNATURE, None),
        options={key.removeprefix(OPTION): pairs.pop(key) for key in tuple(pairs) if key.startswith(OPTION)},
        extra=pairs,
    )


def _pairs(control: ControlFile) -> list[tuple[str, str]]:
    """Return the keys in the order the format's description shows them; those without a value are left out."""
    pairs: list[tuple[str, str | None]] = [
        ("archq", VERSION),
        ("id", control.id),
        ("instrument", control.instrument),
        ("name", control.name),
        ("path", control.path),
        ("size", str(control.size)),
        ("checksum", str(control.checksum)),
        ("mtime", format_instant(control.mtime)),
        ("queued", format_instant(control.queued)),
        ("request", control.request),
        ("part", control.part),
        ("spool", control.spool),
        ("host", control.host),
        ("user", control.user),
        ("title", control.title),
        ("agent", control.agent),
        *((OPTION + key, value) for key, value in control.options.items()),
        *control.extra.items(),
        ("started", None if control.started is None else format_instant(control.started)),
        ("seconds", None if control.seconds is None else f"{control.seconds:.3f}"),
        ("tries", None if control.tries is None else str(control.tries)),
        (SIGNATURE, control.signature),
    ]
    return [(key, value) for key, value in pairs if value is not None]


def _number(text: str) -> int:
    if not _NUMBER.fullmatch(text):
        raise MalformedError(f"not a number: {text[:40]!r}")
    return int(text)


def _seconds(text: str) -> float:
    if not _SECONDS.fullmatch(text):
        raise MalformedError(f"not a number of seconds: {text[:40]!r}")
    return float(text)
