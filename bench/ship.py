"""Shipping by SFTP and FTP beside programs that send files: ours with control files and every size verified.

Peers send the data files only.  Ours are submitted before the clock starts, so their checksums are not in its time.
What one turn has uploaded is set aside before the next, not removed: see :meth:`bench.site.Site.empty`.
"""

from __future__ import annotations

import os
import pwd
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from bench import site
from bench.harness import Contender, succeed
from bench.peers import available, peer
from tests.servers import debian, sshd, vsftpd
from tests.servers.keys import make_ssh_key
from tests.servers.process import HOST, Daemon, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from bench.harness import Report
    from bench.peers import Builder
    from bench.site import Site
    from tests.servers.process import RunningServer

MANY = 1_000
SMALL = 16_000  # bytes
LARGE = 10**9
TURNS = 3
CIPHER = "aes128-gcm@openssh.com"  # the fastest that both sides have


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    """Files to send; ``against`` names the peer that counts, None the fastest."""

    name: str
    files: Sequence[Path]
    goal: float
    against: str | None = None


def run(report: Report, *, long: bool) -> None:
    """Measure one large file and many small ones, by both protocols."""
    size = LARGE if long else LARGE // 4
    if not long:
        report.note(f"large files have {size / 1e6:.0f} MB; 1 GB with --long")
    with site.made() as place:
        large, many = [place.file("large", size)], place.files(MANY, SMALL)
        one, thousand = f"{size / 1e6:.0f} MB", f"{MANY:,} x {SMALL // 1000} kB"
        with sshd.running("full") as server, shell_account(place.home) as shell:
            place.configure(server.url, f'key = "{server.key}"', f'known_hosts = "{server.known_hosts}"')
            peers: list[Builder] = [
                partial(sftp, report, server, place.home),
                partial(scp, server),
                partial(lftp_by_sftp, report, server),
                partial(rsync, report, shell),
            ]
            compare(report, place, server, Work(name=f"SFTP {one}", files=large, goal=1.05), peers)
            compare(report, place, server, Work(name=f"SFTP {thousand}", files=many, goal=1.0, against="sftp"), peers)
        with vsftpd.running("full") as server:
            place.configure(server.url, f'password_file = "{password_file(place, server)}"')
            peers = [
                partial(lftp_by_ftp, report, server),
                partial(curl, report, server, place.home),
                partial(ncftpput, report, server),
            ]
            compare(report, place, server, Work(name=f"FTP {one}", files=large, goal=1.0), peers)
            compare(report, place, server, Work(name=f"FTP {thousand}", files=many, goal=1.0, against="lftp"), peers)


def password_file(place: Site, server: RunningServer) -> Path:
    path = place.home / "password"
    path.touch(0o600)
    path.write_text(f"{server.password}\n")
    return path


def compare(report: Report, place: Site, server: RunningServer, work: Work, peers: list[Builder]) -> None:
    ours = shipping(place, server, work.files, goal=work.goal)
    others = list(available(report, peers, work.files))
    against = work.against if work.against in {one.name for one in others} else None
    report.compare(work.name, [ours], others, against=against, turns=TURNS)


def shipping(place: Site, server: RunningServer, files: Sequence[Path], *, goal: float | None) -> Contender:
    """Return our program, ``files`` being one request."""
    return Contender(
        name="archq ship",
        run=lambda: place.run("archq", "ship", "--once"),
        prepare=lambda: (renewed(server), place.empty(), place.run("archq", "submit", *files)),
        verify=lambda: arrived(server.incoming, files, control_files=len(files)),
        goal=goal,
    )


def renewed(server: RunningServer) -> None:
    """Put an empty incoming directory in the place of the used one; what was in it stays, but takes no room."""
    empty_files(server.set_aside())


def empty_files(directory: Path) -> None:
    for file in directory.iterdir():
        os.truncate(file, 0)


def arrived(incoming: Path, files: Sequence[Path], *, control_files: int = 0) -> None:
    """Raise AssertionError unless all of ``files`` are there, whole."""
    found = [entry.stat().st_size for entry in incoming.iterdir()]
    assert len(found) == len(files) + control_files, f"{len(found)} of {len(files) + control_files} files arrived"
    assert sum(found) >= sum(file.stat().st_size for file in files), "files arrived cut short"


def ssh_options(server: RunningServer) -> tuple[str, ...]:
    trust = ("-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes", "-o", f"UserKnownHostsFile={server.known_hosts}")
    return "-F", "none", "-c", CIPHER, "-i", str(server.key), *trust


def sftp(report: Report, server: RunningServer, home: Path, files: Sequence[Path]) -> Contender:
    where = urlsplit(server.url)
    ssh = peer(report, "ssh", "openssh-client", "-V")
    batch = home / f"{len(files)}.batch"
    batch.write_text("".join(f"put {file} {where.path}/{file.name}\n" for file in files))
    program = Path(ssh.path).with_name("sftp")
    words = (program, *ssh_options(server), "-P", str(where.port), "-b", batch, f"{where.username}@{HOST}")
    return Contender(
        name="sftp",
        run=lambda: succeed(*words, environment=ssh.environment),
        prepare=partial(renewed, server),
        verify=lambda: arrived(server.incoming, files),
    )


