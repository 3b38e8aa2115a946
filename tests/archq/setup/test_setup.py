"""The first run on a host: by flags and by answers; what it makes, what it refuses, and what it prints."""

from __future__ import annotations

import grp
import os
import pty
import pwd
import re
import subprocess
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from archq.commands import cli
from archq.errors import CannotCreateError, NotPermittedError
from archq.setup import configuration_file, doctor, set_up
from archq.setup.sites import DROP_BOXES
from tests.requirements import require
from tests.servers.process import AS_ROOT, uploader
from tests.sweeper.accounts import common_ground

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).parents[3]


@dataclass(frozen=True)
class Host:
    """A host with nothing on it, below one directory."""

    home: Path

    @property
    def configuration(self) -> Path:
        return self.home / "etc/archq.toml"

    @property
    def environment(self) -> dict[str, str]:
        return {
            **{name: value for name, value in os.environ.items() if name not in ("LPDEST", "PRINTER")},
            "ARCHQ_CONFIG": str(self.configuration),
            "HOME": str(self.home),
            "PYTHONPATH": str(ROOT),
        }

    def init(self, *words: str | Path, status: int = 0) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "archq.cli", "init", *map(str, words)]
        settings = {"stdin": subprocess.DEVNULL, "capture_output": True, "text": True}
        done = subprocess.run(command, env=self.environment, **settings)
        assert done.returncode == status, done.stderr + done.stdout
        return done

    def answer(self, answers: dict[str, str], *words: str, status: int = 0) -> str:
        """Run it on a terminal; give each question its answer as it comes; return all that the terminal shows."""
        command = [sys.executable, "-m", "archq.cli", "init", *words]
        ours, theirs = pty.openpty()
        process = subprocess.Popen(command, env=self.environment, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        shown, left = "", dict(answers)
        while text := read(ours):
            shown += text
            asked = shown.rpartition("\n")[2]
            if question := next((question for question in left if question in asked), None):
                os.write(ours, left.pop(question).encode() + b"\n")
        os.close(ours)
        assert process.wait() == status, shown
        assert not left, shown
        return shown.replace("\r", "")

    def settings(self) -> dict:
        return tomllib.loads(self.configuration.read_text())


def read(terminal: int) -> str:
    try:
        return os.read(terminal, 4096).decode(errors="replace")
    except OSError:  # the other side is closed
        return ""


@pytest.fixture
def host(tmp_path: Path) -> Host:
    (tmp_path / "incoming").mkdir()
    return Host(tmp_path)


@pytest.fixture
def common_host() -> Iterator[Host]:
    require(AS_ROOT, "only root can make directories for other accounts")
    with common_ground() as ground:
        yield Host(ground)


def mode_of(path: Path) -> tuple[str, str, int]:
    facts = path.stat()
    return pwd.getpwuid(facts.st_uid).pw_name, grp.getgrgid(facts.st_gid).gr_name, facts.st_mode & 0o7777


# The instrument computer.


def test_flags_make_a_configuration_and_a_spool_that_doctor_is_content_with(host: Host) -> None:
    words = ("--instrument", "minicam", "--instrument", "megacam", "--zone", "MST", "--rollover", "12:00")
    told = host.init("--url", f"file:{host.home}/incoming", "--spool", host.home / "spool", *words).stdout
    night = {"zone": "MST", "rollover": "12:00"}
    assert host.settings() == {
        "default": "archive",
        "spool": f"{host.home}/spool",
        "queue": {"archive": {"url": f"file:{host.home}/incoming", "instruments": ["minicam", "megacam"]}},
        "instrument": {"minicam": night, "megacam": night},
        "lp": {},
    }
    assert (host.home / "spool").stat().st_mode & 0o7777 == 0o700
    assert f"written:       ok ({host.configuration})\n" in told
    assert told.endswith("  account:       ok (full)\nall of it works: archq submit -w FILE sends a first file\n")


def test_a_first_file_can_be_sent_at_once(host: Host) -> None:
    host.init("--url", f"file:{host.home}/incoming", "--spool", host.home / "spool")
    frame = host.home / "img0001.fits"
    frame.write_bytes(b"light")
    for words in (("submit", "-o", "inst=minicam", frame), ("ship", "--once")):
        subprocess.run([sys.executable, "-m", "archq.cli", *map(str, words)], env=host.environment, check=True)
    assert len([path for path in (host.home / "incoming").iterdir() if path.name.startswith("minicam.")]) == 2


def test_a_configuration_is_never_written_over_by_itself(host: Host) -> None:
    words = ("--url", f"file:{host.home}/incoming", "--spool", host.home / "spool")
    host.configuration.parent.mkdir()
    host.configuration.write_text("# mine\n")
    refused = host.init(*words, status=73).stderr
    assert refused == (
        f"archq: there is a configuration already: {host.configuration}; "
        "--force writes a new one, and keeps a copy of it\n"
    )
    assert not (host.home / "spool").exists()
    for kept in (".1", ".2"):
        assert f"kept:          ok ({host.configuration}{kept})\n" in host.init(*words, "--force").stdout
    assert Path(f"{host.configuration}.1").read_text() == "# mine\n"
    assert Path(f"{host.configuration}.2").read_text() == host.configuration.read_text()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ((), "say --url, such as sftp://user@archive.example.edu/incoming; on a terminal all is asked for"),
        (
            ("--url", "gopher://archive"),
            "[queue.archive] url: begin it with sftp://, ftp://, ftps:// or file:, not with 'gopher'",
        ),
        (("--url", "file:/in", "--queue", "a b"), "a queue's name has letters, digits, '_' and '-' only"),
        (("--url", "file:/in", "--instrument", "all"), "not an instrument's name: 'all'"),
        (
            ("--url", "file:/in", "--instrument", "a", "--rollover", "noon"),
            "not a time of day such as \"12:00\": 'noon'",
        ),
        (("--url", "file:/in", "--instrument", "a", "--zone", "Mars"), "[instrument.a] zone: unknown time zone"),
        (("--url", "file:/in", "--owner", "nobody-at-all"), "--owner nobody-at-all: there is no such account"),
        (("--url", "file:/in", "--group", "no-such-group"), "--group: a spool that a group shares needs a place"),
        (("--url", "file:/in", "--incoming", "/in"), "--incoming is for the archive host: say --archive too"),
        (("--url", "file:/in", "--user"), "so that --system or --user would not be read: unset it"),
        (("--url", "file:/in", "--zone", "MST"), "--zone MST: say with --instrument whose nights are meant"),
        (("--archive", "--incoming", "/in", "--rollover", "12:00"), "--rollover 12:00: say with --instrument whose"),
        (("--system", "--user"), "say --system or --user, not both"),
        (("--archive",), "say --incoming DIR; on a terminal all is asked for"),
        (
            ("--archive", "--incoming", "/in", "--spool", "/s"),
            "--spool is for the instrument computer: leave --archive",
        ),
        (("--archive", "--incoming", "/in", "--instrument", "a"), "--instrument: say with --directory below which"),
    ],
)
def test_what_cannot_be_meant_is_told_and_nothing_is_made(words: tuple[str, ...], told: str, host: Host) -> None:
    errors = host.init(*words, status=2).stderr
    assert told in errors
    assert errors.startswith("archq: ")
    assert errors.count("\n") == 1
    assert [path.name for path in host.home.iterdir()] == ["incoming"]


