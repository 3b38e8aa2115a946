"""The doctor finds what is wrong with a queue at real servers, says what to do, and leaves nothing to be filed."""

from __future__ import annotations

import hashlib
import io
import os
import re
import select
import socket
import subprocess
import sys
import threading
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from archq.control import parse_control
from archq.doctor.probe import CONTENT, Probe
from archq.errors import ExitStatus
from archq.names import PROBE_INSTRUMENT, parse_wire_name
from archq.spool import Spool
from archq.spool.wakeup import Wakeup
from archq.transports.base import NotPermittedTransferError, TemporaryTransferError
from archq.transports.file import FileTransport
from tests.requirements import require
from tests.servers.keys import make_ssh_key, write_secret
from tests.servers.process import HOST, free_port, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.servers.process import RunningServer

SECRET = "hunter2-and-blanks"


@dataclass(frozen=True)
class Patient:
    """An account with a configuration that has one queue, and the doctor to call."""

    home: Path

    @property
    def environment(self) -> dict[str, str]:
        own = {"HOME": str(self.home), "ARCHQ_CONFIG": str(self.home / "archq.toml"), "PYTHONIOENCODING": "utf-8"}
        return {**os.environ, **own, "PYTHONPATH": str(Path(__file__).parents[3]), "SSH_AUTH_SOCK": ""}

    def configure(self, url: str, *, more: str = "", **said: object) -> None:
        lines = [f"{key} = {value if isinstance(value, float) else repr(str(value))}" for key, value in said.items()]
        text = "\n".join(
            [f"autostart = false\nspool = '{self.home}/spool'", "[queue.archive]", f"url = '{url}'", *lines, more]
        )
        (self.home / "archq.toml").write_text(text)

    def at(self, server: RunningServer, **changes: Any) -> Patient:
        """Configure the queue for ``server``, completely unless ``changes`` say otherwise."""
        said: dict[str, Any] = {"url": server.url, "idle": 20.0}
        if server.password:
            said["password_file"] = self.secret(server.password)
        if server.certificate:
            said["ca_file"] = server.certificate
        if server.key:
            said |= {"key": server.key, "known_hosts": server.known_hosts}
        self.configure(**(said | changes))
        return self

    def secret(self, text: str) -> Path:
        path = self.home / f"pw{len(list(self.home.iterdir()))}"
        write_secret(path, text.encode())
        return path

    def begin(self, *words: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "archq.cli", "doctor", *words]
        pipe = subprocess.PIPE
        return subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, encoding="utf-8", env=self.environment)

    def examined(self, *words: str, status: int = 0) -> dict[str, str]:
        """Call the doctor, who is expected to end with ``status``, and return what each step has found."""
        output, errors = self.begin_and_end(*words, status=status)
        assert bool(errors) == bool(status)
        return dict(re.findall(r"(?m)^ *([a-z ]+): +(.*)$", output))

    def begin_and_end(self, *words: str, status: int) -> tuple[str, str]:
        process = self.begin(*words)
        output, errors = process.communicate(timeout=60)
        assert process.returncode == status, output + errors
        assert "Traceback" not in errors
        return output, errors

    def known_account(self, url: str) -> str:
        return Spool(str(self.home / "spool")).known_account("archive", url)


@pytest.fixture
def patient(tmp_path: Path) -> Patient:
    return Patient(tmp_path)


def failure(found: dict[str, str], step: str) -> str:
    """What failed: the last step, which is ``step``."""
    assert list(found)[-1] == step, found
    assert found[step].startswith("failed: ")
    assert " → " in found[step]
    return found[step]


# What is in order.


def test_a_shipper_that_waits_for_the_queue_is_told_that_it_works_now(
    sshd_full: RunningServer, patient: Patient
) -> None:
    spool = Spool(str(patient.home / "spool"))
    with closing(Wakeup(spool, "archive")) as wakeup:
        patient.at(sshd_full, key="/no/such/key").examined(status=ExitStatus.CONFIGURATION)
        assert not select.select([wakeup], [], [], 0)[0]
        patient.at(sshd_full).examined()
        assert select.select([wakeup], [], [], 0)[0]


