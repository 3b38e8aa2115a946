"""The drop-ins beside a real CUPS: what is not ours still prints, and our words are those of the real programs."""

from __future__ import annotations

import os
import re
import time
from typing import TYPE_CHECKING

import pytest

from tests.archq.lpfamily.conftest import PROGRAMS, Desk

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Callable

    from tests.servers.cups import Cups

    Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def beside(desk: Desk, system: Cups) -> Run:
    """Run a program of ours where CUPS is installed too."""

    def run(*words: str, path: str = str(system.programs), **more: str) -> subprocess.CompletedProcess[bytes]:
        return desk.run(*words, path=path, **{**system.variables, **more})

    return run


def real(system: Cups, desk: Desk, program: str, *words: str) -> tuple[str, int]:
    done = system.run(program, *words, cwd=desk.home)
    return done.stderr.decode(), done.returncode


def ours(desk: Desk, program: str, *words: str) -> tuple[str, int]:
    """Run ours where the system's programs cannot be found; the name of the program is as if it were linked."""
    done = desk.run(f"archq-{program}", *words)
    assert done.stdout == b""
    return done.stderr.decode().replace("archq-", ""), done.returncode


def as_ours(said: tuple[str, int]) -> tuple[str, int]:
    return said[0].replace("printer-", "archive-"), said[1]


def test_another_destination_still_prints(desk: Desk, system: Cups, beside: Run) -> None:
    text = f"a page at {time.time_ns()}\n"
    (desk.home / "page.txt").write_text(text)
    done = beside("archq-lp", "-d", "printer", "-t", "a title", "page.txt")
    assert (done.stderr, done.returncode) == (b"", 0)
    assert done.stdout.startswith(b"request id is printer-")
    assert system.has_printed("printer", text.encode())
    assert desk.queued() == []


def test_standard_input_still_prints(desk: Desk, system: Cups) -> None:
    text = f"a page at {time.time_ns()}\n".encode()
    done = desk.run("archq-lp", "-d", "printer", data=text, path=str(system.programs), **system.variables)
    assert (done.stderr, done.returncode) == (b"", 0)
    assert system.has_printed("printer", text)


def test_a_queue_of_ours_is_ours(desk: Desk, beside: Run) -> None:
    done = beside("archq-lp", "-d", "archive", "-o", "inst=minicam,maxftp=60", "img0001.fits")
    assert (done.stdout, done.stderr) == (b"request id is archive-1 (1 file(s))\n", b"")
    assert desk.files("archive-1")[0].control.instrument == "minicam"


@pytest.mark.parametrize(
    ("variables", "default", "destination"),
    [
        ({"LPDEST": "second", "PRINTER": "archive"}, "archive", "second"),
        ({"LPDEST": "archive", "PRINTER": "second"}, None, "archive"),
        ({"PRINTER": "second"}, "archive", "second"),
        ({"PRINTER": "lp"}, "archive", "archive"),
        ({}, "archive", "archive"),
        ({"LPDEST": "second"}, None, "second"),
    ],
)
def test_the_environment_names_a_queue_or_a_printer(
    desk: Desk, beside: Run, variables: dict[str, str], default: str | None, destination: str
) -> None:
    desk.configure(*([f'default = "{default}"'] if default else []))
    done = beside("archq-lp", "img0001.fits", **variables)
    assert done.stdout.startswith(f"request id is {destination}-".encode()), done.stderr


def test_without_a_default_of_ours_the_system_s_counts(desk: Desk, system: Cups, beside: Run) -> None:
    done = beside("archq-lp", "img0001.fits")
    assert (done.stderr, done.returncode) == (b"lp: Error - No default destination.\n", 1)


def test_a_print_server_is_the_system_s(desk: Desk, system: Cups, beside: Run) -> None:
    done = beside("archq-lp", "-h", system.variables["CUPS_SERVER"], "-d", "archive", "img0001.fits")
    assert (done.stderr, done.returncode) == (b"lp: Error - The printer or class does not exist.\n", 1)
    assert desk.queued() == []


MISTAKES = [
    ("missing",),
    ("img0001.fits", "missing"),
    ("img0001.fits", "-"),
    ("-q", "0", "img0001.fits"),
    ("-q", "101", "img0001.fits"),
    ("-q", "high", "img0001.fits"),
    ("-p", "0", "img0001.fits"),
    ("-n", "0", "img0001.fits"),
    ("-n", "many", "img0001.fits"),
    ("-Z", "img0001.fits"),
    ("-sZ", "img0001.fits"),
    ("--long", "img0001.fits"),
    ("--", "-q"),
    (),
    ("-",),
    *((f"-{letter}",) for letter in "fHnopPqStTUy"),
    ("-f", "form", "img0001.fits"),
    ("-S", "ascii", "img0001.fits"),
    ("-T", "text", "img0001.fits"),
    ("-y", "mode", "img0001.fits"),
]