@pytest.mark.parametrize(
    ("place", "why"),
    [("file/archq.toml", "{home}/file is no directory"), ("file/etc/archq.toml", "{home}/file is no directory")],
)
def test_a_place_that_cannot_hold_the_configuration_is_told_before_anything_is_made(
    place: str, why: str, host: Host
) -> None:
    (host.home / "file").touch()
    words = [sys.executable, "-m", "archq.cli", "init", "--url", "file:/in", "--spool", f"{host.home}/spool"]
    environment = {**host.environment, "ARCHQ_CONFIG": f"{host.home}/{place}"}
    done = subprocess.run(words, env=environment, capture_output=True, text=True)
    assert done.returncode == 73
    expected = f"archq: cannot write the configuration {host.home}/{place}: {why.format(home=host.home)}\n"
    assert (done.stdout, done.stderr) == ("", expected)
    assert not (host.home / "spool").exists()


def test_a_place_that_is_others_is_told_before_anything_is_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ARCHQ_CONFIG", str(tmp_path / "archq.toml"))
    monkeypatch.setattr(os, "access", lambda *_: False)  # as for another account than root
    with pytest.raises(CannotCreateError, match=f"may not write to {tmp_path}; name another place in ARCHQ_CONFIG$"):
        set_up({}, print, print, archive=False, system=False, user=False, force=False)