def test_a_full_account_shows_all_it_can_and_nothing_is_left(full_account: RunningServer, patient: Patient) -> None:
    found = patient.at(full_account).examined("-d", "archive")
    for step in ("resolve", "connect", "log in", "directory", "write", "rename", "ask sizes", "list", "resume"):
        assert re.match(r"ok( \(.*\))?$", found[step]), (step, found)
    assert found["remove"] == "ok"
    assert found["clock"] == "ok (differs by less than 60 s)"
    assert found["account"] == "ok (full)"
    assert list(full_account.incoming.iterdir()) == []
    assert patient.known_account(full_account.url) == "full"


def test_an_account_that_resumes_nothing_may_rename_all_the_same(
    proftpd_without_restarts: RunningServer, patient: Patient
) -> None:
    found = patient.at(proftpd_without_restarts).examined()
    assert re.match(r"no \(does not resume .*Restart not permitted", found["resume"])
    assert (found["remove"], found["account"]) == ("ok", "ok (full)")
    assert list(proftpd_without_restarts.incoming.iterdir()) == []


def test_a_drop_box_works_and_what_it_keeps_is_an_arrival_that_sweepers_discard(
    drop_box: RunningServer, patient: Patient
) -> None:
    found = patient.at(drop_box).examined()
    assert found["write"] == "ok"
    assert found["account"] == "ok (upload-only)"
    assert all(found[step].startswith("no (") for step in ("rename", "remove")), found
    assert patient.known_account(drop_box.url) == "upload-only"
    assert_is_discarded(drop_box.incoming)


def test_a_sweeper_takes_away_what_the_doctor_left(proftpd_drop_box: RunningServer, patient: Patient) -> None:
    patient.at(proftpd_drop_box).examined()
    (patient.home / "archive").mkdir()
    words = ("-i", "minicam", "-d", str(patient.home / "archive"), "-f", str(proftpd_drop_box.incoming))
    command = [sys.executable, "-c", "from sweeper.cli import main; main()", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=patient.environment)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in proftpd_drop_box.incoming.iterdir() if path.name != ".archq-work"] == []
    assert [path.name for path in (patient.home / "archive").iterdir()] == ["xferlogs"]


def assert_is_discarded(incoming: Path) -> None:
    """Only a probe is there, and it is whole."""
    data, control = sorted(incoming.iterdir(), key=lambda path: path.suffix, reverse=True)
    names = [parse_wire_name(path.name) for path in (data, control)]
    assert [(name.instrument, name.kind) for name in names if name] == [
        (PROBE_INSTRUMENT, "df"),
        (PROBE_INSTRUMENT, "cf"),
    ]
    said = parse_control(control.read_bytes())
    assert said.instrument == PROBE_INSTRUMENT
    assert (said.size, said.checksum.digest) == (data.stat().st_size, hashlib.sha256(data.read_bytes()).hexdigest())


def test_a_directory_of_this_machine_is_a_queue_too(patient: Patient) -> None:
    (patient.home / "incoming").mkdir()
    patient.configure(f"file:{patient.home}/incoming")
    found = patient.examined()
    assert found["account"] == "ok (full)"
    assert list((patient.home / "incoming").iterdir()) == []


def test_the_certificate_is_a_step_of_its_own(vsftpd_tls: RunningServer, patient: Patient) -> None:
    found = patient.at(vsftpd_tls).examined()
    assert re.match(r"ok \(TLSv1\.[23], certificate valid until \w{3} ", found["certificate"])
    assert found["account"] == "ok (full)"


def test_the_host_key_and_where_the_password_comes_from_are_shown(
    sshd_full: RunningServer, vsftpd_full: RunningServer, patient: Patient
) -> None:
    assert re.match(r"ok \(ssh-ed25519 SHA256:", patient.at(sshd_full).examined()["host key"])
    assert re.match(r"ok \(password_file .*/pw\d+\)", patient.at(vsftpd_full).examined()["password"])


# What is wrong, and what to do.


