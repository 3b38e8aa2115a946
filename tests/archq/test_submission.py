"""Files become one queued request, whole and durable, or nothing at all, and the reason says what to do."""

from __future__ import annotations

import fcntl
import hashlib
import os
import random
import resource
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import archq
from archq import submission
from archq.config import Config, QueueSettings
from archq.errors import (
    ArchqError,
    ConfigurationError,
    ExitStatus,
    MalformedError,
    NoInputError,
    NotPermittedError,
    TemporaryError,
    UsageError,
)
from archq.spool import BUILDING, QUEUED
from archq.spool.fsck import check_spool
from archq.submission import chosen_queue
from tests.archq.instrument import Instrument
from tests.requirements import require
from tests.servers.process import AS_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archq.control import ControlFile
    from archq.spool import RequestId


@pytest.fixture
def instrument(tmp_path: Path) -> Instrument:
    return Instrument.at(tmp_path)


def submitted(instrument: Instrument, *sources: Any, **wishes: Any) -> RequestId:
    return archq.submit(list(sources), config=instrument.config, **wishes).id


def controls(instrument: Instrument, request: RequestId) -> list[ControlFile]:
    return [file.control for file in instrument.spool.files(QUEUED, request)]


def refusal(instrument: Instrument, kind: type[ArchqError], *sources: Any, **wishes: Any) -> str:
    """Return what is said to a submission that must fail and leave nothing."""
    with pytest.raises(ArchqError) as caught:
        submitted(instrument, *sources, **wishes)
    assert type(caught.value) is kind
    assert nothing_is_left(instrument)
    return str(caught.value)


def nothing_is_left(instrument: Instrument) -> bool:
    return [os.listdir(instrument.spool.place(name)) for name in (BUILDING, QUEUED)] == [[], []]


# What is accepted.


def test_a_request_is_recorded_as_it_was_submitted(instrument: Instrument) -> None:
    frame = instrument.frame(content=b"light")
    os.utime(frame, ns=(5, 1_795_150_000_123_456_789))
    before = time.time_ns()
    request = archq.submit(
        [frame], config=instrument.config, options={"maxftp": "60", "observer": "E. Hubble"}, title="M31", priority=70
    )
    assert (str(request.id), request.files, request.bytes) == ("archive-1", 1, 5)
    [control] = controls(instrument, request.id)
    assert (control.instrument, control.name, control.path) == ("minicam", "img0001.fits", str(frame))
    assert (control.size, control.mtime) == (5, 1_795_150_000_123_456_789)
    assert str(control.checksum) == f"sha256:{hashlib.sha256(b'light').hexdigest()}"
    assert (control.request, control.part, control.spool) == ("archive-1", "1/1", instrument.spool.id)
    assert (control.title, control.options) == ("M31", {"maxftp": "60", "observer": "E. Hubble"})
    assert (control.host, control.agent) == (os.uname().nodename, f"archq/{archq.__version__}")
    assert before <= control.queued <= time.time_ns()
    ticket = instrument.spool.ticket(QUEUED, request.id)
    assert (ticket.title, ticket.priority, ticket.maxftp) == ("M31", 70, 60.0)


def test_the_source_may_be_deleted_at_once(instrument: Instrument) -> None:
    frame = instrument.frame(content=b"light" * 1000)
    request = submitted(instrument, frame)
    frame.unlink()
    [file] = instrument.spool.files(QUEUED, request)
    assert Path(file.data_path).read_bytes() == b"light" * 1000
    assert list(check_spool(instrument.spool)) == []


def test_several_files_are_one_request_in_their_order(instrument: Instrument) -> None:
    names = ["img0002.fits", "img0010.fits", "img0001.fits"] + [f"more{number}.fits" for number in range(9)]
    request = submitted(instrument, *[instrument.frame(name, name.encode()) for name in names])
    found = controls(instrument, request)
    assert [control.name for control in found] == names
    assert [control.part for control in found] == [f"{part}/12" for part in range(1, 13)]
    assert len({control.id for control in found}) == 12
    assert len({control.queued for control in found}) == 1


def test_the_same_file_twice_is_two_files(instrument: Instrument) -> None:
    frame = instrument.frame()
    assert len(controls(instrument, submitted(instrument, frame, frame))) == 2


def test_an_empty_file_is_a_file(instrument: Instrument) -> None:
    assert controls(instrument, submitted(instrument, instrument.frame(content=b"")))[0].size == 0


