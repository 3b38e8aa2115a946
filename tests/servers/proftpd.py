"""ProFTPD: an anonymous drop box behind a wall of limits, and a full account with a password file."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.servers import debian
from tests.servers.process import (
    HOST,
    PASSIVE_PORTS,
    PASSWORD,
    PASSWORD_HASH,
    Daemon,
    Kind,
    RunningServer,
    free_port,
    in_url,
    require_root,
    served_directory,
    uploader,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

SETTINGS = f"""\
ModulePath {{modules}}
ServerType standalone
ServerName "archq test"
DefaultAddress {{host}}
Port {{port}}
PassivePorts {PASSIVE_PORTS[0]} {PASSIVE_PORTS[1]}
UseIPv6 {{ipv6}}
UseReverseDNS off
User {{user}}
Group {{group}}
PidFile {{home}}/pid
ScoreboardFile {{home}}/scoreboard
DelayTable none
WtmpLog off
AuthPAM off
AuthOrder mod_auth_file.c
AuthUserFile {{home}}/passwords
AuthGroupFile {{home}}/groups
RequireValidShell off
Umask 077
TransferLog {{home}}/xferlog
ExtendedLog {{home}}/extended.log WRITE
LogFormat archq "%h %l %u %t \\"%r\\" %s %b %T"
ExtendedLog {{home}}/timed.log WRITE archq
"""
ACCOUNTS = {
    "full": """\
DefaultRoot ~
AllowOverwrite on
AllowStoreRestart {restarts}
AllowRetrieveRestart on
""",
    "upload-only": """\
<Anonymous {home}/root>
  User {user}
  Group {group}
  <Limit ALL>
    DenyAll
  </Limit>
  <Limit LOGIN CWD PASV EPSV TYPE QUIT>
    AllowAll
  </Limit>
  <Directory incoming>
    <Limit STOR CWD>
      AllowAll
    </Limit>
  </Directory>
</Anonymous>
""",
}


@contextmanager
def running(kind: Kind, *, host: str = HOST, restarts: bool = True) -> Iterator[RunningServer]:
    """Serve an account of ``kind`` by ProFTPD; the drop box takes any password.

    A full one may resume uploads unless ``restarts`` is false, as it is by default there.
    """
    require_root("ProFTPD")
    user = uploader()
    package = debian.fetched("proftpd-core")
    with served_directory(user) as home:
        port = free_port()
        account = f"{user.pw_name}:{PASSWORD_HASH}:{user.pw_uid}:{user.pw_gid}::{home}/root:/bin/false\n"
        (home / "passwords").write_text(account)
        (home / "groups").write_text(f"{user.pw_name}:x:{user.pw_gid}:\n")
        for name in ("passwords", "groups"):
            (home / name).chmod(0o640)
        configuration = home / "proftpd.conf"
        configuration.write_text(
            (SETTINGS + ACCOUNTS[kind]).format(
                modules=package.root / "usr/lib/proftpd",
                host=host,
                ipv6="off" if host == HOST else "on",
                port=port,
                home=home,
                user=user.pw_name,
                group=user.pw_name,
                restarts="on" if restarts else "off",
            )
        )
        command = (package.program("usr/sbin/proftpd"), "-n", "-c", str(configuration))
        with Daemon(command, port=port, output=home / "output", environment=package.environment, host=host) as daemon:
            yield RunningServer(
                url=f"ftp://{user.pw_name}@{in_url(host)}:{port}/incoming",
                kind=kind,
                incoming=home / "root" / "incoming",
                uid=user.pw_uid,
                gid=user.pw_gid,
                daemon=daemon,
                password=PASSWORD,
                logs={"xferlog": home / "xferlog", "extendedlog": home / "extended.log", "timed": home / "timed.log"},
            )