def test_an_end_of_the_answers_is_told_on_a_line_of_its_own(host: Host) -> None:
    shown = host.answer({"Where are files sent?": "\x04"}, status=130)  # Ctrl-D
    assert shown.startswith("This sets up a computer whose files are sent to an archive, and writes\n")
    assert shown.endswith("\narchq: interrupted\n")
    assert [path.name for path in host.home.iterdir()] == ["incoming"]


def test_what_does_not_work_yet_is_the_exit_status(host: Host) -> None:
    done = host.init("--url", f"file:{host.home}/nowhere", "--spool", host.home / "spool", status=69)
    assert "  directory:     failed: " in done.stdout
    assert done.stdout.endswith(f"\nwhen that is mended, here or in {host.configuration}: archq doctor\n")
    assert host.configuration.exists()


def test_a_spool_that_was_there_is_left_as_it_is_and_told(host: Host) -> None:
    (host.home / "spool").mkdir(mode=0o750)
    told = host.init("--url", f"file:{host.home}/incoming", "--spool", host.home / "spool", status=78).stdout
    assert "mode 0750" in told
    assert "was there already and is left as it is → chown " in told
    assert (host.home / "spool").stat().st_mode & 0o7777 == 0o750


def test_the_system_s_configuration_is_root_s_default_and_a_user_has_another(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ARCHQ_CONFIG", raising=False)
    monkeypatch.setenv("XDG_CONFIG_HOME", "/home/observer/.config")
    for account, system, user, path in [
        (0, False, False, "/etc/archq/archq.toml"),
        (0, False, True, "/home/observer/.config/archq/archq.toml"),
        (1000, False, False, "/home/observer/.config/archq/archq.toml"),
        (1000, True, False, "/etc/archq/archq.toml"),
    ]:
        monkeypatch.setattr(os, "geteuid", lambda account=account: account)
        assert configuration_file(system=system, user=user) == path


def test_a_group_s_spool_is_shared_and_ships_by_a_service(common_host: Host) -> None:
    spool = common_host.home / "spool"
    (common_host.home / "incoming").mkdir()
    group = grp.getgrgid(uploader().pw_gid).gr_name
    words = ("--spool", spool, "--owner", "root", "--group", group)
    told = common_host.init("--url", f"file:{common_host.home}/incoming", *words).stdout
    for path in (spool, spool / "queued"):
        assert mode_of(path) == ("root", group, 0o2770)
    assert common_host.settings()["autostart"] is False
    assert f"spool:         ok ({spool}, shared by a group)" in told


def test_doctor_walks_as_the_account_that_ships(
    common_host: Host, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    python, account = common_host.home / "python", uploader()
    python.write_text('#!/bin/sh\necho "$ARCHQ_CONFIG $HOME $(id -u) $(id -G) $*"\nexit 75\n')
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))
    path = str(common_host.configuration)
    assert doctor(account, path) == 75
    groups = " ".join(map(str, os.getgrouplist(account.pw_name, account.pw_gid)))
    assert capfd.readouterr().out == f"{path} {account.pw_dir} {account.pw_uid} {groups} -m archq.cli doctor\n"
    python.chmod(0o700)
    with pytest.raises(NotPermittedError, match=f"^cannot run {python} as {account.pw_name}: Permission denied"):
        doctor(account, path)


def test_on_a_terminal_it_asks_and_asks_again(host: Host) -> None:
    shown = host.answer(
        {
            "Where are files sent? (such as": "gopher://archive",
            "Where are files sent?": f"file:{host.home}/incoming",
            "queue's name": "",
            "Which instruments?": "minicam megacam",
            "time zone": "MST",
            "night's date begin": "",
            "Where is the spool?": f"{host.home}/spool",
        }
    )
    assert "Error: url: begin it with sftp://, ftp://, ftps:// or file:, not with 'gopher'" in shown
    assert host.settings()["queue"]["archive"]["instruments"] == ["minicam", "megacam"]
    assert host.settings()["instrument"]["megacam"] == {"zone": "MST", "rollover": "12:00"}
    assert shown.endswith("  account:       ok (full)\nall of it works: archq submit -w FILE sends a first file\n")


def test_a_password_is_asked_for_without_showing_it_and_kept_in_a_private_file(host: Host) -> None:
    shown = host.answer(
        {
            "Where are files sent?": "ftp://tdcin@127.0.0.1:1/incoming",
            "queue's name": "",
            "Which instruments?": "",
            "Which file holds the password?": f"{host.home}/secrets/archive.pw",
            "What is the password?": "only-for-tests",
            "Repeat for confirmation": "only-for-tests",
            "Where is the spool?": f"{host.home}/spool",
        },
        status=75,
    )
    secret = host.home / "secrets/archive.pw"
    assert (secret.read_text(), secret.stat().st_mode & 0o7777) == ("only-for-tests\n", 0o600)
    assert "only-for-tests" not in shown
    assert "  password:      ok (" in shown
    assert "  connect:       failed: " in shown