@pytest.mark.parametrize("words", MISTAKES, ids=" ".join)
def test_lp_says_what_the_real_lp_says(desk: Desk, system: Cups, words: tuple[str, ...]) -> None:
    said = ours(desk, "lp", "-s", "-d", "archive", *words)
    assert said == as_ours(real(system, desk, "bin/lp", "-s", "-d", "printer", *words))


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("bin/lp", ("-d", "nowhere-999", "img0001.fits")),
        ("bin/lp", ("-i", "printer-999", "-q", "1")),
        ("bin/lpstat", ("-o", "nowhere")),
        ("bin/lpstat", ("-p", "nowhere")),
        ("bin/lpstat", ("-a", "nowhere")),
        ("bin/lpstat", ("-v", "nowhere")),
        ("bin/lpstat", ("-W", "soon")),
        ("bin/lpstat", ("-W",)),
        ("bin/lpstat", ("-Z",)),
        ("bin/lpstat", ("-u", "nobody")),
        ("bin/cancel", ("printer-999",)),
        ("bin/cancel", ("nowhere",)),
        ("bin/cancel", ("nowhere-999",)),
        ("bin/cancel", ("-u",)),
        ("bin/cancel", ("-Z",)),
        ("bin/cancel", ()),
        ("sbin/lpmove", ("printer-999", "second")),
    ],
)
def test_the_family_says_what_the_real_one_says(desk: Desk, system: Cups, program: str, words: tuple[str, ...]) -> None:
    translated = [word.replace("printer", "archive").replace("second", "backups") for word in words]
    message, status = ours(desk, os.path.basename(program), *translated)
    expected, expected_status = as_ours(real(system, desk, program, *words))
    assert (message[: len(expected.rstrip())], status) == (expected.rstrip(), expected_status)


@pytest.mark.parametrize("words", [("-o",), ("-R",), ("-v",), ("-a",), ("-p",), ("-e",), ("-u",), ()], ids=" ".join)
def test_lpstat_shows_what_the_real_lpstat_shows(desk: Desk, system: Cups, words: tuple[str, ...]) -> None:
    """Columns and words are the same; numbers, dates and devices are as they are."""
    desk.submit("-H", "hold")
    system.run("bin/lp", "-s", "-d", "printer", "-H", "hold", desk.frame)
    mine = desk.run("archq-lpstat", *words).stdout.decode().split("\n")[0]
    theirs = system.run("bin/lpstat", *words).stdout.decode().split("\n")[0]
    # In "printer printer is idle" only the second is a name.
    assert without_facts(mine) == without_facts(re.sub(r"printer(?! printer)", "archive", theirs))


def without_facts(line: str) -> str:
    """Give a line with its columns, but without what differs from one request or printer to another."""
    line = re.sub(r"\b(archive-)\d+ *", lambda match: match[1].ljust(len(match[0])), line)
    return re.sub(r"\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}|\w+:/\S+", "…", line)


def names(listed: bytes) -> list[str]:
    """Give the destinations of the jobs that lpstat listed."""
    return [line.split()[0].rpartition("-")[0] for line in listed.decode().split("\n")[:-1]]


def test_lpstat_shows_ours_and_then_the_system_s(desk: Desk, system: Cups, beside: Run) -> None:
    desk.configure('default = "archive"')
    desk.submit()
    system.run("bin/lp", "-s", "-d", "printer", "-H", "hold", desk.frame)
    assert names(beside("archq-lpstat", "-o").stdout) == ["archive", "printer"]
    summary = beside("archq-lpstat", "-t").stdout.decode()
    assert summary.count("default destination") == 1
    assert "system default destination: archive\n" in summary
    assert summary.count("scheduler is running\n") == 1
    assert [line.split()[2].rstrip(":") for line in summary.split("\n") if line.startswith("device for ")] == [
        "archive",
        "backups",
        "printer",
        "second",
    ]


@pytest.mark.parametrize(
    ("words", "found"),
    [
        (("-o", "archive"), ["archive"]),
        (("-o", "printer"), ["printer"]),
        (("-o", "printer,archive"), ["archive", "printer"]),
        (("archive", "printer"), ["archive", "printer"]),
        (("-o", "second"), []),
        (("-W", "completed", "-o", "archive"), []),
    ],
)
def test_lpstat_shows_each_destination_from_its_own_side(
    desk: Desk, system: Cups, beside: Run, words: tuple[str, ...], found: list[str]
) -> None:
    desk.submit()
    system.run("bin/lp", "-s", "-d", "printer", "-H", "hold", desk.frame)
    done = beside("archq-lpstat", *words)
    assert names(done.stdout) == found
    assert (done.stderr, done.returncode) == (b"", 0)