def test_a_host_that_is_not_there(patient: Patient) -> None:
    patient.configure("sftp://tdcin@archive.invalid/incoming", idle=20.0)
    text = failure(patient.examined(status=75), "resolve")
    assert "its address cannot be looked up" in text
    assert "→ check the host in the queue's url, and this machine's DNS: getent hosts archive.invalid" in text


@pytest.mark.parametrize("scheme", ["sftp", "ftp", "ftps"])
def test_a_port_that_is_closed(patient: Patient, scheme: str) -> None:
    port = free_port()
    patient.configure(f"{scheme}://tdcin@{HOST}:{port}/incoming")
    text = failure(patient.examined(status=75), "connect")
    assert "failed: cannot connect: nothing listens there: Connection refused → check" in text
    assert text.endswith(f"nc -vz {HOST} {port}")


def fingerprint(server: RunningServer) -> str:
    blob = Path(str(server.known_hosts)).read_text().split()[2]
    line = subprocess.run(
        ["ssh-keygen", "-l", "-f", "-"], input=f"ssh-ed25519 {blob}\n", capture_output=True, text=True
    )
    return line.stdout.split()[1]


def test_an_unknown_host_key_is_pinned_only_by_its_fingerprint(sshd_full: RunningServer, patient: Patient) -> None:
    known = patient.home / "etc" / "known_hosts"
    patient.at(sshd_full, known_hosts=known)
    text = failure(patient.examined(status=69), "host key")
    assert f"is not known (ssh-ed25519 {fingerprint(sshd_full)}) → compare it" in text
    assert text.endswith(f"archq doctor --pin {fingerprint(sshd_full)}")
    wrong = f"SHA256:{'A' * 43}"
    text = failure(patient.examined("--pin", wrong, status=69), "host key")
    assert f"and not the key of --pin {wrong} → somebody may be in between" in text
    assert not known.exists()
    found = patient.examined("--pin", fingerprint(sshd_full))
    assert found["pin"] == f"ok (ssh-ed25519 {fingerprint(sshd_full)} in {known})"
    assert known.read_text() == Path(str(sshd_full.known_hosts)).read_text()
    assert known.stat().st_mode & 0o777 == 0o600
    assert patient.examined()["account"] == "ok (full)"


def test_without_a_file_of_the_queues_own_the_key_is_pinned_in_the_accounts(
    sshd_full: RunningServer, patient: Patient
) -> None:
    patient.configure(sshd_full.url, key=sshd_full.key)
    patient.examined("--pin", fingerprint(sshd_full))
    assert (patient.home / ".ssh/known_hosts").read_text() == Path(str(sshd_full.known_hosts)).read_text()
    assert (patient.home / ".ssh").stat().st_mode & 0o777 == 0o700


def test_a_known_host_is_not_the_one_of_another_fingerprint(sshd_full: RunningServer, patient: Patient) -> None:
    text = failure(patient.at(sshd_full).examined("--pin", f"SHA256:{'A' * 43}", status=69), "host key")
    assert "and not the key of --pin" in text


def test_a_changed_host_key_is_not_pinned_over_the_old_one(sshd_full: RunningServer, patient: Patient) -> None:
    known = patient.home / "known"
    name = Path(str(sshd_full.known_hosts)).read_text().split()[0]
    known.write_text(f"{name} {make_ssh_key(patient.home / 'other')}\n")
    before = known.read_text()
    patient.at(sshd_full, known_hosts=known)
    for words in ((), ("--pin", fingerprint(sshd_full))):
        text = failure(patient.examined(*words, status=69), "host key")
        assert "failed: the host key has changed: it is ssh-ed25519 SHA256:" in text
        assert "→ somebody may be in between: ask the archive site, and only if it has a new key: ssh-keygen -R" in text
    assert known.read_text() == before


def test_a_known_hosts_file_that_cannot_be_written(sshd_full: RunningServer, patient: Patient) -> None:
    patient.at(sshd_full, known_hosts="/proc/known_hosts")
    found = patient.examined("--pin", fingerprint(sshd_full), status=78)
    assert re.match(r"failed: cannot write /proc/known_hosts: .*: run it as who may$", found["pin"])