# The archive host.


def test_one_account_sweeps_what_another_uploads(common_host: Host) -> None:
    incoming, account = common_host.home / "ftp/incoming", uploader()
    uploads = grp.getgrgid(account.pw_gid).gr_name
    words = ("--uploader", account.pw_name, "--instrument", "minicam", "--directory", common_host.home / "data")
    told = common_host.init("--archive", "--incoming", incoming, "--owner", "root", *words).stdout
    root = pwd.getpwuid(0).pw_name
    assert mode_of(incoming) == (root, uploads, 0o2770)
    assert mode_of(incoming / ".archq-work") == (root, grp.getgrgid(0).gr_name, 0o700)
    assert mode_of(common_host.home / "ftp/rejected") == (root, grp.getgrgid(0).gr_name, 0o700)
    assert mode_of(common_host.home / "data/minicam") == (root, grp.getgrgid(0).gr_name, 0o755)
    assert common_host.settings() == {
        "instrument": {"minicam": {"directory": f"{common_host.home}/data/minicam"}},
        "sweeper": {
            "incoming": str(incoming),
            "work": f"{incoming}/.archq-work",
            "rejected": f"{common_host.home}/ftp/rejected",
        },
        "logsum": {},
    }
    assert f"\nanon_root={common_host.home}/ftp\n" in told
    assert told.endswith("\n# */10 * * * * sweeper --configured    is the line for its crontab\n")
    assert f"\nMatch User {account.pw_name}\n    ChrootDirectory {common_host.home}/ftp\n" in told


def test_members_of_a_group_sweep_what_another_uploads(common_host: Host) -> None:
    incoming, account = common_host.home / "ftp/incoming", uploader()
    group = grp.getgrgid(0).gr_name
    words = ("--uploader", account.pw_name, "--group", group, "--drop-box", "sshd")
    told = common_host.init("--archive", "--incoming", incoming, *words).stdout
    root = pwd.getpwuid(0).pw_name
    assert mode_of(incoming) == (account.pw_name, group, 0o2770)
    assert mode_of(incoming / ".archq-work") == (root, group, 0o3770)
    assert mode_of(common_host.home / "ftp/rejected") == (root, group, 0o3770)
    assert "anon_root" not in told
    assert "crontab" not in told
    assert "ForceCommand internal-sftp" in told


def test_a_sweeper_that_could_not_read_what_arrives_is_told(common_host: Host) -> None:
    other = uploader()
    words = ("--owner", other.pw_name, "--group", grp.getgrgid(0).gr_name)
    done = common_host.init("--archive", "--incoming", common_host.home / "in", *words, status=78)
    told = done.stdout
    assert done.stderr.startswith(
        f"archq: group: {other.pw_name} is not in the group root, whose files it has to read: "
    )
    assert f"group:         failed: {other.pw_name} is not in the group root, whose files it has to read" in told
    assert f"→ usermod -aG root {other.pw_name}\n" in told


def test_the_archive_host_is_asked_about_too(host: Host) -> None:
    us = pwd.getpwuid(os.geteuid()).pw_name
    host.answer(
        {
            "Where do files arrive?": f"{host.home}/ftp/incoming",
            "Below which directory": f"{host.home}/data",
            "Which instruments?": "minicam",
            "time zone": "",
            "night's date begin": "",
            "Which account uploads?": "",
            "Which account sweeps?": us,
            "Which group is incoming's?": "",
        },
        "--archive",
    )
    archive = {"directory": f"{host.home}/data/minicam", "zone": "UTC", "rollover": "12:00"}
    assert host.settings()["instrument"] == {"minicam": archive}
    assert (host.home / "ftp/incoming").stat().st_mode & 0o7777 == 0o2770


def test_the_flag_names_every_drop_box_there_is() -> None:
    [choice] = [one.type for one in cli.commands["init"].params if one.name == "drop_box"]
    assert set(choice.choices) == set(DROP_BOXES)  # type: ignore[attr-defined]
    assert all(re.fullmatch(r"etc/[\w./]+", path) for path in DROP_BOXES.values())