def test_lpstat_passes_the_system_s_error_on(desk: Desk, beside: Run) -> None:
    done = beside("archq-lpstat", "-o", "archive,nowhere")
    assert (done.stderr, done.returncode) == (b'lpstat: Invalid destination name in list "nowhere".\n', 1)


def test_cancel_takes_ours_and_the_system_s(desk: Desk, system: Cups, beside: Run) -> None:
    request = desk.submit()
    theirs = system.run("bin/lp", "-d", "printer", "-H", "hold", desk.frame).stdout.decode().split()[3]
    done = beside("archq-cancel", theirs, request)
    assert (done.stdout, done.stderr, done.returncode) == (b"", b"", 0)
    assert desk.queued() == []
    assert system.run("bin/lpstat", "-o").stdout == b""


def test_cancel_of_everything_is_everything(desk: Desk, system: Cups, beside: Run) -> None:
    desk.submit()
    system.run("bin/lp", "-s", "-d", "printer", "-H", "hold", desk.frame)
    assert beside("archq-cancel", "-a").returncode == 0
    assert desk.queued() == []
    assert system.run("bin/lpstat", "-o").stdout == b""


def test_lpmove_moves_the_system_s_jobs(desk: Desk, system: Cups, beside: Run) -> None:
    job = system.run("bin/lp", "-d", "printer", "-H", "hold", desk.frame).stdout.decode().split()[3]
    places = f"{system.programs}:{system.programs.parent}/sbin"
    done = beside("archq-lpmove", job, "second", path=places)
    assert (done.stderr, done.returncode) == (b"", 0)
    assert system.run("bin/lpstat", "-o", "second").stdout.startswith(b"second-")


def linked(desk: Desk, target: str, name: str) -> None:
    os.symlink(target, desk.home / "linked" / name)


def hard_linked(desk: Desk, target: str, name: str) -> None:
    os.link(target, desk.home / "linked" / name)


def copied(desk: Desk, target: str, name: str) -> None:
    script(desk, name, (desk.bin / os.path.basename(target)).read_text())


def wrapped(desk: Desk, target: str, name: str) -> None:
    script(desk, name, f'#!/bin/sh\nexec {target} "$@"\n')


def called(desk: Desk, target: str, name: str) -> None:
    script(desk, name, f'#!/bin/sh\n{target} "$@"\n')


def script(desk: Desk, name: str, text: str) -> None:
    path = desk.home / "linked" / name
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize("install", [linked, hard_linked, copied, wrapped, called])
def test_installed_as_lp_before_the_system_s_it_never_runs_itself(
    desk: Desk, system: Cups, beside: Run, install: Callable[[Desk, str, str], None]
) -> None:
    (desk.home / "linked").mkdir()
    for program in PROGRAMS:
        install(desk, str(desk.bin / f"archq-{program}"), program)
    path = f"{desk.home}/linked:{system.programs}"
    text = f"{install.__name__} {time.time_ns()}\n"
    (desk.home / "page.txt").write_text(text)
    done = beside("lp", "-d", "printer", "page.txt", path=path)
    assert (done.stderr, done.returncode) == (b"", 0)
    assert system.has_printed("printer", text.encode())
    assert beside("lp", "-d", "archive", "page.txt", path=path).stdout == b"request id is archive-1 (1 file(s))\n"
    assert beside("lpstat", "-e", path=path).stdout == b"archive\nbackups\nprinter\nsecond\n"
    assert beside("cancel", "archive-1", path=path).returncode == 0


@pytest.mark.parametrize("install", [linked, hard_linked, copied, wrapped, called])
def test_where_there_are_only_ours_it_ends(desk: Desk, system: Cups, install: Callable[[Desk, str, str], None]) -> None:
    (desk.home / "linked").mkdir()
    install(desk, str(desk.bin / "archq-lp"), "lp")
    desk.configure(f'lp.system = "{desk.home}/linked/lp"')
    for name in ("lp", "archq-lp"):
        done = desk.run(name, "-d", "printer", desk.frame, path=f"{desk.home}/linked", CUPS_SERVER="127.0.0.1:1")
        assert b"Error - The printer or class does not exist." in done.stderr
        assert done.returncode == 1
