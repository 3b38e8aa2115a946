"""What logs tell: what a sweeper decided about a file, and an upload that a server saw (values only)."""

from __future__ import annotations

from archq.light import dataclass, made_often

TYPE_CHECKING = False
if TYPE_CHECKING:
    from archq.names import WireName


@made_often
@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """One outcome of one file, from a transfer log.  Times are nanoseconds since 1970, ``size`` is in bytes.

    ``ended`` is when the file's transfer was over, ``time`` when the sweeper had decided.  ``queued`` is put right
    where the instrument's clock was wrong.  ``beside`` is the archived file that it equals or is in conflict with.
    """

    wire: WireName
    instrument: str
    outcome: str
    time: int
    ended: int
    size: int | None = None
    seconds: float | None = None
    queued: int | None = None
    path: str | None = None
    checksum: str | None = None
    reason: str | None = None
    beside: str | None = None


@made_often
@dataclass(frozen=True, slots=True, kw_only=True)
class Upload:
    """One transfer to a server, from its log.  ``ended`` is in nanoseconds since 1970, ``size`` in bytes.

    ``complete`` is the server's word, which proves nothing: a sender killed in mid-upload leaves "complete" ones.
    ``seconds`` is None where the log does not tell how long it took.
    """

    wire: WireName
    ended: int
    seconds: float | None
    size: int
    complete: bool
    user: str = ""
    client: str = ""  # its address


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A file that a shipper has delivered at ``time``; ``size`` and ``checksum`` where its copy is still kept."""

    wire: WireName
    time: int
    request: str
    name: str
    size: int | None = None
    checksum: str | None = None
