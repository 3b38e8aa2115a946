"""An arrival gets to the other side whole, data before control, whatever is cut, lost or killed on the way."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
from collections import Counter
from contextlib import suppress
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, BinaryIO

import pytest

from archq.config import Config, QueueSettings
from archq.control import ControlFile, parse_control
from archq.errors import InputOutputError
from archq.names import WireName, parse_wire_name
from archq.shipping.delivery import Pace, deliver, deliver_together
from archq.spool import QUEUED, Spool, SpooledFile
from archq.spool.filestate import FileState, Phase
from archq.submission import submit
from archq.transports.accounts import connect
from archq.transports.base import (
    NotPermittedTransferError,
    Scope,
    TemporaryTransferError,
    TransferError,
)
from archq.transports.file import FileTransport
from tests.places import ALL, DIRECTORY, DROP_BOX_ONES, FULL_ONES, Harbour, Place, harbour
from tests.servers import lying
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from archq.transports.base import Transport
    from tests.conftest import Fleet

CONTENT = bytes(range(256)) * 4000


class Spooled:
    """A file in a real spool, and what to do with it."""

    def __init__(self, directory: Path, content: bytes = CONTENT) -> None:
        source = directory / "img0001.fits"
        source.write_bytes(content)
        config = Config(
            spool=str(directory / "spool"),
            queues={"archive": QueueSettings(name="archive", url=f"file:{directory}", instrument="minicam")},
            default="archive",
        )
        self.request = submit([source], config=config).id
        self.spool = Spool(config.spool)
        self.content = content

    @property
    def file(self) -> SpooledFile:
        """The file as its state in the spool says at this moment."""
        return self.spool.file(QUEUED, self.request, 1)

    def record(self, state: FileState) -> None:
        self.spool.record(self.file, state)

    def deliver(self, transport: Transport, *, may_rename: bool, pace: Pace | None = None) -> FileState:
        return deliver(self.file, transport, may_rename=may_rename, record=self.record, pace=pace)


@pytest.fixture
def spooled(tmp_path: Path) -> Spooled:
    return Spooled(tmp_path)


def arrivals(incoming: Path) -> dict[WireName, ControlFile]:
    """Return the arrivals that a sweeper would take up, each checked to be whole."""
    found = {}
    for name in filter(None, map(parse_wire_name, os.listdir(incoming))):
        if name == name.control:
            control = parse_control((incoming / str(name)).read_bytes())
            data = (incoming / str(name.data)).read_bytes()
            assert control.checksum.digest == hashlib.sha256(data).hexdigest()
            found[name] = control
    return found


def test_what_was_delivered_is_not_sent_again(spooled: Spooled, tmp_path: Path) -> None:
    """Whoever recorded that it was sent may have died, or found the disk broken, before it could say so."""
    (tmp_path / "incoming").mkdir()
    transport = FileTransport(str(tmp_path / "incoming"))
    sent = spooled.deliver(transport, may_rename=True)
    before = sorted(os.listdir(tmp_path / "incoming"))
    assert spooled.deliver(transport, may_rename=True) == sent
    assert spooled.deliver(transport, may_rename=False) == sent
    assert sorted(os.listdir(tmp_path / "incoming")) == before
    transport.close()


# On every kind of account of every server.


@pytest.fixture(scope="module")
def ours(fleet: Fleet, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Harbour]:
    with harbour(fleet, tmp_path_factory.mktemp) as one:
        yield one


@pytest.fixture
def place(request: pytest.FixtureRequest, ours: Harbour) -> Place:
    return ours.place(request.param)


def of(*names: str) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("place", names, indirect=True)


def arrivals_of(spooled: Spooled, place: Place) -> dict[WireName, ControlFile]:
    return {name: control for name, control in arrivals(place.incoming).items() if name.id == spooled.file.control.id}


@of(*ALL)
def test_an_arrival_is_put_down_whole_and_tells_how_it_was_sent(spooled: Spooled, place: Place, ours: Harbour) -> None:
    state = spooled.deliver(ours.session(place.name), may_rename=place.is_full)
    [(name, control)] = arrivals_of(spooled, place).items()
    assert (name.attempt, state.phase, state.tries) == (1, Phase.SENT, 1)
    assert (control.started, control.tries) == (state.started, 1)
    assert control.seconds == pytest.approx(state.seconds, abs=0.001)
    assert replace(control, started=None, seconds=None, tries=None) == spooled.file.control
    assert [name for name in os.listdir(place.incoming) if name.startswith(".")] == []


@of(*ALL)
def test_files_that_go_together_arrive_like_others_and_share_their_waits_for_the_disk(
    tmp_path: Path, place: Place, ours: Harbour
) -> None:
    spooled = [Spooled(make(tmp_path / str(number)), CONTENT[:number]) for number in range(5)]
    records: list[list[FileState]] = []

    def record(changes: Sequence[tuple[SpooledFile, FileState]]) -> None:
        records.append([state for _file, state in changes])
        for file, state in changes:
            next(one for one in spooled if one.file.path == file.path).record(state)

    session = ours.session(place.name)
    files = [one.file for one in spooled]
    states = deliver_together(files, session.pipeline(), may_rename=place.is_full, record=record)
    assert [[state.phase for state in states] for states in records] == [[Phase.BEGUN] * 5, [Phase.SENT] * 5]
    assert states == [one.file.state for one in spooled]
    for one in spooled:
        [(name, control)] = arrivals_of(one, place).items()
        assert (name.attempt, control.size, control.tries) == (1, len(one.content), 1)
    assert [name for name in os.listdir(place.incoming) if name.startswith(".")] == []


@of(DIRECTORY, "sshd, full", "sshd, drop box")
def test_of_files_that_go_together_one_that_fails_stops_no_other(tmp_path: Path, place: Place, ours: Harbour) -> None:
    spooled = [Spooled(make(tmp_path / str(number)), CONTENT) for number in range(3)]
    os.truncate(spooled[1].file.data_path, 10)

    def record(changes: Sequence[tuple[SpooledFile, FileState]]) -> None:
        for file, state in changes:
            next(one for one in spooled if one.file.path == file.path).record(state)

    files, pipeline = [one.file for one in spooled], ours.session(place.name).pipeline()
    first, damaged, last = deliver_together(files, pipeline, may_rename=place.is_full, record=record)
    assert isinstance(damaged, InputOutputError)
    assert "it has 10 bytes instead of 1024000" in str(damaged)
    assert [first, last] == [spooled[0].file.state, spooled[2].file.state]
    assert [one.file.state.phase for one in spooled] == [Phase.SENT, Phase.WAITING, Phase.SENT]
    assert [len(arrivals_of(one, place)) for one in spooled] == [1, 0, 1]


def test_nothing_is_sent_of_files_whose_begin_cannot_be_recorded(tmp_path: Path) -> None:
    spooled = [Spooled(make(tmp_path / str(number))) for number in range(3)]
    transport = FileTransport(str(make(tmp_path / "incoming")))

    def full(_changes: Sequence[tuple[SpooledFile, FileState]]) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    outcomes = deliver_together([one.file for one in spooled], transport.pipeline(), may_rename=True, record=full)
    assert [getattr(outcome, "errno", None) for outcome in outcomes] == [errno.ENOSPC] * 3
    assert os.listdir(tmp_path / "incoming") == []
    transport.close()


def make(directory: Path) -> Path:
    directory.mkdir()
    return directory


class CutAfter(Pace):
    """The link breaks after so many bytes, and not before ``may_break`` has returned."""

    def __init__(self, most: int, may_break: Callable[[], object]) -> None:
        self.most = most
        self.may_break = may_break
        self.moved = 0

    def block(self, size: int) -> int:
        return min(size, 65_536)

    def passed(self, count: int) -> None:
        self.moved += count
        if self.moved > self.most:
            self.may_break()
            raise TemporaryTransferError("unplugged")


class Counting(Pace):
    moved = 0

    def passed(self, count: int) -> None:
        self.moved += count


def cut(spooled: Spooled, place: Place) -> None:
    before, session = stored(place), place.connect()
    # A server that sees the connection reset may not look at what it has received.
    pace = CutAfter(len(CONTENT) // 2, lambda: wait_until(lambda: stored(place) > before, "the server writes"))
    with pytest.raises(TemporaryTransferError, match=r"^unplugged$"):
        spooled.deliver(session, may_rename=place.is_full, pace=pace)
    wait_until(lambda: any(part.stat().st_size for part in parts(spooled, place)), "a part of it is there")
    session.close()


def stored(place: Place) -> int:
    """Return the bytes that the server has written, under whatever name."""
    size = 0
    for path in place.incoming.iterdir():
        with contextlib.suppress(FileNotFoundError):  # it was renamed just now
            size += path.stat().st_size
    return size


def parts(spooled: Spooled, place: Place) -> list[Path]:
    return [path for path in place.incoming.iterdir() if spooled.file.control.id in path.name]


@of(*FULL_ONES)
def test_after_a_cut_a_full_account_goes_on_where_it_was(spooled: Spooled, place: Place, ours: Harbour) -> None:
    cut(spooled, place)
    pace = Counting()
    state = spooled.deliver(ours.session(place.name), may_rename=True, pace=pace)
    [name] = arrivals_of(spooled, place)
    assert (name.attempt, state.tries) == (1, 2)
    assert 0 < pace.moved < len(CONTENT)


@of(*DROP_BOX_ONES)
def test_after_a_cut_a_drop_box_gets_a_new_try(spooled: Spooled, place: Place, ours: Harbour) -> None:
    cut(spooled, place)
    assert arrivals_of(spooled, place) == {}
    state = spooled.deliver(ours.session(place.name), may_rename=False)
    [(name, control)] = arrivals_of(spooled, place).items()
    assert (name.attempt, state.tries, control.tries) == (2, 2, 2)


# Whatever is unplugged when: a directory, which can be looked at after every step, behind a link that fails.


class KilledError(BaseException):
    """The process is killed: nothing is recorded after this."""


class Link:
    """A transport that works for some calls and fails from then on; ``fail`` does the first failing one its own way."""

    def __init__(self, transport: Transport, calls: int, fail: Fail, error: BaseException) -> None:
        self.transport = transport
        self.label = transport.label
        self.left = calls
        self.fail = fail
        self.error = error
        self.calls: list[str] = []

    def _do(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        call = partial(getattr(self.transport, name), *arguments, **keywords)
        self.calls.append(name)
        self.left -= 1
        if self.left == -1:
            self.fail(name, call, *arguments)
        if self.left < 0:
            raise self.error
        return call()

    def put(self, source: BinaryIO, name: str, *, offset: int = 0) -> None:
        self._do("put", source, name, offset=offset)

    def size(self, name: str) -> int | None:
        size: int | None = self._do("size", name)
        return size

    def rename(self, old: str, new: str) -> None:
        self._do("rename", old, new)

    def remove(self, name: str) -> None:
        self._do("remove", name)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.transport, name)


def at_once(_name: str, _call: object, *_arguments: object) -> None:
    """Do nothing of it."""


def reply_lost(_name: str, call: Callable[[], object], *_arguments: object) -> None:
    """Do all of it, and say that it failed."""
    call()


def half_way(name: str, call: Callable[[], object], *arguments: Any) -> None:
    """Put half of a file."""
    if name == "put":
        source = arguments[0]
        there = source.tell() if hasattr(source, "getvalue") else source.seek(0, os.SEEK_CUR)
        end = source.seek(0, os.SEEK_END)
        source.seek(there)
        arguments = (Ending(source, there + (end - there) // 2), *arguments[1:])
        partial(call.func, *arguments, **call.keywords)()  # type: ignore[attr-defined]


class Ending:
    """A source that ends before its time."""

    def __init__(self, source: BinaryIO, end: int) -> None:
        self.source = source
        self.left = end - source.seek(0, os.SEEK_CUR)

    def read(self, size: int) -> bytes:
        block = self.source.read(min(size, self.left))
        self.left -= len(block)
        return block


Fail = Any
WAYS = {"at once": at_once, "its reply lost": reply_lost, "half way": half_way}
ENDS = {"the link is cut": TemporaryTransferError("unplugged"), "the shipper is killed": KilledError()}


class Watched(FileTransport):
    """A directory in which no control file ever stands without its data, whole."""

    def __init__(self, path: Path, *, may_rename: bool) -> None:
        super().__init__(str(path))
        self.path = path
        self.renames = may_rename

    def put(self, source: BinaryIO, name: str, *, offset: int = 0) -> None:
        super().put(source, name, offset=offset)
        self.look()

    def rename(self, old: str, new: str) -> None:
        assert self.renames
        super().rename(old, new)
        self.look()

    def remove(self, name: str) -> None:
        assert self.renames
        super().remove(name)

    def look(self) -> None:
        for name in filter(None, map(parse_wire_name, os.listdir(self.path))):
            if name == name.control:
                assert (self.path / str(name.data)).read_bytes() == CONTENT


def calls_of_a_clean_delivery(directory: Path, *, may_rename: bool) -> int:
    directory.mkdir()
    link = Link(Watched(directory, may_rename=may_rename), 1000, at_once, KilledError())
    Spooled(directory).deliver(link, may_rename=may_rename)
    return len(link.calls)


def sweep(incoming: Path, swept: Counter[str]) -> None:
    """Take whole arrivals away."""
    for name in arrivals_or_halves(incoming):
        for one in (name.control, name.data):
            (incoming / str(one)).unlink()
        swept[name.id] += 1


def arrivals_or_halves(incoming: Path) -> list[WireName]:
    """Return the arrivals that are whole; a control file that was cut short is none."""
    found = []
    for name in filter(None, map(parse_wire_name, os.listdir(incoming))):
        if name == name.control and (incoming / str(name)).read_bytes().count(b"\ncheck=sha256:"):
            assert (incoming / str(name.data)).read_bytes() == CONTENT
            found.append(name)
    return found


@pytest.mark.parametrize("swept_between", [False, True], ids=["", "swept in between"])
@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("may_rename", [True, False], ids=["full", "drop box"])
def test_wherever_a_delivery_is_unplugged_a_second_one_finishes(
    tmp_path: Path, may_rename: bool, way: str, end: str, swept_between: bool
) -> None:
    total = calls_of_a_clean_delivery(tmp_path / "clean", may_rename=may_rename)
    assert total >= 4
    for calls in range(total):
        directory = tmp_path / str(calls)
        (directory / "incoming").mkdir(parents=True)
        incoming, spooled, swept = directory / "incoming", Spooled(directory), Counter[str]()
        watched = Watched(incoming, may_rename=may_rename)
        with pytest.raises((TemporaryTransferError, KilledError)):
            spooled.deliver(Link(watched, calls, WAYS[way], ENDS[end]), may_rename=may_rename)
        assert spooled.file.state.phase is not Phase.SENT
        if swept_between:
            sweep(incoming, swept)
        state = spooled.deliver(watched, may_rename=may_rename)
        sweep(incoming, swept)
        assert spooled.file.state == state
        assert state.phase is Phase.SENT
        assert 1 <= swept[spooled.file.control.id] <= 2


@pytest.mark.parametrize("may_rename", [True, False], ids=["full", "drop box"])
def test_a_delivery_that_is_unplugged_again_and_again_gets_through_in_the_end(tmp_path: Path, may_rename: bool) -> None:
    (tmp_path / "incoming").mkdir()
    spooled, watched = Spooled(tmp_path), Watched(tmp_path / "incoming", may_rename=may_rename)
    for calls in (0, 1, 2, 3, 4, 5, 6):
        for way in WAYS.values():
            if spooled.file.state.phase is not Phase.SENT:
                with suppress(TemporaryTransferError):
                    link = Link(watched, calls, way, TemporaryTransferError("unplugged"))
                    spooled.deliver(link, may_rename=may_rename)
    assert spooled.file.state.phase is Phase.SENT
    assert arrivals_or_halves(tmp_path / "incoming")


def test_a_full_account_is_asked_no_more_than_needed(tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    link = Link(Watched(tmp_path / "incoming", may_rename=True), 1000, at_once, KilledError())
    Spooled(tmp_path).deliver(link, may_rename=True)
    assert link.calls == ["put", "size", "rename", "put", "size", "rename"]


# Servers that do, or say, what is unusual.


class Without(Link):
    """A transport that may not do some things."""

    def __init__(self, transport: Transport, *forbidden: str) -> None:
        super().__init__(transport, 1000, at_once, KilledError())
        self.forbidden = forbidden

    def _do(self, name: str, *arguments: Any, **keywords: Any) -> Any:
        if name in self.forbidden or (name == "put" and keywords["offset"] and "resume" in self.forbidden):
            raise NotPermittedTransferError(f"cannot {name}", Scope.QUEUE)
        return super()._do(name, *arguments, **keywords)


@pytest.mark.parametrize("forbidden", ["size", "resume", "remove"])
@pytest.mark.parametrize("calls", [0, 1, 2, 3, 4])
def test_what_cannot_be_resumed_starts_again(tmp_path: Path, forbidden: str, calls: int) -> None:
    (tmp_path / "incoming").mkdir()
    spooled, watched = Spooled(tmp_path), Watched(tmp_path / "incoming", may_rename=True)
    link = Without(watched, forbidden)
    with pytest.raises(TemporaryTransferError):
        spooled.deliver(Link(link, calls, half_way, TemporaryTransferError("unplugged")), may_rename=True)
    spooled.deliver(link, may_rename=True)
    assert len(arrivals_or_halves(tmp_path / "incoming")) == 1


@pytest.mark.parametrize("may_rename", [True, False], ids=["full", "drop box"])
def test_a_server_that_lost_half_of_a_file_is_found_out(tmp_path: Path, may_rename: bool) -> None:
    (tmp_path / "incoming").mkdir()
    spooled = Spooled(tmp_path)
    answer = lying.only_first(lying.store_half_and_say_complete, lying.FtpSession.stor)
    with lying.ftp_server(tmp_path / "incoming", {"STOR": answer}) as url:
        session = connect(QueueSettings(name="archive", url=url, idle=20))
        with pytest.raises(TemporaryTransferError, match=r"has 1000 bytes under \S+ after it said that all 1024000 "):
            spooled.deliver(session, may_rename=may_rename)
        spooled.deliver(session, may_rename=may_rename)
        session.close()
    assert len(arrivals(tmp_path / "incoming")) == 1


class SweptAtOnce(Watched):
    """A directory from which a sweeper takes every arrival before anybody can look at it again."""

    def put(self, source: BinaryIO, name: str, *, offset: int = 0) -> None:
        super().put(source, name, offset=offset)
        self.swept = Counter[str]()
        sweep(self.path, self.swept)


def test_an_arrival_that_is_swept_up_before_its_size_is_asked_has_arrived(tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    spooled, there = Spooled(tmp_path), SweptAtOnce(tmp_path / "incoming", may_rename=False)
    assert spooled.deliver(there, may_rename=False).phase is Phase.SENT
    assert there.swept == {spooled.file.control.id: 1}


class LosingControlFiles(Watched):
    def put(self, source: BinaryIO, name: str, *, offset: int = 0) -> None:
        super().put(source, name, offset=offset)
        if name.endswith(".cf"):
            (self.path / name).unlink()


def test_a_control_file_that_is_gone_alone_was_lost(tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    spooled, there = Spooled(tmp_path), LosingControlFiles(tmp_path / "incoming", may_rename=False)
    with pytest.raises(TemporaryTransferError, match="has nothing under "):
        spooled.deliver(there, may_rename=False)


class CancelledMeanwhile(Watched):
    """The request is taken away while its data file is on the way."""

    spooled: Spooled

    def put(self, source: BinaryIO, name: str, *, offset: int = 0) -> None:
        super().put(source, name, offset=offset)
        if self.spooled.request in self.spooled.spool.requests(QUEUED):
            self.spooled.spool.move(self.spooled.request, QUEUED, "cancelled")


@pytest.mark.parametrize("may_rename", [True, False], ids=["full", "drop box"])
def test_what_was_cancelled_meanwhile_does_not_arrive(tmp_path: Path, may_rename: bool) -> None:
    (tmp_path / "incoming").mkdir()
    there = CancelledMeanwhile(tmp_path / "incoming", may_rename=may_rename)
    there.spooled = spooled = Spooled(tmp_path)
    file = spooled.file
    with pytest.raises((OSError, InputOutputError)):
        deliver(file, there, may_rename=may_rename, record=lambda state: spooled.spool.record(file, state) and None)
    assert arrivals(tmp_path / "incoming") == {}


# The spooled copy.


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda path: os.truncate(path, 10), "no longer what was submitted: it has 10 bytes instead of 1024000"),
        (lambda path: os.utime(path, (5, 7)), "no longer what was submitted"),
        (os.unlink, "cannot read the spooled copy"),
        (lambda path: (os.unlink(path), os.symlink("/etc/passwd", path)), "cannot read the spooled copy"),
    ],
)
@pytest.mark.parametrize("may_rename", [True, False], ids=["full", "drop box"])
def test_a_spooled_copy_that_is_no_longer_what_was_submitted_is_not_sent(
    spooled: Spooled, tmp_path: Path, may_rename: bool, spoil: Callable[[str], object], words: str
) -> None:
    (tmp_path / "incoming").mkdir()
    spoil(spooled.file.data_path)
    with pytest.raises(InputOutputError, match=words):
        spooled.deliver(Watched(tmp_path / "incoming", may_rename=may_rename), may_rename=may_rename)
    assert os.listdir(tmp_path / "incoming") == []


@pytest.mark.parametrize("kept", [100, 1000, 10**6, 10**9, 2 * 10**9])
def test_a_filesystem_that_keeps_coarser_times_does_not_spoil_a_copy(
    spooled: Spooled, tmp_path: Path, kept: int
) -> None:
    (tmp_path / "incoming").mkdir()
    mtime = spooled.file.control.mtime // kept * kept
    os.utime(spooled.file.data_path, ns=(mtime, mtime))
    spooled.deliver(Watched(tmp_path / "incoming", may_rename=False), may_rename=False)
    assert len(arrivals(tmp_path / "incoming")) == 1


def test_an_empty_file_is_delivered_too(tmp_path: Path) -> None:
    (tmp_path / "incoming").mkdir()
    spooled = Spooled(tmp_path, b"")
    spooled.deliver(FileTransport(str(tmp_path / "incoming")), may_rename=True)
    assert len(arrivals(tmp_path / "incoming")) == 1


def test_an_error_of_the_destination_leaves_a_state_that_can_be_gone_on_from(spooled: Spooled, tmp_path: Path) -> None:
    with pytest.raises(TransferError):
        spooled.deliver(FileTransport("/proc"), may_rename=False)
    assert spooled.file.state == FileState(phase=Phase.WAITING, attempt=2, tries=1, started=spooled.file.state.started)


assert DIRECTORY in ALL