@pytest.mark.parametrize(
    "name",
    [
        b"two words.fits",
        b"new\nline=1\ncheck=sha256:0.fits",
        b"\xff\xfe not utf-8.fits",
        "M31-größe.fits".encode(),
        b"-rf",
        b"'\"\\$(reboot)`;|&<>*?.fits",
        b"%41.fits",
        b" blank at both ends ",
        b"x" * 255,
        b"\x01\x1b[2J\x7f",
        b"~",
    ],
)
def test_any_name_survives(instrument: Instrument, name: bytes) -> None:
    path = os.path.join(os.fsencode(instrument.home / "data"), name)
    Path(os.fsdecode(path)).write_bytes(b"light")
    [control] = controls(instrument, submitted(instrument, os.fsdecode(path)))
    assert control.name.encode("utf-8", "surrogateescape") == name
    assert control.path is not None
    assert control.path.encode("utf-8", "surrogateescape") == path


def test_a_relative_path_is_recorded_absolutely(instrument: Instrument, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = instrument.frame()
    monkeypatch.chdir(frame.parent)
    assert controls(instrument, submitted(instrument, "img0001.fits"))[0].path == str(frame)


def test_a_file_that_is_replaced_while_it_is_read_is_the_old_one(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    frame = instrument.frame(content=b"old")

    def replace_it() -> None:
        instrument.frame("new.fits", b"brand new").replace(frame)

    while_it_is_read(monkeypatch, replace_it)
    [control] = controls(instrument, submitted(instrument, frame))
    assert control.size == 3


def while_it_is_read(monkeypatch: pytest.MonkeyPatch, something: Callable[[], object]) -> None:
    """Have something happen when a source was read, and before it is looked at again."""
    original = submission.copy_and_sum

    def copy_and_sum(*arguments: Any) -> Any:
        result = original(*arguments)
        something()
        return result

    monkeypatch.setattr(submission, "copy_and_sum", copy_and_sum)


# What is refused.


@pytest.mark.parametrize(
    "change",
    [
        lambda path: path.open("ab").write(b"more"),
        lambda path: os.truncate(path, 1),
        lambda path: path.write_bytes(b"LIGHT" * 100),
    ],
    ids=["grown", "cut", "rewritten"],
)
def test_a_source_that_changes_while_it_is_read_is_refused(
    instrument: Instrument, monkeypatch: pytest.MonkeyPatch, change: Callable[[Path], object]
) -> None:
    frame = instrument.frame()
    os.utime(frame, (5, 5))
    while_it_is_read(monkeypatch, lambda: change(frame))
    message = refusal(instrument, TemporaryError, frame)
    assert message == f"{frame} changed while it was read: submit it when it is complete; nothing was queued"


def make_fifo(path: Path) -> None:
    os.mkfifo(path)


def make_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))


def make_link(path: Path) -> None:
    path.with_name("target").write_bytes(b"x")
    path.symlink_to("target")


def make_dangling_link(path: Path) -> None:
    path.symlink_to("nowhere")


REFUSED_KINDS: list[tuple[Callable[[Path], object], str]] = [
    (lambda path: None, "cannot read {}: No such file or directory"),
    (lambda path: path.mkdir(), "{} is not a regular file"),
    (make_fifo, "{} is not a regular file"),
    (make_socket, "{} is not a regular file"),
    (make_link, "{} is a symbolic link: submit the file it points to"),
    (make_dangling_link, "{} is a symbolic link: submit the file it points to"),
]


@pytest.mark.parametrize("others", [0, 2], ids=["alone", "among good ones"])
@pytest.mark.parametrize(("make", "words"), REFUSED_KINDS)
def test_what_is_no_regular_file_is_refused_and_its_companions_with_it(
    instrument: Instrument, make: Callable[[Path], object], words: str, others: int
) -> None:
    path = instrument.home / "data" / "img0003.fits"
    make(path)
    good = [instrument.frame(f"img000{number}.fits") for number in range(1, others + 1)]
    assert refusal(instrument, NoInputError, *good, path) == f"{words.format(path)}; nothing was queued"


def test_a_device_is_refused(instrument: Instrument) -> None:
    assert refusal(instrument, NoInputError, "/dev/null") == "/dev/null is not a regular file; nothing was queued"


def test_a_directory_with_a_slash_behind_it_is_called_what_it_is(instrument: Instrument) -> None:
    path = f"{instrument.home}/data/"
    assert refusal(instrument, NoInputError, path) == f"{path} is not a regular file; nothing was queued"


