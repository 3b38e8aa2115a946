"""What stands under examples/ is what the programs that read it take."""

from __future__ import annotations

import os
import re
import shlex
import shutil
from pathlib import Path
from xml.etree import ElementTree

import click
import pytest

from archq.commands import cli
from archq.config import load
from archq.shipping.shipper import BEAT_EVERY
from logsum.commands import command as logsum_command
from sweeper.cli import command as sweeper_command
from tests.requirements import require
from tests.tools import said

EXAMPLES = Path(__file__).parents[1] / "examples"
SVG = "{http://www.w3.org/2000/svg}"
INSTRUMENT, ARCHIVE = EXAMPLES / "instrument", EXAMPLES / "archive"
UNITS = sorted(EXAMPLES.glob("*/etc/systemd/system/*"))
SERVICES = [path for path in UNITS if path.suffix == ".service"]
CRONTABS = sorted(EXAMPLES.glob("*/crontab"))
COMMANDS = {"archq": cli, "sweeper": sweeper_command, "logsum": logsum_command}

# The program that would install a crontab looks for the place of all crontabs first, and makes it where it is missing.
PLACE = "mount -t tmpfs none /var/spool && mkdir -p /var/spool/cron/crontabs"
APART = ("unshare", "--map-root-user", "--mount", "sh", "-c", f'{PLACE} && exec "$0" "$@"')


def ids(path: Path) -> str:
    return str(path.relative_to(EXAMPLES))


def test_the_list_names_every_example_and_no_other() -> None:
    listed = re.findall(r"(?m)^\| `(\S+)` \|", (EXAMPLES / "README.md").read_text())
    there = {ids(path) for path in EXAMPLES.rglob("*") if path.is_file()}
    assert set(listed) == there - {"README.md"}


def test_the_configuration_is_one() -> None:
    environment = {**os.environ, "ARCHQ_CONFIG": str(EXAMPLES / "archq.toml")}
    config = load("archq", "instrument", "sweeper", "logsum", environment=environment)
    assert config.queues["archive"].instruments == ("minicam", "megacam")


def test_the_picture_is_what_logsum_draws() -> None:
    text = (EXAMPLES / "report.svg").read_text()
    assert len(text) < 60_000
    words = {"".join(element.itertext()).strip() for element in ElementTree.fromstring(text).iter(f"{SVG}text")}
    assert {"How fast", "Size against time", "Night by night", "From queued to archived"} <= words


@pytest.fixture
def units(tmp_path: Path) -> Path:
    """Copies of all units, that start what is on this machine."""
    program = shutil.which("true") or "/bin/true"
    for path in UNITS:
        text = re.sub(r"(?m)^(ExecStart=)/usr/local/bin/\w+", rf"\1{program}", path.read_text())
        (tmp_path / path.name).write_text(text)
    return tmp_path


@pytest.mark.parametrize("path", UNITS, ids=ids)
def test_systemd_takes_the_unit(path: Path, units: Path) -> None:
    assert said("systemd-analyze", "verify", "--man=no", units / path.name, package="systemd") == ""


@pytest.mark.parametrize("path", SERVICES, ids=ids)
def test_systemd_calls_the_service_s_sandbox_tight(path: Path, units: Path) -> None:
    words = ("security", "--offline=yes", "--threshold=30", "--no-pager")  # of 100; a service with none of it has 96
    assert "Overall exposure level" in said("systemd-analyze", *words, units / path.name, package="systemd")


def test_the_watchdog_is_more_patient_than_the_shipper_is_slow() -> None:
    text = (INSTRUMENT / "etc/systemd/system/archq-ship.service").read_text()
    seconds = re.search(r"(?m)^WatchdogSec=(\d+)$", text)
    assert seconds
    assert int(seconds[1]) >= 4 * BEAT_EVERY
    assert f"every {BEAT_EVERY:g} seconds" in text


@pytest.mark.parametrize("path", CRONTABS, ids=ids)
def test_cron_takes_the_crontab(path: Path) -> None:
    require(shutil.which("unshare"), "unshare, of util-linux, is not on this machine")
    assert "successfully checked" in said("crontab", "-n", path, package="cron", before=APART)


@pytest.mark.parametrize("path", [*CRONTABS, *SERVICES], ids=ids)
def test_our_programs_know_every_option_that_is_used(path: Path) -> None:
    """Words alone are looked at: what they mean is the business of each program's own tests."""
    lines = re.findall(r"(?:\*|\d|/usr/local/bin/)\s*(?<!-)\b((?:archq|sweeper|logsum) [^|>\n]*)", path.read_text())
    assert lines
    for line in lines:
        program, *words = shlex.split(line.partition(" 2>")[0])
        assert parsed(COMMANDS[program], program, words)


def parsed(command: click.Command, program: str, words: list[str]) -> click.Context:
    """Return the context of a command, or of the verb that it has; what it does not know raises UsageError."""
    if isinstance(command, click.Group):
        return parsed(command.commands[words[0]], f"{program} {words[0]}", words[1:])
    return command.make_context(program, words)


def test_logrotate_takes_its_part_and_keeps_what_logsum_reads(tmp_path: Path) -> None:
    log = tmp_path / "xferlog"
    log.write_text("a line\n")
    text = (ARCHIVE / "etc/logrotate.d/archq").read_text().replace("/var/log/xferlog", str(log))
    part = tmp_path / "archq"
    part.write_text(text.replace("root adm", "root root"))
    part.chmod(0o644)
    told = said("logrotate", "--debug", "--state", tmp_path / "state", part)
    assert f"considering log {log}" in told
    assert not re.search("error|bad|unknown", told)
    assert "(36 rotations)" in told


@pytest.mark.parametrize("side", ["instrument", "archive"])
def test_systemd_makes_the_accounts_and_directories(side: str, tmp_path: Path) -> None:
    require(os.geteuid() == 0, "only root can give directories away")
    (tmp_path / "etc").mkdir()
    accounts, directories = sorted((EXAMPLES / side / "etc").glob("[st]*.d/*.conf"))
    said("systemd-sysusers", f"--root={tmp_path}", accounts, package="systemd")
    said("systemd-tmpfiles", "--create", f"--root={tmp_path}", directories, package="systemd")
    numbers = {name: (int(uid), int(gid)) for name, uid, gid in accounts_of(tmp_path)}
    wanted = re.findall(r"(?m)^d (\S+) +(\d+) +(\S+) +(\S+) ", directories.read_text())
    assert wanted
    for path, mode, owner, group in wanted:
        facts = (tmp_path / path.lstrip("/")).stat()
        assert (facts.st_mode & 0o7777, facts.st_uid, facts.st_gid) == (
            int(mode, 8),
            numbers[owner][0],
            numbers[group][1],
        )


def accounts_of(root: Path) -> list[tuple[str, str, str]]:
    return [("root", "0", "0"), *re.findall(r"(?m)^(\w+):x:(\d+):(\d+):", (root / "etc/passwd").read_text())]
