"""Feed parsers what real inputs become when bytes are lost, doubled or changed: only documented errors come out.

The feedback is plain: an input that is refused in words which were not heard before, or gives a value of a new shape,
has gone another way, and is changed further.
"""

from __future__ import annotations

import random
import re
import signal
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from archq import config, control, names, options, transferlog
from archq.errors import ArchqError, ConfigurationError, MalformedError, UsageError
from archq.instants import format_instant, parse_instant
from archq.lpfamily import scanner
from archq.quantities import parse_duration, parse_rate, parse_size
from archq.spool import Ticket
from archq.spool.filestate import FileState
from archq.spool.queuestate import QueueState
from archq.spool.records import format_record, parse_record
from archq.transports.destination import Destination
from archq.zones import find_zone
from logsum.problems import Problems
from logsum.readers import ftplog
from logsum.readers import transferlog as readerlog
from logsum.readers.source import Source
from logsum.readers.stamps import Calendar, ServerClock
from tests.faults.lanes import in_lanes
from tests.faults.programme import Limits, Tally
from tests.logsum.readers.test_damage import SAMPLES
from tests.sweeper.arrivals import control_file

if TYPE_CHECKING:
    from tests.faults.scenarios import Stage

QUICK = Limits(seconds=90, points=1_000_000_000)
LONG = Limits(seconds=4 * 3600, points=1_000_000_000_000)

LANES = 2
HANGS = 20.0  # seconds of processor time for one batch
BATCH = 200  # executions
MOST_INPUTS, LARGEST = 2000, 1000  # of a corpus; bytes

Shape = Hashable
Errors = type[Exception] | tuple[type[Exception], ...]


@dataclass(frozen=True)
class Target:
    """A parser: ``parse`` returns the shape of what it makes of an input, and asserts what has to hold of that."""

    name: str
    parse: Callable[[bytes], Shape]
    seeds: Sequence[bytes]
    documented: Errors = ()

    def __str__(self) -> str:
        return self.name


class HangingError(BaseException):
    """A parser does not come to an end."""


def run(stage: Stage, limits: Limits = QUICK, meddle: Callable[[], object] | None = None, *, only: str = "") -> Tally:
    """Count an input as a point."""
    tally = Tally("fuzzing", limits)
    targets = [(target, 1) for target in TARGETS if target.name.startswith(only)]
    in_lanes(tally, targets, partial(_fuzz, meddle), LANES)
    inputs = (f"{name} {int(str(count)) // 1000}k" for name, count in tally.facts.items())
    tally.facts = {f"parsers ({', '.join(inputs)})": len(targets)}
    return tally


def _fuzz(meddle: Callable[[], object] | None, target: Target, tally: Tally) -> None:
    if meddle:
        meddle()
    signal.signal(signal.SIGVTALRM, _hangs)
    mutator = Mutator(target.seeds, random.Random(f"{tally.limits.seed}{target.name}"))
    while not tally.is_over:
        signal.setitimer(signal.ITIMER_VIRTUAL, HANGS)
        for _ in range(BATCH):
            text = mutator.next()
            try:
                shape = _shape(target, text)
            except HangingError:
                tally.blame(target.name, [f"hangs at {text!r}"])
            except Exception as error:
                tally.blame(target.name, [f"{type(error).__name__}: {error}: {text!r}"])
            else:
                mutator.learn(text, shape)
        tally.points += BATCH
        if len(tally.violations) > 10:
            break
    signal.setitimer(signal.ITIMER_VIRTUAL, 0)
    tally.facts[target.name] = tally.points


def _hangs(_number: int, _frame: object) -> None:
    raise HangingError


_VARYING = re.compile(r"""'.*'|".*"|[0-9]+|[^ -~]+""", re.DOTALL)


def _shape(target: Target, text: bytes) -> Shape:
    try:
        return target.parse(text)
    except target.documented as error:  # type: ignore[misc]
        return _VARYING.sub("", str(error)[:120])