def test_a_source_that_cannot_be_read_is_not_taken_for_a_full_spool(instrument: Instrument) -> None:
    path = "/proc/self/mem"  # a regular file, which nobody can read at its beginning
    with pytest.raises(ArchqError) as caught:
        submitted(instrument, path)
    assert (str(caught.value), caught.value.status) == (
        f"cannot read {path}: Input/output error; nothing was queued",
        ExitStatus.INPUT_OUTPUT,
    )


def test_a_name_that_begins_with_a_dot_is_refused(instrument: Instrument) -> None:
    frame = instrument.frame(".hidden.fits")
    message = refusal(instrument, MalformedError, frame)
    assert message.startswith(f"{frame}: not a file's name in an archive (one component, no leading dot)")
    assert message.endswith("; nothing was queued")


def test_an_unreadable_file_is_refused(tmp_path: Path) -> None:
    require(AS_ROOT, "only root can become a user who may not read")
    instrument = Instrument.at(tmp_path)
    frame = instrument.frame()
    frame.chmod(0o600)
    said = tmp_path / "said"
    child = os.fork()
    if child == 0:
        with said.open("w") as answer:
            spool = tmp_path / "of another"
            spool.mkdir()
            os.chown(spool, 64_001, 64_001)
            for parent in (tmp_path, *tmp_path.parents[:2]):
                parent.chmod(0o711)
            os.setgroups([])
            os.setuid(64_001)
            queue = QueueSettings(name="archive", url="file:/nowhere")
            try:
                archq.submit(
                    [frame], config=Config(spool=str(spool / "spool"), queues={"archive": queue}), queue="archive"
                )
            except NotPermittedError as error:
                answer.write(str(error))
            finally:
                answer.flush()
                os._exit(0)
    os.waitpid(child, 0)
    assert said.read_text() == f"cannot read {frame}: Permission denied; nothing was queued"


def test_a_file_without_a_name_is_refused(instrument: Instrument) -> None:
    assert "nothing was queued" in refusal(instrument, NoInputError, "")


def test_nothing_at_all_is_a_usage_error(instrument: Instrument) -> None:
    assert refusal(instrument, UsageError) == "no file was named: name files, or - for standard input"


@pytest.mark.parametrize(
    ("wishes", "words"),
    [
        ({"options": "inst=all"}, "not an instrument's name: 'all'"),
        ({"options": ["maxftp=soon"]}, "-o maxftp=soon: not a number of seconds"),
        ({"options": {"remport": "1"}}, "-o remport: unknown; keywords that begin with rem are"),
        ({"options": ["rempath=a", "dir=/etc"]}, "-o dir=/etc: must be relative"),
        ({"options": "remhost=other"}, "-o remhost: the queue writes to a directory of this machine"),
        (
            {"queue": "other", "options": "inst=fast"},
            "the queue other does not take the instrument 'fast': it takes mini",
        ),
        ({"queue": "other"}, "the queue other does not take the instrument 'undef': it takes minicam, megacam"),
        ({"queue": "nowhere"}, "there is no queue 'nowhere'"),
        ({"when": "25:00"}, "-H 25:00: not hold, immediate or a local time"),
        ({"priority": 0}, "priority 0: not from 1 to 100"),
        ({"priority": 101}, "priority 101: not from 1 to 100"),
    ],
)
def test_a_wish_that_cannot_be_is_a_usage_error(instrument: Instrument, wishes: dict[str, Any], words: str) -> None:
    assert words in refusal(instrument, UsageError, instrument.frame(), **wishes)


def test_options_that_do_not_fit_into_a_control_file_are_refused(instrument: Instrument) -> None:
    message = refusal(instrument, MalformedError, instrument.frame(), options={"comment": "x" * 70_000})
    assert "img0001.fits: the control file would have" in message
    assert message.endswith("; nothing was queued")


# Standard input.


def test_standard_input_is_named_by_the_title(instrument: Instrument) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "archq.cli", "submit", "-t", "spectrum.dat", "-"],
        input=b"light",
        capture_output=True,
        env=instrument.environment,
        check=True,
    )
    assert done.stdout == b"request id is archive-1 (1 file(s))\n"
    [request] = instrument.spool.requests(QUEUED)
    [control] = controls(instrument, request)
    assert (control.name, control.path, control.size) == ("spectrum.dat", None, 5)