def scp(server: RunningServer, files: Sequence[Path]) -> Contender:
    where = urlsplit(server.url)
    target = f"{where.username}@{HOST}:{where.path}/"
    words = ("scp", *ssh_options(server), "-P", str(where.port), *files, target)
    return Contender(
        name="scp",
        run=lambda: succeed(*words),
        prepare=partial(renewed, server),
        verify=lambda: arrived(server.incoming, files),
    )


def lftp_by_sftp(report: Report, server: RunningServer, files: Sequence[Path]) -> Contender:
    program = f'set sftp:connect-program "ssh -a -x {" ".join(ssh_options(server))}"'
    return lftp(report, server, files, program)


def lftp_by_ftp(report: Report, server: RunningServer, files: Sequence[Path]) -> Contender:
    return lftp(report, server, files, "set ftp:ssl-allow no")


def lftp(report: Report, server: RunningServer, files: Sequence[Path], setting: str) -> Contender:
    where, found = urlsplit(server.url), peer(report, "lftp", "lftp")
    login = f"open -u {where.username},{server.password or ''} {where.scheme}://{HOST}:{where.port}"
    send = f"mirror -R --parallel=4 --include-glob='{files[0].name[:5]}*' {files[0].parent} {where.path}"
    script = "; ".join(("set cmd:fail-exit yes", setting, login, send))
    words = (found.path, "--norc", "-c", script)
    return Contender(
        name="lftp",
        run=lambda: succeed(*words, environment=found.environment),
        prepare=partial(renewed, server),
        verify=lambda: arrived(server.incoming, files),
    )


def curl(report: Report, server: RunningServer, home: Path, files: Sequence[Path]) -> Contender:
    where, found = urlsplit(server.url), peer(report, "curl", "curl")
    address = f"{where.scheme}://{HOST}:{where.port}{where.path}/"
    settings = home / f"{len(files)}.curl"
    settings.write_text(
        f'silent\nshow-error\nuser = "{where.username}:{server.password}"\n'
        + "".join(f'upload-file = "{file}"\nurl = "{address}{file.name}"\n' for file in files)
    )
    words = (found.path, "-K", settings)
    return Contender(
        name="curl",
        run=lambda: succeed(*words, environment=found.environment),
        prepare=partial(renewed, server),
        verify=lambda: arrived(server.incoming, files),
    )


def ncftpput(report: Report, server: RunningServer, files: Sequence[Path]) -> Contender:
    where, found = urlsplit(server.url), peer(report, "ncftpput", "ncftp", "-v")
    account = ("-u", where.username or "", "-p", server.password or "", "-P", str(where.port))
    words = (found.path, "-V", *account, HOST, where.path, *files)
    return Contender(
        name="ncftpput",
        run=lambda: succeed(*words, environment=found.environment),
        prepare=partial(renewed, server),
        verify=lambda: arrived(server.incoming, files),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Shell:
    """An SSH account in which programs can be run: rsync has its own at the other end."""

    command: str
    target: Path

    def renew(self) -> None:
        """Put an empty directory in the place of the used one, which stays."""
        if self.target.exists():
            empty_files(self.target.rename(tempfile.mkdtemp(dir=self.target.parent)))
        self.target.mkdir()


SHELL_SETTINGS = """\
Port {port}
ListenAddress {host}
HostKey {home}/host_key
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
AuthorizedKeysFile {home}/authorized_keys
StrictModes no
"""


@contextmanager
def shell_account(place: Path) -> Iterator[Shell]:
    """Serve this user's own account on loopback, to one key that is made for it."""
    home, port = place / "shell", free_port()
    home.mkdir()
    (home / "authorized_keys").write_text(make_ssh_key(home / "client_key") + "\n")
    (home / "known_hosts").write_text(f"[{HOST}]:{port} {make_ssh_key(home / 'host_key')}\n")
    (home / "sshd_config").write_text(SHELL_SETTINGS.format(port=port, host=HOST, home=home))
    package = debian.fetched("openssh-server")
    command = (package.program("usr/sbin/sshd"), "-D", "-e", "-f", str(home / "sshd_config"))
    client = f"ssh -F none -c {CIPHER} -p {port} -l {pwd.getpwuid(os.geteuid()).pw_name} -i {home}/client_key"
    trust = f"-o IdentitiesOnly=yes -o BatchMode=yes -o UserKnownHostsFile={home}/known_hosts"
    with Daemon(command, port=port, output=home / "output", environment=package.environment):
        yield Shell(command=f"{client} {trust}", target=home / "target")


def rsync(report: Report, shell: Shell, files: Sequence[Path]) -> Contender:
    found = peer(report, "rsync", "rsync")
    there = f"env LD_LIBRARY_PATH={found.environment.get('LD_LIBRARY_PATH', '')} {found.path}"
    words = (found.path, "--whole-file", "-e", shell.command, "--rsync-path", there, *files, f"{HOST}:{shell.target}/")
    return Contender(
        name="rsync",
        run=lambda: succeed(*words, environment=found.environment),
        prepare=shell.renew,
        verify=lambda: arrived(shell.target, files),
    )