def test_a_wrong_password_is_shown_nowhere(vsftpd_full: RunningServer, patient: Patient) -> None:
    patient.at(vsftpd_full, password_file=patient.secret(SECRET))
    output, errors = patient.begin_and_end(status=69)
    refused = "cannot log in as ftp: the server says 530 Login incorrect."
    assert f"log in:        failed: {refused} → compare user" in output
    assert errors == f"archq: queue archive cannot be used as it is: log in: {refused}\n"
    told = [output, errors, *(path.read_text() for path in (patient.home / "spool").rglob("*") if path.is_file())]
    assert not any(SECRET in text for text in told)


def test_a_queues_password_is_not_in_the_spool_or_in_what_the_commands_say(
    vsftpd_full: RunningServer, patient: Patient
) -> None:
    patient.at(vsftpd_full, password_file=patient.secret(SECRET))
    (patient.home / "img0001.fits").write_bytes(b"light")
    told = [
        run(patient, 0, "submit", "-d", "archive", str(patient.home / "img0001.fits")),
        run(patient, 69, "ship", "--once"),
        run(patient, 0, "status", "--json"),
        run(patient, 0, "log"),
    ]
    assert "530 Login incorrect" in told[1]
    assert "530 Login incorrect" in told[2]
    told += [path.read_text() for path in (patient.home / "spool").rglob("*") if path.is_file()]
    assert not any(SECRET in text for text in told)


def run(patient: Patient, status: int, *words: str) -> str:
    command = [sys.executable, "-m", "archq.cli", *words]
    done = subprocess.run(command, capture_output=True, text=True, env=patient.environment)
    assert done.returncode == status, done.stderr
    return done.stdout + done.stderr


def test_a_certificate_that_is_not_trusted(vsftpd_tls: RunningServer, patient: Patient) -> None:
    patient.configure(vsftpd_tls.url, password_file=patient.secret(SECRET))
    text = failure(patient.examined(status=69), "certificate")
    assert "the server's certificate is not trusted" in text
    assert "→ name the authority that signed it in the queue's ca_file" in text


def test_a_directory_that_is_not_there(full_account: RunningServer, patient: Patient) -> None:
    url = full_account.url.replace("/incoming", "/elsewhere")
    text = failure(patient.at(full_account, url=url).examined(status=69), "directory")
    assert "failed: cannot enter the directory: " in text
    assert "→ check the path in the queue's url: it is as the account sees it" in text


def test_a_directory_that_may_not_be_written(full_account: RunningServer, patient: Patient) -> None:
    os.chown(full_account.incoming, 0, 0)
    text = failure(patient.at(full_account).examined(status=69), "write")
    assert "failed: cannot send archq-probe." in text
    assert "→ ask the archive site to let this account make files in this directory" in text


FULL_DISK = """
mount -t tmpfs -o size=8k none "$0/incoming" || exit 99
dd if=/dev/zero of="$0/incoming/frame" bs=4k 2>/dev/null
"$@"
status=$?
ls "$0/incoming" >&2
exit $status
"""


def test_a_disk_that_is_full(patient: Patient) -> None:
    (patient.home / "incoming").mkdir()
    patient.configure(f"file:{patient.home}/incoming")
    alone = ("unshare", "--mount", "--propagation", "private", "sh", "-c", FULL_DISK, str(patient.home))
    command = (*alone, sys.executable, "-m", "archq.cli", "doctor")
    done = subprocess.run(command, capture_output=True, text=True, encoding="utf-8", env=patient.environment)
    require(done.returncode not in (1, 99), f"a mount namespace is needed: {done.stderr}")
    assert done.returncode == 75
    assert re.search(r"write: +failed: cannot write archq-probe\.\S+: the disk there is full: .* → ask", done.stdout)
    assert done.stderr.endswith("\nframe\n")  # and nothing of the probe


def test_a_server_that_accepts_and_says_nothing_is_given_up(patient: Patient) -> None:
    with socket.create_server((HOST, 0)) as silent:
        patient.configure(f"ftp://tdcin@{HOST}:{silent.getsockname()[1]}/incoming", idle=0.2)
        assert "no answer in time" in failure(patient.examined(status=75), "connect")


