"""Checksums agree with everybody else's, and the copy beside them is whole or an error."""

from __future__ import annotations

import _thread
import errno
import hashlib
import os
import resource
import subprocess
import sys
import threading
import tracemalloc
from typing import TYPE_CHECKING

import pytest

from archq import checksum
from archq.checksum import (
    Checksum,
    ReadError,
    UnknownAlgorithmError,
    checked_algorithm,
    copy_and_sum,
    new_hasher,
    parse_checksum,
    sum_file,
    write_all,
)
from archq.errors import ConfigurationError, ExitStatus, MalformedError
from tests.servers.process import wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LARGE = 1 << 21  # bytes: from here on a thread sums
CONTENT = bytes(range(256)) * 20_000  # 5 MB: several turns of the loop, the last one short
ALGORITHMS = ("sha256", "sha512", "md5", "blake3")


def threads() -> int:
    return len(os.listdir("/proc/self/task"))


@pytest.fixture(params=["one after the other", "in a thread"])
def source(tmp_path: Path, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """Lend a file that is read and summed in either of the two ways; no thread is left behind."""
    monkeypatch.setattr(checksum, "_LARGE", 1 if request.param == "in a thread" else len(CONTENT) + 1)
    before = threads()
    path = tmp_path / "source"
    path.write_bytes(CONTENT)
    descriptor = os.open(path, os.O_RDONLY)
    yield descriptor
    os.close(descriptor)
    wait_until(lambda: threads() == before, "the thread is gone")


@pytest.mark.parametrize(
    ("algorithm", "digest"),
    [
        ("md5", "900150983cd24fb0d6963f7d28e17f72"),
        ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ("blake3", "6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85"),
        (
            "sha512",
            (
                "ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a"
                "2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f"
            ),
        ),
    ],
)
def test_the_sum_of_abc_is_the_one_its_standard_gives(algorithm: str, digest: str, tmp_path: Path) -> None:
    (tmp_path / "abc").write_bytes(b"abc")
    with (tmp_path / "abc").open("rb") as file:
        assert sum_file(file.fileno(), algorithm) == (3, Checksum(algorithm, digest))


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_every_algorithm_survives_as_text(algorithm: str) -> None:
    whole = Checksum(checked_algorithm(algorithm), new_hasher(algorithm).hexdigest())
    assert parse_checksum(str(whole)) == whole


def test_a_copy_is_whole_and_its_sum_is_the_sources(source: int, tmp_path: Path) -> None:
    with (tmp_path / "copy").open("wb", buffering=0) as target:
        size, summed = copy_and_sum(source, target.fileno())
    assert (tmp_path / "copy").read_bytes() == CONTENT
    assert size == len(CONTENT)
    assert summed == Checksum("sha256", hashlib.sha256(CONTENT).hexdigest())


def test_a_sum_begins_where_the_file_stands(source: int) -> None:
    os.lseek(source, 1000, os.SEEK_SET)
    assert sum_file(source, "md5") == (
        len(CONTENT) - 1000,
        Checksum("md5", hashlib.md5(CONTENT[1000:]).hexdigest()),
    )


def test_every_step_is_seen(source: int) -> None:
    steps: list[int] = []
    sum_file(source, seen=steps.append)
    assert (sum(steps), len(steps)) == (len(CONTENT), 20)


def test_what_comes_through_a_pipe_is_read_in_steps_as_large_as_it_holds() -> None:
    reader, writer = os.pipe()
    os.write(writer, CONTENT[:65_536])
    os.close(writer)
    steps: list[int] = []
    sum_file(reader, seen=steps.append)
    os.close(reader)
    assert steps == [65_536]


def test_an_error_of_writing_in_the_midst_of_a_copy_ends_it(source: int) -> None:
    reader, writer = os.pipe()
    thread = threading.Thread(target=lambda: (os.read(reader, 100_000), os.close(reader)))
    thread.start()
    try:
        with pytest.raises(BrokenPipeError):
            copy_and_sum(source, writer)
    finally:
        os.close(writer)
        thread.join()


def test_an_error_of_reading_is_told_from_one_of_writing(
    source: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(_source: int, _buffers: list[memoryview]) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(checksum.os, "readv", fail)
    with (tmp_path / "copy").open("wb") as target, pytest.raises(ReadError, match="Input/output error"):
        copy_and_sum(source, target.fileno())


@pytest.fixture
def large(tmp_path: Path) -> Iterator[int]:
    """A file that is summed by a thread."""
    with (tmp_path / "large").open("w+b") as file:
        file.truncate(LARGE)
        yield file.fileno()


def test_a_large_file_is_summed_where_no_thread_can_be_had(large: int, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_words: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(_thread, "start_new_thread", refuse)
    assert sum_file(large) == (LARGE, Checksum("sha256", hashlib.sha256(bytes(LARGE)).hexdigest()))


INTERRUPTED = """
import _thread
start = _thread.start_new_thread
def interrupted(*words):
    start(*words)
    raise KeyboardInterrupt
_thread.start_new_thread = interrupted
from archq.checksum import sum_file
with open({path!r}) as file:
    sum_file(file.fileno())
"""


def test_an_interrupt_while_a_thread_is_started_leaves_none_that_is_waited_for(tmp_path: Path) -> None:
    path = tmp_path / "large"
    path.touch()
    os.truncate(path, LARGE)
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED.format(path=str(path))], timeout=20, capture_output=True, text=True
    )
    assert done.stderr.endswith("KeyboardInterrupt\n")


@pytest.mark.parametrize("nth", [1, LARGE >> 18])
def test_an_error_of_summing_beside_is_no_wrong_sum_and_not_waited_for(
    large: int, monkeypatch: pytest.MonkeyPatch, nth: int
) -> None:
    class Failing:
        updates = 0

        def update(self, _data: memoryview) -> None:
            self.updates += 1
            if self.updates == nth:
                raise MemoryError("no room for a digest")

        def hexdigest(self) -> str:
            return "wrong"

    monkeypatch.setattr(checksum, "new_hasher", lambda *_: Failing())
    with pytest.raises(MemoryError, match="no room for a digest"):
        sum_file(large)


@pytest.mark.parametrize("size", [0, 1000, 1 << 18, (1 << 18) + 1])
def test_the_sum_does_not_depend_on_whose_module_sums(tmp_path: Path, size: int) -> None:
    (tmp_path / "file").write_bytes(CONTENT[:size])
    script = (
        "import os, sys\n"
        "from archq.checksum import sum_file\n"
        "print(sum_file(os.open(sys.argv[1], os.O_RDONLY))[1], 'hashlib' in sys.modules)\n"
    )
    told = subprocess.run([sys.executable, "-c", script, tmp_path / "file"], capture_output=True, text=True, check=True)
    assert told.stdout == f"sha256:{hashlib.sha256(CONTENT[:size]).hexdigest()} {size > 1 << 18}\n"


def test_an_empty_file_has_a_sum_too(tmp_path: Path) -> None:
    (tmp_path / "empty").touch()
    with (tmp_path / "empty").open("rb") as file:
        assert sum_file(file.fileno()) == (0, Checksum("sha256", hashlib.sha256().hexdigest()))


def test_short_writes_are_gone_on_with(source: int) -> None:
    reader, writer = os.pipe()  # it holds 64 KiB, a chunk is larger
    received = bytearray()

    def receive() -> None:
        while some := os.read(reader, 10_000):
            received.extend(some)

    thread = threading.Thread(target=receive)
    thread.start()
    try:
        copy_and_sum(source, writer)
    finally:
        os.close(writer)
        thread.join()
        os.close(reader)
    assert received == CONTENT


def test_every_byte_is_written_however_few_each_write_takes(monkeypatch: pytest.MonkeyPatch) -> None:
    taken = bytearray()

    def take_seven(_target: int, data: memoryview) -> int:
        taken.extend(data[:7])
        return len(data[:7])

    monkeypatch.setattr(checksum.os, "write", take_seven)
    write_all(-1, CONTENT[:1000])
    assert taken == CONTENT[:1000]


def test_a_limit_on_the_size_of_files_is_an_error_and_no_short_copy(tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(CONTENT)
    script = (
        "import os, sys\n"
        "from archq.checksum import copy_and_sum\n"
        "source, target = os.open(sys.argv[1], os.O_RDONLY), os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT)\n"
        "try:\n"
        "    copy_and_sum(source, target)\n"
        "except OSError as error:\n"
        "    print(error.errno, os.fstat(target).st_size)\n"
    )
    limit = 3_000_001
    printed = subprocess.check_output(
        [sys.executable, "-c", script, tmp_path / "source", tmp_path / "copy"],
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit)),
        text=True,
    )
    assert printed == f"{errno.EFBIG} {limit}\n"


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    with (tmp_path / "sparse").open("wb+") as file:
        file.truncate(64 << 20)
        tracemalloc.start()
        try:
            assert sum_file(file.fileno(), "md5")[0] == 64 << 20
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
    assert peak < 10 << 20


