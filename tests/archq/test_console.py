"""Whatever happens, a user sees one line and a status that says what it was."""

from __future__ import annotations

import errno
import os
import re
import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import click
import pytest

from archq import errors
from archq.console import complain, printable, run, run_click
from archq.errors import ArchqError, ExitStatus

if TYPE_CHECKING:
    from collections.abc import Callable

ERRORS = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, ArchqError)]


def raising(error: BaseException) -> Callable[[], int | None]:
    def main() -> int | None:
        raise error

    return main


@pytest.mark.parametrize("error", ERRORS)
def test_an_error_becomes_its_status_and_one_line(error: type[ArchqError], capsys: pytest.CaptureFixture[str]) -> None:
    assert run("archq", raising(error("the spool is gone: make it again"))) == error.status
    assert capsys.readouterr() == ("", "archq: the spool is gone: make it again\n")


@pytest.mark.parametrize(("returned", "status"), [(None, 0), (0, 0), (3, 3), (ExitStatus.TEMPORARY, 75)])
def test_a_program_that_ends_by_itself_says_its_status(returned: int | None, status: int) -> None:
    assert run("archq", lambda: returned) == status


def test_an_error_of_the_system_names_the_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("archq", lambda: os.mkdir("/nowhere/at/all")) == ExitStatus.NO_INPUT
    assert capsys.readouterr().err == "archq: cannot use /nowhere/at/all: No such file or directory\n"


def test_an_error_of_the_system_without_a_file_is_told_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("archq", raising(OSError(errno.ENOSPC, "No space left on device"))) == ExitStatus.TEMPORARY
    assert capsys.readouterr().err == "archq: cannot go on: No space left on device\n"


def test_our_own_bug_is_called_so_without_a_traceback(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("ARCHQ_DEBUG", raising=False)
    assert run("archq", raising(KeyError("x\ny"))) == ExitStatus.BUG
    assert capsys.readouterr().err == (
        "archq: our own bug: KeyError: 'x\\ny'; please report it (ARCHQ_DEBUG=1 shows where)\n"
    )


def test_a_developer_may_see_where_our_bug_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ARCHQ_DEBUG", "1")
    with pytest.raises(KeyError):
        run("archq", raising(KeyError("x")))


def test_an_interrupt_is_told_by_its_status(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("archq", raising(KeyboardInterrupt())) == ExitStatus.INTERRUPTED
    assert capsys.readouterr().err == "archq: interrupted\n"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain café 🔭", "plain café 🔭"),
        ("a\nb\rc\td", r"a\nb\rc\td"),
        ("\x1b[2J", r"\x1b[2J"),
        ("a\u202eb", r"a\u202eb"),
        ("a\u2028b\x85c", r"a\u2028b\x85c"),
        (os.fsdecode(b"caf\xe9"), r"caf\udce9"),
        ("\x00\x7f\u200b", r"\x00\x7f\u200b"),
    ],
)
def test_what_could_steer_a_terminal_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_a_name_in_a_message_cannot_forge_a_second_one(capsys: pytest.CaptureFixture[str]) -> None:
    complain("sweeper", "cannot read x\nsweeper: all is well\x1b[1A")
    assert capsys.readouterr().err == "sweeper: cannot read x\\nsweeper: all is well\\x1b[1A\n"


@click.group()
def program() -> None:
    """Stand for any of the three."""


@program.command()
@click.argument("count", type=click.IntRange(1, 100))
@click.option("--mode", type=click.Choice(["full", "upload-only"]), required=True)
@click.option("--least", type=click.IntRange(1), default=1)
@click.option("--share", type=float, default=0.0)
def work(count: int, mode: str, least: int, share: float) -> int:
    """Return what was asked for."""
    if count == 13:
        raise errors.TemporaryError("no room")
    if count == 14:
        raise EOFError("cut off")
    if count == 15:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")
    if count == 16:
        raise KeyboardInterrupt
    if count == 17:
        raise click.Abort
    return count


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["work"], r"missing argument 'COUNT' \(see archq work --help\)"),
        (["work", "x", "--mode", "full"], r"invalid value for 'COUNT': 'x' is not a whole number \(see .*\)"),
        (["work", "0", "--mode", "full"], r"invalid value for 'COUNT': 0 is not from 1 to 100 \(see .*\)"),
        (
            ["work", "1", "--mode", "full", "--least", "0"],
            r"invalid value for '--least': 0 is not 1 or more \(see .*\)",
        ),
        (
            ["work", "1", "--mode", "full", "--share", "x"],
            r"invalid value for '--share': 'x' is not a number \(see .*\)",
        ),
        (["work", "1", "--mode", "full", "--nonsense"], r"no such option:? .*--nonsense.* \(see archq work --help\)"),
        (["work", "1", "--mode", "full", "-\x1b"], r"no such option:? .*-\\x1b.* \(see archq work --help\)"),
        (["work", "1"], r"missing option '--mode'. Choose from: full, upload-only \(see archq work --help\)"),
        (["play"], r"no such command 'play' \(see archq --help\)"),
    ],
)
def test_wrong_words_are_a_usage_error_in_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_click("archq", program, words) == ExitStatus.USAGE
    out, err = capsys.readouterr()
    assert out == ""
    assert re.fullmatch(f"archq: {message}\n", err)