@contextmanager
def dripping() -> Iterator[int]:
    """A server that says a little again and again, so that no time limit of a library ends the wait."""
    ended = threading.Event()
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            connection, _address = listener.accept()
            with connection:
                while not ended.wait(0.05):
                    try:
                        connection.sendall(b"220-wait\r\n")
                    except OSError:
                        return

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            ended.set()
            thread.join()


def test_a_step_without_end_is_ended_and_no_process_shows_the_password(patient: Patient) -> None:
    with dripping() as port:
        url = f"ftp://tdcin@{HOST}:{port}/incoming"
        patient.configure(url, idle=1.0, password_file=patient.secret(SECRET))
        process = patient.begin()
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        wait_until(lambda: children.read_text() != "", "the visit has begun")
        child = int(children.read_text())
        shown = [
            Path(f"/proc/{pid}/{name}").read_bytes() for pid in (process.pid, child) for name in ("cmdline", "environ")
        ]
        output, _errors = process.communicate(timeout=60)
    assert process.returncode == 75
    assert re.search(r"connect: +failed: not done within 2 s → ask the archive site, if it lasts", output)
    assert not any(SECRET.encode() in text for text in shown)
    assert not Path(f"/proc/{child}").exists()


# The configuration and the spool.


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("[sweeper]\nincomming = '/x'", r"\[sweeper\] incomming: unknown key; did you mean incoming\?"),
        ("[logsum]\nbins = 'some'", r"\[logsum\] bins: neither"),
        (
            "[instrument.minicam]\nzone = 'Mars/Olympus'",
            r"\[instrument.minicam\] zone: unknown time zone 'Mars/Olympus'",
        ),
        ("[logsum]\nftp_log_zone = 'Mars'", r"\[logsum\] ftp_log_zone: unknown time zone 'Mars'"),
        ("[queue.other]\nurl = 'http://x/'", r"\[queue.other\] url: begin it with .*, not with 'http'"),
        ("[extra]", r"extra: unknown key"),
    ],
)
def test_the_whole_configuration_is_looked_at(patient: Patient, more: str, words: str) -> None:
    patient.configure(f"file:{patient.home}", more=more)
    output, errors = patient.begin_and_end(status=78)
    assert output == ""
    assert re.search(words, errors)


def test_a_password_file_that_others_may_read(vsftpd_full: RunningServer, patient: Patient) -> None:
    path = patient.secret(str(vsftpd_full.password))
    path.chmod(0o644)
    found = patient.at(vsftpd_full, password_file=path).examined(status=78)
    assert found["password"] == f"failed: {path} may be read by others (mode 0644): chmod 600 {path}"


def test_an_account_that_may_do_less_than_the_configuration_says(
    vsftpd_drop_box: RunningServer, patient: Patient
) -> None:
    found = patient.at(vsftpd_drop_box, account="full").examined(status=78)
    assert 'says account = "full", but the account may do less: write account = "auto"' in found["account"]
    assert patient.known_account(vsftpd_drop_box.url) == ""


def test_a_spool_that_is_open_to_the_world(patient: Patient) -> None:
    patient.configure(f"file:{patient.home}")
    Spool(str(patient.home / "spool"))
    (patient.home / "spool").chmod(0o755)
    found = patient.examined(status=78)
    assert found["spool"] == (
        f"failed: {patient.home}/spool is open to every account of this machine → chmod -R o-rwx {patient.home}/spool"
    )
    assert found["account"] == "ok (full)"


def test_a_spool_without_room(patient: Patient) -> None:
    patient.configure(f"file:{patient.home}", more="")
    text = (patient.home / "archq.toml").read_text()
    (patient.home / "archq.toml").write_text(f"reserve = '1000 TB'\n{text}")
    assert "of which reserve keeps 1000.0 TB → make room" in patient.examined(status=75)["space"]