@pytest.mark.parametrize("text", ["", "sha256", "9f86", ":9f86", "sha 256:00", "\n:00", "../x:00"])
def test_what_has_no_algorithm_is_malformed(text: str) -> None:
    with pytest.raises(MalformedError, match=r"^not a checksum such as sha256:9f86…: "):
        parse_checksum(text)


@pytest.mark.parametrize(
    "digest", ["", "0" * 63, "0" * 65, "0" * 63 + "A", "0" * 63 + "g", "0" * 63 + "\n", "0" * 63 + "\u0661"]
)
def test_what_is_nearly_a_digest_is_malformed(digest: str) -> None:
    with pytest.raises(MalformedError, match=r"^not a digest of sha256: "):
        parse_checksum(f"sha256:{digest}")


@pytest.mark.parametrize("algorithm", ["sha3-256", "SHA256", "sha1", "crc32c", "blake2b_512"])
def test_an_unknown_algorithm_may_be_known_to_a_newer_archq(algorithm: str) -> None:
    with pytest.raises(UnknownAlgorithmError, match=f"^unknown checksum algorithm '{algorithm}': ") as caught:
        parse_checksum(f"{algorithm}:00")
    assert caught.value.status is ExitStatus.TEMPORARY


def test_an_algorithm_that_is_configured_has_to_be_known() -> None:
    with pytest.raises(
        ConfigurationError, match=r"^unknown checksum algorithm 'crc': use one of sha256, sha512, md5, blake3$"
    ):
        checked_algorithm("crc")


def test_an_algorithm_whose_library_is_missing_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "blake3", None)
    with pytest.raises(
        ConfigurationError, match=r"^the checksum blake3 needs its library: pip install 'archq\[blake3\]'$"
    ):
        checked_algorithm("blake3")