@pytest.fixture
def standard_input(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Any], None]]:
    opened: list[Any] = []

    def connect(file: Any) -> None:
        opened.append(file)
        monkeypatch.setattr(sys, "stdin", file)

    yield connect
    for file in opened:
        file.close()


def test_standard_input_can_be_the_rest_of_a_file(
    instrument: Instrument, standard_input: Callable[[Any], None]
) -> None:
    file = instrument.frame(content=b"header and light").open("rb", buffering=0)
    file.seek(11)
    standard_input(file)
    [control] = controls(instrument, submitted(instrument, "-", title="light"))
    assert control.size == 5


def test_standard_input_that_is_a_directory_says_so(
    instrument: Instrument, standard_input: Callable[[Any], None]
) -> None:
    standard_input(Handle(instrument.home))
    message = refusal(instrument, NoInputError, "-")
    assert message == "cannot read standard input: Is a directory; nothing was queued"


class Handle:
    """A standard input that is a directory, as a shell can make it and Python's open() cannot."""

    def __init__(self, path: Path) -> None:
        self.descriptor = os.open(path, os.O_RDONLY)

    def fileno(self) -> int:
        return self.descriptor

    def close(self) -> None:
        os.close(self.descriptor)


@pytest.mark.parametrize("title", ["a/b", ".hidden"])
def test_a_title_that_cannot_name_a_file_is_refused_for_standard_input(
    instrument: Instrument, standard_input: Callable[[Any], None], title: str
) -> None:
    standard_input(instrument.frame().open("rb"))
    message = refusal(instrument, MalformedError, "-", title=title)
    assert message.startswith(f"the title {title}: not a file's name in an archive (")


# A disk that is full.