class Mutator:
    """Changes inputs, and keeps those that led somewhere new."""

    def __init__(self, seeds: Sequence[bytes], chance: random.Random) -> None:
        self.chance = chance
        self.corpus = list(seeds)
        self.shapes: set[Shape] = set()
        self.pieces = [piece for seed in seeds for piece in re.split(rb"([^A-Za-z0-9]+)", seed) if piece] + _ODD

    def next(self) -> bytes:
        text = bytearray(self.chance.choice(self.corpus))
        for _ in range(self.chance.choice((1, 1, 1, 2, 2, 3, 5, 9))):
            self.chance.choice(_CHANGES)(self, text)
        return bytes(text[:LARGEST])

    def learn(self, text: bytes, shape: Shape) -> None:
        if shape not in self.shapes and len(self.corpus) < MOST_INPUTS:
            self.shapes.add(shape)
            self.corpus.append(text)

    def _place(self, text: bytearray) -> tuple[int, int]:
        start = self.chance.randint(0, len(text))
        return start, min(len(text), start + self.chance.choice((1, 1, 1, 2, 4, 9, 30)))

    def _lose(self, text: bytearray) -> None:
        start, end = self._place(text)
        del text[start:end]

    def _double(self, text: bytearray) -> None:
        start, end = self._place(text)
        text[start:start] = text[start:end] * self.chance.choice((1, 1, 2, 50))

    def _change(self, text: bytearray) -> None:
        start, end = self._place(text)
        text[start:end] = self.chance.randbytes(end - start)

    def _flip(self, text: bytearray) -> None:
        if text:
            text[self.chance.randrange(len(text))] ^= 1 << self.chance.randrange(8)

    def _put(self, text: bytearray) -> None:
        start, end = self._place(text)
        text[start : self.chance.choice((start, end))] = self.chance.choice(self.pieces)

    def _cut(self, text: bytearray) -> None:
        del text[self.chance.randint(0, len(text)) :]

    def _cross(self, text: bytearray) -> None:
        other = self.chance.choice(self.corpus)
        start = self.chance.randint(0, len(other))
        text[self._place(text)[0] :] = other[start:]

    def _number(self, text: bytearray) -> None:
        if found := list(re.finditer(rb"[0-9]+", text)):
            start, end = self.chance.choice(found).span()
            text[start:end] = self.chance.choice(_NUMBERS)


_CHANGES = (
    *(Mutator._lose, Mutator._double, Mutator._change, Mutator._flip, Mutator._put),
    *(Mutator._put, Mutator._cut, Mutator._cross, Mutator._number),
)
_NUMBERS = [b"0", b"-1", b"00", b"1", b"60", b"99", b"1e400", b"nan", b"inf", b"9999", b"10000", b"0x10", b"1_0"]
_NUMBERS += [b"18446744073709551616", "\u0663".encode(), *(b"9" * digits for digits in (18, 19, 30, 5000))]
_ODD = [b"\0", b"\n", b"\r\n", b"\t", b"\xff", b"\xed\xb2\x80", b"\xe2\x80\xa8", b"\xc2\x85", b"\x1b[2J", b"must.x"]
_ODD += [b"%", b"%00", b"%zz", b"%E2%80%AE", b"=", b" ", b"'", b'"', b"\\", b"..", b"/", b",", b"{" * 200, b"[" * 2000]


# The parsers, and what has to hold of what they return.


def _text(raw: bytes) -> str:
    """Return bytes as a command line or a file system gives them."""
    return raw.decode("utf-8", "surrogateescape")


def _control(raw: bytes) -> Shape:
    """What it says can be written down again; with the check of the text as it is, or put right."""
    body = raw.partition(b"check=")[0]
    parsed = control.parse_control(raw if hash(raw) % 8 == 0 else control.seal(body))
    again = control.parse_control(control.format_control(parsed))
    assert replace(again, seconds=None) == replace(parsed, seconds=None)  # which are kept to the millisecond
    assert control.parse_control(control.format_control(again)) == again
    return tuple(sorted(parsed.extra)[:3]), len(parsed.options), parsed.seconds is None


def _options(raw: bytes) -> Shape:
    checked = options.check_options(options.parse_words([_text(raw)]))
    assert not any(key.startswith("rem") for key in checked.travelling)
    return len(checked.travelling), checked.instrument is None, checked.maxftp is None, checked.remote.host is None


def _wire_name(raw: bytes) -> Shape:
    text = _text(raw)
    names.parse_logged_name(text)
    wire = names.parse_wire_name(text)
    assert wire is None or str(wire) == text
    return wire is None


def _transfer_log(raw: bytes) -> Shape:
    for part in raw.split(b"\n"):
        list(readerlog._parsed(part + b"\n", "log", Problems()))
    outcome = transferlog.parse_outcome(raw)
    again = transferlog.parse_outcome(transferlog.format_outcome(outcome))
    assert (again.outcome, again.facts) == (outcome.outcome, outcome.facts)
    assert again.time // 1_000_000 == outcome.time // 1_000_000
    return outcome.outcome[:3], len(outcome.facts)


def _configuration(raw: bytes) -> Shape:
    parsed = config.parse(_text(raw), "archq.toml", "archq", "instrument", "sweeper", "logsum", environment={})
    return len(parsed.queues), len(parsed.instruments)


_LP = scanner.Flags(plain="cmps", valued={"d": "destination", "o": "option", "n": "copies"}, listed="uW")


def _command_line(raw: bytes) -> Shape:
    words = _text(raw).split("\n")
    found = scanner.scan(words, _LP)
    scanner.last_values(found)
    if not any(word.problem for word in found) and "--" not in words:
        again = scanner.scan(scanner.written(found, _LP), _LP)
        assert scanner.last_values(again) == scanner.last_values(found)
    return frozenset((word.flag[:2], word.value is None, bool(word.problem)) for word in found[:4])