def test_no_words_at_all_show_the_help_and_are_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_click("archq", program, []) == ExitStatus.USAGE
    out, err = capsys.readouterr()
    assert "Stand for any of the three." in out + err


def test_help_is_no_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_click("archq", program, ["work", "--help"]) == ExitStatus.DONE
    assert "Usage: archq work [OPTIONS] COUNT" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("count", "status", "message"),
    [
        (5, 5, ""),
        (13, 75, "archq: no room\n"),
        (14, 70, "archq: our own bug: EOFError: cut off; please report it (ARCHQ_DEBUG=1 shows where)\n"),
        (15, 74, "archq: cannot go on: Broken pipe\n"),
        (16, 130, "archq: interrupted\n"),
        (17, 130, "archq: interrupted\n"),
    ],
)
def test_what_a_command_does_is_told_as_without_click(
    count: int, status: int, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_click("archq", program, ["work", str(count), "--mode", "full"]) == status
    assert capsys.readouterr().err == message


# What follows needs a process of its own, with its own standard streams.

HEAD = "import sys, time, click; from archq import console; from archq.errors import *\n"
RUN = "\nsys.exit(console.run('archq', main))"
SAY = f"{HEAD}def main(): print('said ' * {{times}}){RUN}"
FAIL = f"{HEAD}def main(): raise TemporaryError('no room'){RUN}"
BROKEN = f"{HEAD}def main(): raise BrokenPipeError(32, 'Broken pipe'){RUN}"
# In short steps: a signal that comes just before a sleep begins is noticed after it.
SLEEP = f"{HEAD}def main(): print('on', flush=True); [time.sleep(0.1) for _ in range(600)]{RUN}"
CLICK = f"{HEAD}@click.command()\ndef main(): click.echo('said')\nsys.exit(console.run_click('archq', main))"


def process(script: str, **streams: object) -> subprocess.CompletedProcess[str]:
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE} | streams
    return subprocess.run([sys.executable, "-c", script], text=True, check=False, **streams)


@pytest.fixture
def left_pipe():
    reader, writer = os.pipe()
    os.close(reader)
    yield writer
    os.close(writer)


@pytest.mark.parametrize("script", [SAY.format(times=1), SAY.format(times=100_000), CLICK])
@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_left_ends_a_program_quietly(
    script: str, unbuffered: str, left_pipe: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONUNBUFFERED", unbuffered)
    done = process(script, stdout=left_pipe)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_broken_pipe_that_is_not_our_output_is_no_success() -> None:
    done = process(BROKEN)
    assert (done.returncode, done.stderr) == (74, "archq: cannot go on: Broken pipe\n")


@pytest.mark.parametrize("times", [1, 100_000])
def test_output_that_cannot_be_written_is_an_error_in_one_line(times: int) -> None:
    with open("/dev/full", "w") as full:
        done = process(SAY.format(times=times), stdout=full)
    assert done.returncode == ExitStatus.TEMPORARY
    assert done.stderr in {
        "archq: cannot write standard output: No space left on device\n",
        "archq: cannot go on: No space left on device\n",
    }


def test_an_error_that_nobody_can_be_told_keeps_its_status(left_pipe: int) -> None:
    assert process(FAIL, stderr=left_pipe).returncode == ExitStatus.TEMPORARY
    with open("/dev/full", "w") as full:
        assert process(FAIL, stderr=full).returncode == ExitStatus.TEMPORARY


def test_an_error_does_not_go_to_the_output_when_standard_error_is_closed() -> None:
    done = process(FAIL, preexec_fn=lambda: os.close(2))
    assert (done.returncode, done.stdout) == (ExitStatus.TEMPORARY, "")


def test_a_sign_that_the_encoding_lacks_is_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONIOENCODING", "latin-1")
    done = process(f"{HEAD}def main():\n print('é → 🔭…')\n raise TemporaryError('→ 🔭'){RUN}", encoding="latin-1")
    assert (done.stdout, done.stderr) == ("é -> \\U0001f52d...\n", "archq: -> \\U0001f52d\n")
    assert done.returncode == ExitStatus.TEMPORARY


def test_a_program_without_standard_output_still_ends_well() -> None:
    done = process(SAY.format(times=1), preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, "")


def test_control_c_ends_a_program_with_its_status() -> None:
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    with subprocess.Popen([sys.executable, "-c", SLEEP], text=True, **pipes) as going:
        assert going.stdout
        assert going.stderr
        assert going.stdout.readline() == "on\n"
        going.send_signal(signal.SIGINT)
        assert going.stderr.read() == "archq: interrupted\n"
    assert going.returncode == ExitStatus.INTERRUPTED


def test_a_shell_may_ask_what_could_come_next(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_ARCHQ_COMPLETE", "bash_source")
    assert "complete" in process(CLICK).stdout
