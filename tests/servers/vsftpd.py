"""vsftpd: the anonymous drop box of many an archive, and a full account."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.servers import debian
from tests.servers.keys import make_certificate
from tests.servers.process import (
    AS_ROOT,
    HOST,
    PASSIVE_PORTS,
    PASSWORD,
    Daemon,
    Kind,
    RunningServer,
    free_port,
    in_url,
    path_for_clients,
    served_directory,
    uploader,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

# The seccomp sandbox kills uploads on recent kernels; isolation needs privileges that a container may lack.
SETTINGS = f"""\
{{listening}}
listen_port={{port}}
background=NO
run_as_launching_user={{unprivileged}}
connect_from_port_20=NO
pasv_min_port={PASSIVE_PORTS[0]}
pasv_max_port={PASSIVE_PORTS[1]}
seccomp_sandbox=NO
isolate=NO
isolate_network=NO
secure_chroot_dir={{home}}/empty
local_enable=NO
anonymous_enable=YES
ftp_username={{user}}
anon_root={{home}}/root
secure_email_list_enable=YES
email_password_file={{home}}/passwords
write_enable=YES
anon_upload_enable=YES
anon_mkdir_write_enable=NO
anon_other_write_enable={{full}}
dirlist_enable={{full}}
download_enable={{full}}
anon_world_readable_only=NO
anon_umask=077
xferlog_enable=YES
dual_log_enable=YES
xferlog_file={{home}}/xferlog
vsftpd_log_file={{home}}/vsftpd.log
"""
TLS_SETTINGS = """\
ssl_enable=YES
allow_anon_ssl=YES
force_anon_logins_ssl=YES
force_anon_data_ssl=YES
require_ssl_reuse=YES
ssl_ciphers=HIGH
rsa_cert_file={home}/certificate.pem
rsa_private_key_file={home}/key.pem
"""


@contextmanager
def running(kind: Kind, *, tls: bool = False, host: str = HOST) -> Iterator[RunningServer]:
    """Serve an account of ``kind`` by vsftpd; with ``tls``, only over TLS with data sessions reused.

    Without root it works too, but shows clients the paths of this machine.
    """
    user = uploader()
    package = debian.fetched("vsftpd")
    with served_directory(user) as home:
        port = free_port()
        (home / "empty").mkdir()
        (home / "passwords").write_text(f"{PASSWORD}\n")
        listening = "listen=YES\nlisten_address=" if host == HOST else "listen=NO\nlisten_ipv6=YES\nlisten_address6="
        switches = {"full": yes(kind == "full"), "unprivileged": yes(not AS_ROOT), "listening": listening + host}
        settings = SETTINGS + TLS_SETTINGS * tls
        configuration = home / "vsftpd.conf"
        configuration.write_text(settings.format(port=port, home=home, user=user.pw_name, **switches))
        if tls:
            make_certificate(home / "certificate.pem", home / "key.pem")
        command = (package.program("usr/sbin/vsftpd"), str(configuration))
        with Daemon(command, port=port, output=home / "output", environment=package.environment, host=host) as daemon:
            yield RunningServer(
                url=f"{'ftps' if tls else 'ftp'}://ftp@{in_url(host)}:{port}{path_for_clients(home)}",
                kind=kind,
                incoming=home / "root" / "incoming",
                uid=user.pw_uid,
                gid=user.pw_gid,
                daemon=daemon,
                password=PASSWORD,
                certificate=home / "certificate.pem" if tls else None,
                logs={"xferlog": home / "xferlog", "vsftpd": home / "vsftpd.log"},
            )


def yes(claim: bool) -> str:
    return "YES" if claim else "NO"