def _reader(kind: type, raw: bytes) -> Shape:
    problems, reader = Problems(), kind()
    source = Source(path="log", problems=problems, clock=ServerClock(_ZONE), calendar=Calendar(2026))
    lines = [line + b"\n" for line in raw.split(b"\n")]
    known = sum(map(reader.recognizes, lines))
    uploads = list(reader.read(lines, source))
    assert len(uploads) + sum(problems.counts.values()) <= len(lines)
    assert all(upload.size >= 0 and (upload.seconds is None or upload.seconds >= 0) for upload in uploads)
    return min(known, 3), min(len(uploads), 3), len(problems.counts)


def _record(raw: bytes) -> Shape:
    kind = (FileState, Ticket, QueueState)[len(raw) % 3]
    parsed = parse_record(kind, _text(raw))
    assert parse_record(kind, format_record(parsed)) == parsed
    return kind.__name__


def _values(raw: bytes) -> Shape:
    text = _text(raw)
    parse = (parse_instant, parse_duration, parse_size, parse_rate)[len(raw) % 4]
    value: Any = parse(text)
    assert parse is not parse_instant or parse_instant(format_instant(value)) == value
    return type(value).__name__, value > 0


def _zone(raw: bytes) -> Shape:
    return type(find_zone(_text(raw))).__name__


def _destination(raw: bytes) -> Shape:
    destination = Destination.parse(_text(raw), "url")
    assert destination.password is None or destination.password not in str(destination) or len(destination.password) < 4
    return destination.scheme, destination.user is None, bool(destination.path)


_ZONE = find_zone("MST")
_OUTCOME = (
    b"2026-11-20T03:20:01.123Z filed instrument=minicam request=archive-17 part=1/3 "
    b"wire=minicam.01jd3v5t8n3q4r5s6t7v8w9x0y.1.df size=8388608 queued=2026-11-20T03:14:16.102Z "
    b"started=2026-11-20T03:14:17.003Z seconds=12.811 tries=1 path=2026.1120/img%201.fits checksum=sha256:9f86\n"
)
_EXAMPLE = (Path(__file__).parents[2] / "examples" / "archq.toml").read_bytes()
_SECTIONS = [b"[" + part for part in _EXAMPLE.split(b"\n[")[1:]]

_WIRE = b"minicam.01jd3v5t8n3q4r5s6t7v8w9x0y"
_CONTROLS = (
    control_file(b"content", extra={"later": "x"}, options={"dir": "a/b", "observer": "Lowell"}),
    control_file(b"", title="a b", host=None, seconds=None),
)
_OPTIONS = (b"inst=minicam,maxftp=60 observer='A B'", b'remhost=h,rempath=/a\\ b,remuser=u,rempw="p,w" dir=x')
_URLS = (b"sftp://tdcin@archive.example.edu:22/incoming", b"ftp://[fe80::1%Eth0]:21/%2Fa%20b", b"file:/data/incoming")
_RECORDS = (
    b"phase=begun\nattempt=2\ntries=3\nreason=a%20b\n",
    b"user=u\ntitle=t\nqueued=17\nmail=True\nhold=x\n",
    b"phase=waiting\nreason=r\nnext_try=5\n",
)
_VALUES = (b"2026-11-20T03:14:15.926535897Z", b"1.5h", b"10 GB", b"2MB/s", b"600")
_ZONES = (b"America/Phoenix", b"MST7", b"EST5EDT,M3.2.0,M11.1.0", b"<-03>3")
_UNSUPPORTED = control.UnsupportedControlFileError

TARGETS = [
    Target("control files", _control, [*map(control.format_control, _CONTROLS)], (MalformedError, _UNSUPPORTED)),
    Target("options", _options, _OPTIONS, UsageError),
    Target("wire names", _wire_name, [_WIRE + b".1.df", b"/a/." + _WIRE + b".12.cf.part"]),
    Target("transfer logs", _transfer_log, [_OUTCOME, _OUTCOME.replace(b"filed", b"stale a=%20b")], MalformedError),
    Target("configuration", _configuration, [_EXAMPLE, *_SECTIONS], ConfigurationError),
    Target("lp's command line", _command_line, [b"-d\narchive\n-oinst=minicam\n-c\nimg.fits", b"-uall\n-W\nx\n--\n-x"]),
    *(
        Target(kind.__module__.rpartition(".")[2], partial(_reader, kind), [*SAMPLES, b"".join(SAMPLES)])
        for kind in ftplog.FORMATS
    ),
    Target("records of a spool", _record, _RECORDS, MalformedError),
    Target("values", _values, _VALUES, (MalformedError, ConfigurationError)),
    Target("zones", _zone, _ZONES, ArchqError),
    Target("URLs", _destination, _URLS, ArchqError),
]
