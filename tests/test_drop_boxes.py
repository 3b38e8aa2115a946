"""The drop boxes that `archq init --archive` prints: really served, filled by `archq ship`, emptied by the sweeper."""

from __future__ import annotations

import grp
import os
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.requirements import require
from tests.servers import debian
from tests.servers.keys import make_certificate, make_ssh_key
from tests.servers.process import (
    AS_ROOT,
    HOST,
    PASSWORD,
    Daemon,
    UnavailableError,
    free_port,
    served_directory,
    system_user,
    uploader,
)
from tests.servers.sshd import EMPTY_DIRECTORY

if TYPE_CHECKING:
    import pwd
    from collections.abc import Iterator

ROOT = Path(__file__).parents[1]
FRAME = b"light" * 1000

# What a test needs otherwise than a site: a port of loopback, and a container that may lack privileges.
VSFTPD_HERE = """\
background=NO
listen_address={host}
listen_port={port}
isolate=NO
isolate_network=NO
"""
SSHD_HERE = """\
ListenAddress {host}
Port {port}
HostKey {home}/host_key
PidFile none
UsePAM no
StrictModes no
Subsystem sftp internal-sftp
Include {home}/drop-box.conf
"""


@dataclass(frozen=True, kw_only=True)
class Site:
    """An archive host below ``home`` and an instrument computer below ``desk``."""

    home: Path
    desk: Path
    account: pwd.struct_passwd

    def run(self, program: str, *words: str | Path, config: Path) -> str:
        environment = {**os.environ, "ARCHQ_CONFIG": str(config), "PYTHONPATH": str(ROOT), "HOME": str(self.desk)}
        code = f"from {program}.cli import main; main()"
        command = [sys.executable, "-c", code, *map(str, words)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, stdin=subprocess.DEVNULL)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def archive_host(self, server: str) -> str:
        """Set the archive host up as the manual says, and return the drop box that it prints."""
        group = grp.getgrgid(self.account.pw_gid).gr_name
        words = ("--uploader", self.account.pw_name, "--group", group, "--owner", "root", "--drop-box", server)
        archives = ("--directory", self.home / "archive", "--instrument", "minicam")
        incoming = self.home / "root/incoming"
        told = self.run("archq", "init", "--archive", "--incoming", incoming, *words, *archives, config=self.archq_toml)
        return told.partition(" --\n")[2]

    @property
    def archq_toml(self) -> Path:
        return self.home / "archq.toml"

    def deliver_and_file(self, url: str, *words: str) -> None:
        """Set the instrument computer up, send a frame, sweep, and find the frame in the archive."""
        config = self.desk / "archq.toml"
        told = self.run("archq", "init", "--url", url, "--spool", self.desk / "spool", *words, config=config)
        assert "account:       ok (upload-only)" in told
        frame = self.desk / "img0001.fits"
        frame.write_bytes(FRAME)
        self.run("archq", "submit", "-o", "inst=minicam,dir=night", frame, config=config)
        self.run("archq", "ship", "--once", config=config)
        arrived = list((self.home / "root/incoming").glob("minicam.*"))
        assert {(path.stat().st_uid, path.stat().st_mode & 0o777) for path in arrived} == {(self.account.pw_uid, 0o640)}
        assert self.run("sweeper", "--configured", config=self.archq_toml) == ""
        assert (self.home / "archive/minicam/night/img0001.fits").read_bytes() == FRAME
        assert [path.name for path in (self.home / "root/incoming").iterdir()] == [".archq-work"]


@contextmanager
def bare_site(desk: Path) -> Iterator[Site]:
    """Lend a site on which nothing is set up."""
    require(AS_ROOT, "only root can confine other accounts")
    account = uploader()
    with served_directory(account) as home:
        (home / "root/incoming").rmdir()
        yield Site(home=home, desk=desk, account=account)


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    with bare_site(tmp_path) as site:
        yield site


def unpacked(package: str) -> debian.Unpacked:
    try:
        return debian.fetched(package)
    except UnavailableError as error:
        require(False, str(error))
        raise


@contextmanager
def vsftpd(site: Site, drop_box: str) -> Iterator[int]:
    package, port = unpacked("vsftpd"), free_port()
    (site.home / "empty").mkdir()
    (site.home / "passwords").write_text(f"{PASSWORD}\n")
    text = drop_box + VSFTPD_HERE.format(host=HOST, port=port)
    for theirs, ours in {
        "/run/vsftpd/empty": "empty",
        "/etc/vsftpd.drop_box_passwords": "passwords",
        "/var/log/": "",
        "/etc/ssl/certs/ftp.pem": "certificate.pem",
        "/etc/ssl/private/ftp.key": "key.pem",
    }.items():
        assert theirs in text
        text = text.replace(theirs, f"{site.home}/{ours}")
    (site.home / "vsftpd.conf").write_text(text)
    command = (package.program("usr/sbin/vsftpd"), str(site.home / "vsftpd.conf"))
    with Daemon(command, port=port, output=site.home / "output", environment=package.environment):
        yield port


@contextmanager
def sshd(site: Site, drop_box: str) -> Iterator[int]:
    system_user("sshd")
    EMPTY_DIRECTORY.mkdir(mode=0o755, exist_ok=True)
    package, port = unpacked("openssh-server"), free_port()
    (site.home / site.account.pw_name).write_text(make_ssh_key(site.desk / "key") + "\n")
    (site.desk / "known_hosts").write_text(f"[{HOST}]:{port} {make_ssh_key(site.home / 'host_key')}\n")
    assert "/etc/ssh/drop_box_keys" in drop_box
    (site.home / "drop-box.conf").write_text(drop_box.replace("/etc/ssh/drop_box_keys", str(site.home)))
    (site.home / "sshd_config").write_text(SSHD_HERE.format(host=HOST, port=port, home=site.home))
    command = (package.program("usr/sbin/sshd"), "-D", "-e", "-f", str(site.home / "sshd_config"))
    with Daemon(command, port=port, output=site.home / "output", environment=package.environment):
        yield port


def password_file(site: Site) -> str:
    path = site.desk / "password"
    path.write_text(f"{PASSWORD}\n")
    path.chmod(0o600)
    return str(path)


def test_a_file_goes_through_the_drop_box_of_vsftpd(site: Site) -> None:
    with vsftpd(site, site.archive_host("vsftpd")) as port:
        site.deliver_and_file(f"ftp://ftp@{HOST}:{port}/incoming", "--password-file", password_file(site))
    assert (site.home / "xferlog").read_text().count(" /incoming/minicam.") == 2


def test_a_file_goes_through_the_drop_box_of_vsftpd_over_tls(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    make_certificate(site.home / "certificate.pem", site.home / "key.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(site.home / "certificate.pem"))
    drop_box = site.archive_host("vsftpd").replace("\n#ssl_", "\nssl_").replace("\n#rsa_", "\nrsa_")
    for key in ("allow", "force"):
        drop_box = drop_box.replace(f"\n#{key}_", f"\n{key}_")
    with vsftpd(site, drop_box) as port:
        site.deliver_and_file(f"ftps://ftp@{HOST}:{port}/incoming", "--password-file", password_file(site))


def test_a_file_goes_through_the_drop_box_of_sshd(site: Site) -> None:
    with sshd(site, site.archive_host("sshd")) as port:
        (site.desk / ".ssh").mkdir(mode=0o700)
        (site.desk / "known_hosts").rename(site.desk / ".ssh/known_hosts")
        url = f"sftp://{site.account.pw_name}@{HOST}:{port}/incoming"
        site.deliver_and_file(url, "--key", str(site.desk / "key"))
