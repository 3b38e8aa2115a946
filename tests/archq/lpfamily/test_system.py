"""What is handed to the system's program arrives there as it came."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archq.lpfamily.system import GUARD, USUAL_PLACES

if TYPE_CHECKING:
    from tests.archq.lpfamily.conftest import Desk

RECORDER = """\
#!{python}
import json, os, sys
print(json.dumps({{
    "program": os.path.basename(sys.argv[0]),
    "words": sys.argv[1:],
    "input": sys.stdin.buffer.read().hex(),
    "variable": os.environ.get("VARIABLE"),
    "descriptors": sorted(os.listdir("/proc/self/fd")),
}}))
sys.exit(7)
"""
DATA = bytes(range(256))


@pytest.fixture
def recorder(desk: Desk) -> Path:
    """An lp of the system's that tells what it was given, and its brothers."""
    place = desk.home / "system"
    place.mkdir()
    for name in ("lp.site", "lpstat.site", "cancel.site", "lpmove.site"):
        (place / name).write_text(RECORDER.format(python=sys.executable))
        (place / name).chmod(0o755)
    desk.configure(f'lp.system = "{place}/lp.site"')
    return place


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("lp", ("-d", "other", "-o", "a=b c", "-Q", "", b"caf\xe9\n.txt", "--", "-x")),
        ("lp", ("-h", "server", "-d", "archive", "x")),
        ("lp", ("-dother", "-i", "5", "x")),
        ("lp", ("-i", "5", "-H", "resume")),
        ("lp", ("-i", "other-5", "-H", "resume")),
        ("lpstat", ("-lp", "other,second", "-Wall", "--", "x")),
        ("lpstat", ("-h", "server", "-o")),
        ("cancel", ("5", "other-6", "other", "-x", "-u", "me", "-e")),
        ("cancel", ("-h", "server", "-a")),
        ("cancel", ()),
        ("lpmove", ("other-5", "second")),
        ("lpmove", ("-Z",)),
    ],
)
def test_words_and_input_are_untouched(
    desk: Desk, recorder: Path, program: str, words: tuple[str | bytes, ...]
) -> None:
    done = desk.run(f"archq-{program}", *words, data=DATA, VARIABLE="a\nb")
    told = json.loads(done.stdout)
    plain = [word.decode(errors="surrogateescape") if isinstance(word, bytes) else word for word in words]
    assert (told["program"], told["words"]) == (f"{program}.site", plain)
    assert (bytes.fromhex(told["input"]), told["variable"]) == (DATA, "a\nb")
    assert done.returncode == 7


def test_no_descriptor_of_ours_is_inherited(desk: Desk, recorder: Path) -> None:
    theirs = desk.run(recorder / "lp.site", "-d", "other")
    handed = desk.run("archq-lp", "-d", "other")
    assert json.loads(handed.stdout)["descriptors"] == json.loads(theirs.stdout)["descriptors"]


def test_signals_that_python_ignores_are_not_ignored_by_the_system_s_program(desk: Desk) -> None:
    program = desk.home / "system-lp"
    program.write_text("#!/bin/sh\ngrep SigIgn /proc/self/status\n")
    program.chmod(0o755)
    desk.configure(f'lp.system = "{program}"')
    plainly = desk.run(program, path="/usr/bin:/bin").stdout  # whoever started the tests may ignore some, as make does
    assert desk.run("archq-lp", "-d", "other", path="/usr/bin:/bin").stdout == plainly


def test_ours_are_taken_out_of_what_is_handed_on(desk: Desk, recorder: Path) -> None:
    first, second = desk.submit(), desk.submit()
    done = desk.run("archq-cancel", "-x", first, "5", second, "other")
    assert json.loads(done.stdout)["words"] == ["-x", "5", "other"]
    done = desk.run(
        "archq-lpstat", "-l", "-o", "archive,other", "-p", "archive", "-W", "all", "-aother", "backups", "x"
    )
    listing = done.stdout.decode().rpartition("{")
    assert json.loads("".join(listing[1:]))["words"] == ["-l", "-o", "other", "-W", "all", "-a", "other", "x"]


def test_the_system_is_not_asked_for_what_is_ours_alone(desk: Desk, recorder: Path) -> None:
    request = desk.submit("-H", "hold")
    for words in (
        ("lpstat", "-o", "archive"),
        ("lpstat", "-l", "-W", "all", "-p", "archive"),
        ("lpstat", request),
        ("lpmove", request, "backups"),
        ("lp", "-i", request, "-q", "3"),
        ("cancel", request),
    ):
        done = desk.run(f"archq-{words[0]}", *words[1:])
        assert (done.returncode, done.stderr) == (0, b""), words


def test_a_program_that_comes_back_to_us_is_passed_over_the_second_time(desk: Desk) -> None:
    loop = desk.home / "loop"
    loop.mkdir()
    (loop / "lp").write_text('#!/bin/sh\necho once\narchq-lp "$@"\n')
    (loop / "lp").chmod(0o755)
    done = desk.run("archq-lp", "-d", "other", "x", path=f"{loop}:/usr/bin:/bin", CUPS_SERVER="127.0.0.1:1")
    assert done.stdout == b"once\n"
    assert b"Error - The printer or class does not exist." in done.stderr
    assert done.returncode == 1


def test_one_that_cannot_be_run_is_told(desk: Desk) -> None:
    program = desk.home / "lp"
    program.write_text("#!/no/such/interpreter\n")
    program.chmod(0o755)
    desk.configure(f'lp.system = "{program}"')
    done = desk.run("archq-lp", "-d", "other")
    message = f"archq-lp: Error - cannot run {program}: No such file or directory\n"
    assert (done.stderr.decode(), done.returncode) == (message, 1)


def test_without_a_program_of_the_system_s_the_message_says_what_there_is(desk: Desk) -> None:
    places = [Path(place, "lp") for place in USUAL_PLACES]
    known = " ".join(f"{lp.stat().st_dev}:{lp.stat().st_ino}" for lp in places if lp.exists())
    done = desk.run("archq-lp", "-d", "other", **{GUARD: known})
    assert done.stderr == (
        b"archq-lp: Error - The printer or class does not exist.  'other' is no queue "
        b"(archq has the queues archive, backups), and this machine has no other lp.\n"
    )