def test_a_pin_that_cannot_be_meant(patient: Patient) -> None:
    patient.configure(f"file:{patient.home}")
    for pin, words in (
        ("MD5:aa:bb", "not a fingerprint such as ssh-keygen -l shows"),
        (f"SHA256:{'A' * 43}", "sftp://"),
    ):
        _output, errors = patient.begin_and_end("--pin", pin, status=2)
        assert words in errors


# What servers seldom do.


class Notes:
    """What a probe tells."""

    def __init__(self) -> None:
        self.steps: dict[str, str] = {}

    def start(self, step: str) -> None:
        self.steps[step] = "ok"

    def found(self, fact: str) -> None:
        self.steps[list(self.steps)[-1]] = fact

    def no(self, reason: str) -> None:
        self.steps[list(self.steps)[-1]] = f"no: {reason}"


class WrongClock(FileTransport):
    def modified(self, name: str) -> float:
        return super().modified(name) + 3 * 3600


class KeepsAll(FileTransport):
    def remove(self, name: str) -> None:
        raise NotPermittedTransferError("may not remove")


class StartsAgain(FileTransport):
    def put(self, source: Any, name: str, *, offset: int = 0) -> None:
        if offset:
            raise TemporaryTransferError("cannot resume")
        super().put(source, name)


class RefusesToResume(FileTransport):
    def put(self, source: Any, name: str, *, offset: int = 0) -> None:
        if offset:
            raise NotPermittedTransferError("does not resume")
        super().put(source, name)


class ResumesAtTheBeginning(FileTransport):
    def put(self, source: Any, name: str, *, offset: int = 0) -> None:
        if offset:
            self.remove(name)
        super().put(source, name)


class DiskFull(FileTransport):
    def put(self, source: Any, name: str, *, offset: int = 0) -> None:
        super().put(io.BytesIO(CONTENT[:3]), name)
        raise TemporaryTransferError("the disk there is full")


def test_a_server_with_a_wrong_clock_is_told_of(tmp_path: Path) -> None:
    notes = Notes()
    assert Probe(WrongClock(str(tmp_path)), notes).account() == "full"
    assert notes.steps["clock"] == "no: the server's is 3 h ahead of ours: see to NTP on both sides"


def test_what_cannot_be_removed_is_left_as_a_complete_probe(tmp_path: Path) -> None:
    notes = Notes()
    assert Probe(KeepsAll(str(tmp_path)), notes).account() == "upload-only"
    assert "which a sweeper discards" in notes.steps["leave"]
    assert_is_discarded(tmp_path)


@pytest.mark.parametrize(
    ("kind", "account", "said"),
    [
        (RefusesToResume, "full", "does not resume"),
        (ResumesAtTheBeginning, "upload-only", f": says {len(CONTENT)} bytes, {2 * len(CONTENT)} were sent"),
        (StartsAgain, "upload-only", "cannot resume"),
    ],
    ids=["is refused it", "does it wrongly", "fails"],
)
def test_an_account_that_does_not_resume_may_rename_if_only_it_is_refused(
    tmp_path: Path, kind: type[FileTransport], account: str, said: str
) -> None:
    notes = Notes()
    assert Probe(kind(str(tmp_path)), notes).account() == account
    assert notes.steps["resume"].startswith("no: ")
    assert notes.steps["resume"].endswith(said)
    assert list(tmp_path.iterdir()) == []


def test_a_part_that_was_written_is_removed(tmp_path: Path) -> None:
    with pytest.raises(TemporaryTransferError, match="full"):
        Probe(DiskFull(str(tmp_path)), Notes()).account()
    assert list(tmp_path.iterdir()) == []


def test_every_step_is_in_the_manual(
    sshd_full: RunningServer, vsftpd_tls: RunningServer, vsftpd_drop_box: RunningServer, patient: Patient
) -> None:
    found = patient.at(sshd_full, known_hosts=patient.home / "known").examined("--pin", fingerprint(sshd_full))
    for server in (vsftpd_tls, vsftpd_drop_box):
        found |= patient.at(server).examined()
    documented = re.findall(r"(?m)^\.It Cm (.+)$", (Path(__file__).parents[3] / "man" / "archq-doctor.1").read_text())
    assert set(documented) == {step for step in found if not step.startswith("queue ")}