def limited(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_spool_in_which_a_file_cannot_be_written_is_temporary_and_left_as_it_was(instrument: Instrument) -> None:
    frame = instrument.frame(content=bytes(1_000_000))
    assert instrument.spool.id
    done = instrument.archq("submit", frame, status=ExitStatus.TEMPORARY, preexec_fn=lambda: limited(300_000))
    assert done.stdout == ""
    spool = instrument.config.spool
    assert done.stderr == f"archq: cannot write to the spool {spool}: File too large; nothing was queued\n"
    assert nothing_is_left(instrument)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 256 kB."""
    place = tmp_path / "small"
    place.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", str(place))
    done = subprocess.run(mount, capture_output=True, text=True)
    require(done.returncode == 0, f"this account may not mount: {done.stderr}")
    yield place
    subprocess.run(("umount", "--lazy", str(place)), check=True)


def on_small_disk(instrument: Instrument, small_disk: Path) -> Instrument:
    text = (instrument.home / "archq.toml").read_text().replace(f"{instrument.home}/spool", f"{small_disk}/spool")
    (instrument.home / "archq.toml").write_text(text)
    return instrument


def test_a_disk_without_room_refuses_a_file_that_is_too_large_for_it(instrument: Instrument, small_disk: Path) -> None:
    on_small_disk(instrument, small_disk)
    first = submitted(instrument, instrument.frame(content=bytes(100_000)))
    with pytest.raises(TemporaryError) as caught:
        submitted(instrument, instrument.frame(content=bytes(1_000_000)))
    assert "has no room for 1.0 MB: " in str(caught.value)
    assert str(caught.value).endswith("; nothing was queued")
    assert instrument.spool.requests(QUEUED) == [first]


def test_a_disk_that_fills_up_while_a_pipe_is_read_leaves_what_was_queued_before(
    instrument: Instrument, small_disk: Path, standard_input: Callable[[Any], None]
) -> None:
    on_small_disk(instrument, small_disk)
    first = submitted(instrument, instrument.frame(content=bytes(100_000)))
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        while True:
            os.write(writing, bytes(65_536))
    os.close(writing)
    standard_input(os.fdopen(reading, "rb"))
    with pytest.raises(TemporaryError) as caught:
        submitted(instrument, "-")
    sys.stdin.close()
    os.waitpid(child, 0)
    spool = instrument.config.spool
    assert str(caught.value) == f"cannot write to the spool {spool}: No space left on device; nothing was queued"
    assert os.listdir(instrument.spool.place(BUILDING)) == []
    assert instrument.spool.requests(QUEUED) == [first]
    assert submitted(instrument, instrument.frame(content=bytes(10_000)))


# Links instead of copies.


@pytest.fixture
def linking(tmp_path: Path) -> Instrument:
    return Instrument.at(tmp_path, queue='spool_mode = "link"')


def test_a_linked_source_takes_no_room_and_may_be_deleted(linking: Instrument) -> None:
    frame = linking.frame()
    [file] = linking.spool.files(QUEUED, submitted(linking, frame))
    assert os.path.samefile(file.data_path, frame)
    assert list(check_spool(linking.spool)) == []
    frame.unlink()
    assert list(check_spool(linking.spool)) == []
    linking.archq("ship", "--once")
    assert linking.arrivals() == ["minicam.1"]


def test_a_linked_source_may_be_replaced(linking: Instrument) -> None:
    frame = linking.frame(content=b"first")
    submitted(linking, frame)
    linking.frame("new.fits", b"second").replace(frame)
    linking.archq("ship", "--once")
    [data] = (linking.home / "incoming").glob("*.df")
    assert data.read_bytes() == b"first"


def test_a_linked_source_that_is_written_to_is_held_and_not_sent(linking: Instrument) -> None:
    frame = linking.frame(content=b"first")
    request = submitted(linking, frame)
    frame.write_bytes(b"other")
    done = linking.archq("ship", "--once", status=ExitStatus.SOME_FAILED)
    assert f"archq: {request} (img0001.fits): held: the spool's copy cannot be used: " in done.stderr
    assert "a source that is linked, not copied, must not be written to" in done.stderr
    assert linking.arrivals() == []


def test_what_cannot_be_linked_is_copied(linking: Instrument, small_disk: Path) -> None:
    on_small_disk(linking, small_disk)
    frame = linking.frame()
    [file] = linking.spool.files(QUEUED, submitted(linking, frame))
    assert not os.path.samefile(file.data_path, frame)
    assert Path(file.data_path).read_bytes() == frame.read_bytes()


def test_a_source_that_its_writer_has_locked_can_be_linked_and_sent(linking: Instrument) -> None:
    frame = linking.frame()
    with frame.open("rb") as writer:
        fcntl.flock(writer, fcntl.LOCK_EX)
        submitted(linking, frame)
        linking.archq("ship", "--once")
    assert linking.arrivals() == ["minicam.1"]


# Which queue.


QUEUES = {name: QueueSettings(name=name, url="file:/nowhere") for name in ("archive", "other", "third")}


@pytest.mark.parametrize(
    ("asked", "environment", "default", "chosen"),
    [
        ("other", {"LPDEST": "third"}, "archive", "other"),
        (None, {"LPDEST": "other", "PRINTER": "third"}, "archive", "other"),
        (None, {"LPDEST": "laser", "PRINTER": "third"}, "archive", "third"),
        (None, {"LPDEST": "laser", "PRINTER": "inkjet"}, "archive", "archive"),
        (None, {}, "archive", "archive"),
        (None, {"PRINTER": "third"}, None, "third"),
    ],
)
def test_the_queue_is_the_one_that_was_asked_for_or_lps_or_the_default(
    asked: str | None, environment: dict[str, str], default: str | None, chosen: str
) -> None:
    config = Config(path="/etc/archq/archq.toml", queues=QUEUES, default=default)
    assert chosen_queue(config, asked, environment).name == chosen


def test_without_a_default_a_queue_has_to_be_named() -> None:
    with pytest.raises(UsageError) as caught:
        chosen_queue(Config(path="/etc/archq/archq.toml", queues=QUEUES), None, {})
    assert str(caught.value) == (
        "no default queue: say -d QUEUE (archive, other, third), or set default in /etc/archq/archq.toml"
    )


def test_an_unknown_queue_is_told_with_those_that_are_known() -> None:
    with pytest.raises(UsageError) as caught:
        chosen_queue(Config(path="/etc/archq/archq.toml", queues=QUEUES), "laser", {})
    assert str(caught.value) == "there is no queue 'laser'; /etc/archq/archq.toml has archive, other, third"


def test_without_any_queue_the_configuration_is_what_is_missing() -> None:
    with pytest.raises(ConfigurationError, match=r"no queue is configured \(no configuration at \$ARCHQ_CONFIG, "):
        chosen_queue(Config(), None, {})


# On the command line.


def test_the_id_is_all_that_is_printed(instrument: Instrument) -> None:
    done = instrument.archq("submit", instrument.frame(), instrument.frame("img0002.fits"))
    assert (done.stdout, done.stderr) == ("request id is archive-1 (2 file(s))\n", "")


@pytest.mark.parametrize(
    ("words", "status", "message"),
    [
        (["/nowhere/x.fits"], 66, "cannot read /nowhere/x.fits: No such file or directory; nothing was queued"),
        (["/tmp"], 66, "/tmp is not a regular file; nothing was queued"),
        (["-d", "laser", "x"], 2, "there is no queue 'laser'; "),
        (["-o", "inst='mini", "x"], 2, "-o: no closing quotation"),
        (["-o", "maxftp=x", "x"], 2, "-o maxftp=x: not a number of seconds; 0 waits for ever"),
        (["-q", "0", "x"], 2, "invalid value for '-q'"),
        ([], 2, "no file was named: name files, or - for standard input"),
    ],
)
def test_wrong_words_are_told_in_one_line(instrument: Instrument, words: list[str], status: int, message: str) -> None:
    done = instrument.archq("submit", *words, status=status)
    assert done.stdout == ""
    assert done.stderr.startswith(f"archq: {message}")
    assert done.stderr.count("\n") == 1
    assert nothing_is_left(instrument)


def test_no_configuration_and_an_unknown_key_are_configuration_errors(instrument: Instrument) -> None:
    path = instrument.home / "archq.toml"
    text = path.read_text()
    path.write_text(text.replace("instrument =", "instrumnet ="))
    done = instrument.archq("submit", instrument.frame(), status=ExitStatus.CONFIGURATION)
    assert done.stderr == f"archq: {path}: [queue.archive] instrumnet: unknown key; did you mean instrument?\n"
    path.unlink()
    done = instrument.archq("submit", instrument.frame(), status=ExitStatus.CONFIGURATION)
    assert done.stderr == f"archq: cannot read the configuration {path}: No such file or directory\n"


def test_what_stays_on_this_machine_does(instrument: Instrument) -> None:
    remote = {"rempath": f"{instrument.home}/incoming-own", "remuser": "guest-of-honour", "rempw": "very-secret"}
    request = submitted(instrument, instrument.frame(), options=remote)
    kept = [path for path in Path(instrument.spool.root).rglob("*") if path.is_file()]
    telling = {path.name for path in kept for word in remote.values() if word.encode() in path.read_bytes()}
    assert telling == {"request"}
    [ticket] = [path for path in kept if path.name == "request"]
    assert stat.S_IMODE(ticket.stat().st_mode) == 0o600
    shown = [instrument.archq(*words).stdout for words in (["status"], ["status", "--json"], ["log"], ["queues"])]
    assert not [word for word in remote.values() if word in "".join(shown)]
    assert str(request) in shown[0]


# For programs.


def test_the_interface_is_small_and_loads_little() -> None:
    code = (
        "import sys, archq; archq.submit, archq.Request;"
        "print(sorted({'click', 'paramiko', 'tabulate', 'dateutil'} & set(sys.modules)), archq.__all__)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[] ['Request', '__version__', 'submit']\n"


def test_paths_may_be_text_paths_or_bytes(instrument: Instrument) -> None:
    frame = instrument.frame()
    found = controls(instrument, submitted(instrument, str(frame), frame, os.fsencode(frame)))
    assert {control.path for control in found} == {str(frame)}


def test_one_path_instead_of_a_list_is_an_error_that_says_so(instrument: Instrument) -> None:
    with pytest.raises(UsageError, match="submit takes a list of files: "):
        archq.submit(str(instrument.frame()), config=instrument.config)
    assert nothing_is_left(instrument)


@pytest.mark.parametrize(
    "options", ["inst=megacam,maxftp=60", ["inst=megacam", "maxftp=60"], {"INST": "megacam", "maxftp": 60}]
)
def test_options_may_be_a_text_several_or_a_mapping(instrument: Instrument, options: Any) -> None:
    [control] = controls(instrument, submitted(instrument, instrument.frame(), options=options))
    assert (control.instrument, control.options) == ("megacam", {"maxftp": "60"})


def test_whenever_a_submission_is_killed_all_of_it_is_queued_or_none(instrument: Instrument) -> None:
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    chance = random.Random(seed)
    frames = [instrument.frame(f"img000{number}.fits", chance.randbytes(200_000)) for number in range(3)]
    config = instrument.config
    for _ in range(25):
        child = os.fork()
        if child == 0:
            archq.submit(frames, config=config)
            os._exit(0)
        time.sleep(chance.uniform(0.0, 0.02))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
    requests = instrument.spool.requests(QUEUED)
    assert [len(controls(instrument, request)) for request in requests] == [3] * len(requests)
    assert len({request.number for request in requests}) == len(requests)
    assert list(check_spool(instrument.spool)) == []
