"""What the tabulator key gives: by click's protocol, as each shell speaks it, and in the real shells."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click
import pytest

from archq.changes import cancel
from archq.commands import cli
from archq.completion import BY_METAVAR, PROGRAMS, SHELLS, script
from logsum.commands import command as logsum_command
from sweeper.cli import command as sweeper_command
from tests.archq.instrument import Instrument
from tests.requirements import require
from tests.servers.debian import CACHE
from tests.terminal import Typist
from tests.tools import located, tool

if TYPE_CHECKING:
    from collections.abc import Iterator

ARCHIVES = """
[instrument.hectospec]
directory = "/data/spec"
aliases = ["spec"]
"""
SCRIPTS = Path(sys.executable).parent

# What only its user knows: there is nothing to suggest.
FREE = {
    *("1,2,4,8|auto", "1..100", "ACCOUNT", "COMMAND", "DAYS", "DURATION", "GROUP", "HH:MM", "HOURS", "N", "NAME"),
    *(
        "REASON",
        "SECONDS",
        "SHA256:…",
        "TITLE",
        "URL",
        "WHEN",
        "YYYY-MM",
        "YYYY-MM-DD",
        "ZONE",
        "dir=NAME",
        "shell",
        "",
    ),
}
REQUESTS = {"REQUEST…", "[REQUEST]…", "REQUEST|QUEUE"}


@pytest.fixture
def instrument(tmp_path: Path) -> Instrument:
    instrument = Instrument.at(tmp_path)
    with (tmp_path / "archq.toml").open("a") as configuration:
        configuration.write(ARCHIVES)
    return instrument


def asked(instrument: Instrument, line: str, shell: str = "zsh") -> list[str]:
    """Return what completes ``line``, the last word of which is not yet whole, as ``shell`` is told."""
    program, _, _ = line.partition(" ")
    package = {"archq": "archq", "lpsweeper": "sweeper"}.get(program, program)
    words = {"COMP_WORDS": line, "COMP_CWORD": incomplete_of(line) if shell == "fish" else str(line.count(" "))}
    done = subprocess.run(
        [sys.executable, "-c", f"from {package}.cli import main; main()"],
        env={**instrument.environment, PROGRAMS[program]: f"{shell}_complete", **words},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return values(done.stdout, shell)


def incomplete_of(line: str) -> str:
    return line.rpartition(" ")[2]


def values(answer: str, shell: str) -> list[str]:
    if shell == "zsh":  # three lines for each: kind, value, help
        return answer.splitlines()[1::3]
    rest = [line.partition(",")[2] if shell == "bash" else line for line in answer.splitlines()]
    return rest if shell == "bash" else fish_values(rest)


def fish_values(lines: list[str]) -> list[str]:
    """Return the values: kind, value and help are a line each in newer versions of click, one line in older ones."""
    if any(line in {"plain", "file", "dir"} for line in lines):
        return lines[1::3]
    return [line.partition(",")[2].partition("\t")[0] for line in lines]


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_is_told_requests_queues_and_instruments(shell: str, instrument: Instrument) -> None:
    instrument.submit(options=("inst=minicam",))
    assert asked(instrument, "archq status a", shell) == ["archive-1"]
    assert asked(instrument, "archq ship -d o", shell) == ["other"]
    assert asked(instrument, "sweeper -i m", shell) == ["megacam", "minicam"]


def test_each_command_is_told_the_requests_that_it_can_do_something_with(instrument: Instrument) -> None:
    for _ in range(11):
        instrument.submit(options=("inst=minicam",))
    cancel(instrument.spool, instrument.spool.requests("queued")[0])
    waiting = [f"archive-{number}" for number in range(2, 12)]
    for line in ("archq release ", "archq hold "):
        assert asked(instrument, line) == waiting
    for line in ("archq status ", "archq retry ", "archq log "):
        assert asked(instrument, line) == ["archive-1", *waiting]
    assert asked(instrument, "archq hold archive-1") == ["archive-10", "archive-11"]
    assert asked(instrument, "archq move ") == [*waiting, "archive", "other"]
    assert asked(instrument, "archq move archive-2 ") == ["archive", "other"]


def test_instruments_have_their_aliases_and_all_of_them_are_all(instrument: Instrument) -> None:
    assert asked(instrument, "lpsweeper -A -n ") == ["hectospec", "megacam", "minicam", "spec"]
    assert asked(instrument, "logsum -i a") == ["all"]
    assert asked(instrument, "logsum -i sp") == ["spec"]


def test_options_of_a_request_are_told_one_after_the_other(instrument: Instrument) -> None:
    assert asked(instrument, "archq submit -o i") == ["inst=", "instrument="]
    assert asked(instrument, "archq submit -o inst=m") == ["inst=megacam", "inst=minicam"]
    assert asked(instrument, "archq submit -o inst=minicam,maxf") == ["inst=minicam,maxftp="]
    assert asked(instrument, "archq submit -o maxftp=") == []


def test_files_and_directories_are_left_to_the_shell(instrument: Instrument) -> None:
    for line in ("archq submit im", "sweeper -l im", "logsum -f im"):
        assert asked(instrument, line) == ["im"]


@pytest.mark.parametrize(
    "text", ["spool = 1\n", "not TOML", 'spool = "{home}/nowhere"\n[queue.archive]\nurl = "file:/"']
)
def test_nothing_is_said_of_a_configuration_that_cannot_be_used_and_nothing_is_made(
    text: str, instrument: Instrument, monkeypatch: pytest.MonkeyPatch
) -> None:
    (instrument.home / "archq.toml").write_text(text.format(home=instrument.home))
    monkeypatch.setenv("XDG_STATE_HOME", str(instrument.home / "state"))
    assert asked(instrument, "archq status a") == []
    assert not (instrument.home / "nowhere").exists()
    assert not (instrument.home / "state").exists()


def metavars(command: click.Command) -> Iterator[str]:
    for parameter in command.params:
        flag = isinstance(parameter, click.Option) and (parameter.is_flag or isinstance(parameter.type, click.Choice))
        if not flag:
            yield parameter.metavar or ""
    for below in command.commands.values() if isinstance(command, click.Group) else ():
        yield from metavars(below)


@pytest.mark.parametrize("command", [cli, sweeper_command, logsum_command], ids=["archq", "sweeper", "logsum"])
def test_whatever_can_be_suggested_is(command: click.Command) -> None:
    assert set(metavars(command)) <= {*BY_METAVAR, *REQUESTS, *FREE}


@pytest.fixture
def at_shell(instrument: Instrument) -> dict[str, str]:
    """The environment of somebody who types commands, and has one request in the queue."""
    require((SCRIPTS / "archq").exists(), f"the scripts are not installed beside {sys.executable}")
    instrument.submit(options=("inst=minicam",))
    return {**instrument.environment, "PATH": f"{SCRIPTS}:{os.environ['PATH']}", "HOME": str(instrument.home)}


def test_bash_completes(at_shell: dict[str, str]) -> None:
    for words, found in {
        "archq status arch": "archive-1",
        "archq submit -o inst = mi": "minicam",  # as bash takes inst=mi apart
        "archq submit -o inst =": "hectospec megacam minicam spec",
        "lplogsum -i spe": "spec",
        "archq doc": "doctor",
    }.items():
        program = words.partition(" ")[0]
        ask = f"COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1)); _{program}_completion {program}"
        code = f'eval "$(archq completion bash)"\n{ask}; echo "${{COMPREPLY[*]}}"'
        done = subprocess.run([tool("bash"), "-c", code], env=at_shell, capture_output=True, text=True)
        assert (done.stdout, done.stderr) == (f"{found}\n", "")


LINES = {
    "archq status arch": "archq status archive-1",
    "archq submit -o inst=mi": "archq submit -o inst=minicam",
    "archq ship -d ot": "archq ship -d other",
    "lplogsum -i spe": "lplogsum -i spec",
    "archq doc": "archq doctor",
}


def test_fish_completes(at_shell: dict[str, str]) -> None:
    path, environment = located("fish")
    asked = "; ".join(f"complete -C {line!r}" for line in LINES)
    words = [path, "--no-config", "-c", f"archq completion fish | source; {asked}"]
    done = subprocess.run(words, env={**environment, **at_shell}, capture_output=True, text=True)
    values = [line.partition("\t")[0] for line in done.stdout.splitlines()]
    assert (values, done.stderr) == ([whole.rpartition(" ")[2] for whole in LINES.values()], "")


def test_zsh_completes(at_shell: dict[str, str]) -> None:
    path, environment = located("zsh")
    typist = Typist([path, "-f", "-i"], {**environment, **at_shell})
    try:
        typist.type(f"{its_own_places(path)} autoload -U compinit && compinit -u -D && PS1='ready''> '\n", "ready> ")
        typist.type('eval "$(archq completion zsh)"\n', "ready> ")
        for line, whole in LINES.items():
            assert whole in typist.type(f"{line}\t", whole[len(line) :]).replace("\b", "")
            typist.type("\x15\n", "ready> ")  # Ctrl-U
    finally:
        typist.leave()


def its_own_places(zsh: str) -> str:
    """Return what tells a zsh that is unpacked somewhere where its modules and functions are."""
    root = Path(zsh).parents[1]
    if not root.is_relative_to(CACHE):
        return ""
    [modules] = root.glob("usr/lib/*/zsh/[0-9]*")
    return f"module_path=({modules}); fpath=({root}/usr/share/zsh/functions/**/*(N/));"


@pytest.mark.parametrize("shell", SHELLS)
def test_the_shell_takes_the_script(shell: str, tmp_path: Path) -> None:
    path, environment = located(shell)
    (tmp_path / "script").write_text(script(shell))
    done = subprocess.run([path, "-n", tmp_path / "script"], env=environment, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    for program in PROGRAMS:
        assert f"_{program}_completion" in script(shell)


def test_a_shell_that_is_not_known_is_told(instrument: Instrument) -> None:
    assert "'tcsh' is not one of 'bash', 'zsh', 'fish'" in instrument.archq("completion", "tcsh", status=2).stderr
