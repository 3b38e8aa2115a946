"""OpenSSH's internal-sftp in a chroot: a drop box that allows little more than writing, and a full account."""

from __future__ import annotations

from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from tests.servers import debian, syslog
from tests.servers.keys import make_ssh_key
from tests.servers.process import (
    AS_ROOT,
    HOST,
    Daemon,
    Kind,
    RunningServer,
    free_port,
    in_url,
    path_for_clients,
    served_directory,
    system_user,
    uploader,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# The fixed place in which Debian's sshd locks its unprivileged half up.
EMPTY_DIRECTORY = Path("/run/sshd")

SETTINGS = """\
Port {port}
ListenAddress {host}
HostKey {home}/host_key
PidFile none
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile {home}/authorized_keys
StrictModes no
AllowUsers {user}
DisableForwarding yes
ChrootDirectory {chroot}
Subsystem sftp internal-sftp
ForceCommand internal-sftp -l INFO -u 0077 {permitted}
"""
PERMITTED = {"full": "", "upload-only": "-p open,close,write,realpath,stat,lstat,fstat,fsync,limits"}


@contextmanager
def running(kind: Kind, *, host: str = HOST) -> Iterator[RunningServer]:
    """Serve an account of ``kind`` by OpenSSH.

    Without root it works too, but shows clients the paths of this machine and has no log: that is the system's.
    """
    user = uploader()
    if AS_ROOT:
        system_user("sshd")
        EMPTY_DIRECTORY.mkdir(mode=0o755, exist_ok=True)
    package = debian.fetched("openssh-server")
    with served_directory(user) as home:
        port = free_port()
        (home / "authorized_keys").write_text(make_ssh_key(home / "client_key") + "\n")
        (home / "known_hosts").write_text(f"[{host}]:{port} {make_ssh_key(home / 'host_key')}\n")
        configuration = home / "sshd_config"
        configuration.write_text(
            SETTINGS.format(
                host=host,
                port=port,
                home=home,
                user=user.pw_name,
                chroot=home / "root" if AS_ROOT else "none",
                permitted=PERMITTED[kind],
            )
        )
        command = (package.program("usr/sbin/sshd"), "-D", "-e", "-f", str(configuration))
        with (
            syslog.collected(home / "root", home / "auth.log"),
            Daemon(command, port=port, output=home / "output", environment=package.environment, host=host) as daemon,
        ):
            yield RunningServer(
                url=f"sftp://{user.pw_name}@{in_url(host)}:{port}{path_for_clients(home)}",
                kind=kind,
                incoming=home / "root" / "incoming",
                uid=user.pw_uid,
                gid=user.pw_gid,
                daemon=daemon,
                key=home / "client_key",
                known_hosts=home / "known_hosts",
                logs={"openssh": home / "auth.log"} if AS_ROOT else {},
            )
