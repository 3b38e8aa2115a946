"""Every way to log in works at real servers, what is wrong is said usefully, and secrets stay secret."""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import socket
import ssl
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import paramiko
import pytest

from archq.config import QueueSettings
from archq.errors import ConfigurationError, ExitStatus
from archq.options import Remote
from archq.transports.accounts import connect, destination_of, read_secret, with_secret
from archq.transports.base import PermanentTransferError, Scope, TemporaryTransferError, TransferError
from archq.transports.destination import Destination
from archq.transports.ftp import FtpTransport, tls_context
from archq.transports.hostkeys import HostKey, known_host, listed_name, pin
from archq.transports.sshroute import route_to
from tests.servers.keys import make_ssh_key, write_secret
from tests.servers.process import HOST, free_port
from tests.tools import tool

if TYPE_CHECKING:
    from collections.abc import Iterator

    from archq.transports.base import Transport
    from tests.servers.process import RunningServer

SECRET = "hunter2-and-blanks"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home without keys, agent or configuration."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    (tmp_path / ".ssh").mkdir(mode=0o700)
    return tmp_path


def private(path: Path, text: str) -> str:
    write_secret(path, text.encode())
    return str(path)


def queue(server: RunningServer, **changes: Any) -> QueueSettings:
    """The settings of a queue that goes to ``server``, complete unless ``changes`` say otherwise."""
    said: dict[str, Any] = {"name": "archive", "url": server.url, "idle": 20.0}
    if server.key:
        said |= {"key": str(server.key), "known_hosts": str(server.known_hosts)}
    return QueueSettings(**(said | changes))


def port_of(server: RunningServer) -> int:
    return urlsplit(server.url).port or 0


def puts_a_file(session: Transport, server: RunningServer, name: str = "one.df") -> None:
    session.put(io.BytesIO(b"frame"), name)
    session.close()
    assert (server.incoming / name).read_bytes() == b"frame"


def refusal(settings: QueueSettings, remote: Remote | None = None) -> TransferError:
    """How connecting fails for good."""
    with pytest.raises(PermanentTransferError) as caught:
        connect(settings, remote)
    assert caught.value.status is ExitStatus.REFUSED
    assert "\n" not in str(caught.value)
    return caught.value


# Where passwords come from.


def secret_from(url: str = "ftp://tdcin@archive.example.edu/incoming", **said: Any) -> Destination:
    settings = QueueSettings(name="archive", url=url, **said)
    return with_secret(settings, destination_of(settings))


def test_a_password_is_the_first_line_of_its_file(tmp_path: Path) -> None:
    path = private(tmp_path / "pw", f"{SECRET}\r\nnot this\n")
    assert secret_from(password_file=path).password == SECRET


def test_a_password_file_may_be_a_link_as_its_owner_and_mode_are_those_of_what_is_opened(tmp_path: Path) -> None:
    private(tmp_path / "pw", SECRET)
    (tmp_path / "link").symlink_to("pw")
    assert read_secret(str(tmp_path / "link")) == SECRET
    (tmp_path / "pw").chmod(0o644)
    with pytest.raises(ConfigurationError, match=r"link may be read by others \(mode 0644\): chmod 600 "):
        read_secret(str(tmp_path / "link"))


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620])
def test_a_password_file_that_others_may_read_or_write_is_refused(tmp_path: Path, mode: int) -> None:
    path = private(tmp_path / "pw", SECRET)
    os.chmod(path, mode)
    with pytest.raises(ConfigurationError, match=rf"pw may be read by others \(mode {mode:04o}\): chmod 600 .*/pw"):
        read_secret(path)


def test_a_password_file_of_another_account_is_refused(tmp_path: Path) -> None:
    path = private(tmp_path / "pw", SECRET)
    if os.geteuid() == 0:
        os.chown(path, 65534, 65534)
    else:
        path = "/proc/1/environ"
    with pytest.raises(ConfigurationError, match=r"another account \(uid 65534\).*chown it|Permission denied"):
        read_secret(path)


def test_a_password_file_that_is_none_says_what_it_is(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo", 0o600)
    with pytest.raises(ConfigurationError, match="fifo is not a regular file"):
        read_secret(str(tmp_path / "fifo"))
    with pytest.raises(ConfigurationError, match=r"cannot read .*/absent: No such file or directory: is it there"):
        read_secret(str(tmp_path / "absent"))
    with pytest.raises(ConfigurationError, match="holds no password in its first line: write it there"):
        read_secret(private(tmp_path / "empty", "\nsecond line\n"))
    with pytest.raises(ConfigurationError, match="4096 bytes is no password"):
        read_secret(private(tmp_path / "frame", "x" * 10_000))


def test_a_password_that_is_no_text_is_refused_without_being_shown(tmp_path: Path) -> None:
    (tmp_path / "pw").touch(0o600)
    (tmp_path / "pw").write_bytes(b"\xffsecret-bytes\n")
    with pytest.raises(ConfigurationError, match="the password is not UTF-8") as caught:
        read_secret(str(tmp_path / "pw"))
    assert caught.value.__cause__ is None  # a decoding error holds the bytes


def test_a_command_prints_the_password(tmp_path: Path) -> None:
    script = private(tmp_path / "give me", f"echo '{SECRET}'; echo more\n")
    assert secret_from(password_command=f"sh {shlex.quote(script)}").password == SECRET


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("false", r"password_command failed with exit status 1: run it by hand, as this account"),
        ("true", r"what \[queue.archive\] password_command printed holds no password"),
        ("no-such-program", r"password_command cannot be run: No such file or directory: is it installed"),
        ("sh -c 'unfinished", r"password_command is not made of words: No closing quotation"),
    ],
)
def test_a_command_that_gives_no_password_says_why(command: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        secret_from(password_command=command)


def test_a_command_that_does_not_end_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("archq.transports.accounts.COMMAND_SECONDS", 0.05)
    with pytest.raises(ConfigurationError, match=r"password_command did not end within 0.05 s: nobody is there"):
        secret_from(password_command="sleep 60")


def test_netrc_gives_the_password_and_the_user_where_the_url_names_none(home: Path) -> None:
    private(home / ".netrc", f"machine archive.example.edu login tdcin password {SECRET}\n")
    assert secret_from(netrc=True).password == SECRET
    found = secret_from("ftp://archive.example.edu/incoming", netrc=True)
    assert (found.user, found.password) == ("tdcin", SECRET)


def test_netrc_that_does_not_help_says_what_to_write(home: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"cannot read .*/.netrc: No such file"):
        secret_from(netrc=True)
    private(home / ".netrc", f"machine archive.example.edu login somebody password {SECRET}\n")
    with pytest.raises(
        ConfigurationError,
        match=r"no entry for tdcin at archive.example.edu: add a line machine archive.example.edu login tdcin",
    ):
        secret_from(netrc=True)
    (home / ".netrc").chmod(0o640)
    with pytest.raises(ConfigurationError, match=r"\.netrc may be read by others"):
        secret_from(netrc=True)


def test_netrc_with_an_error_is_not_quoted(home: Path) -> None:
    private(home / ".netrc", f"machine archive.example.edu login tdcin\n{SECRET} password\n")
    with pytest.raises(ConfigurationError, match=r"\.netrc, line 2, is not as netrc\(5\) has it") as caught:
        secret_from(netrc=True)
    assert SECRET not in str(caught.value)
    assert caught.value.__cause__ is None


def test_nothing_that_can_be_printed_holds_a_password(tmp_path: Path) -> None:
    found = secret_from(password_file=private(tmp_path / "pw", SECRET))
    assert SECRET not in f"{found} {found!r} {Remote(password=SECRET)!r}"


# FTP.


def test_the_password_of_netrc_logs_in_to_a_real_server(vsftpd_full: RunningServer, home: Path) -> None:
    private(home / ".netrc", f"machine {HOST} login ftp password {vsftpd_full.password}\n")
    url = vsftpd_full.url.replace("ftp@", "")
    puts_a_file(connect(queue(vsftpd_full, url=url, netrc=True)), vsftpd_full)


def test_a_wrong_password_is_refused_for_good_and_not_shown(vsftpd_full: RunningServer, tmp_path: Path) -> None:
    error = refusal(queue(vsftpd_full, password_file=private(tmp_path / "pw", SECRET)))
    assert re.search(r"cannot log in as ftp: the server says 530 Login incorrect", str(error))
    assert error.scope is Scope.QUEUE
    assert SECRET not in repr(error)


def test_a_requests_own_account_is_that_requests_concern(vsftpd_full: RunningServer) -> None:
    remote = Remote(user="ftp", password=SECRET)
    error = refusal(queue(vsftpd_full, password_file="/nonexistent"), remote)
    assert "530" in str(error)
    assert SECRET not in repr(error)


def test_a_password_file_that_cannot_be_used_blocks_the_queue(vsftpd_full: RunningServer) -> None:
    error = refusal(queue(vsftpd_full, password_file="/nonexistent"))
    assert error.scope is Scope.QUEUE
    assert "cannot read /nonexistent" in str(error)


@contextmanager
def answering(*lines: str) -> Iterator[str]:
    """An FTP server that answers with ``lines``, one a command, {heard} being what it was sent."""
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            connection, _address = listener.accept()
            with connection, connection.makefile("rw", newline="\r\n") as stream:
                heard = ""
                for line in lines:
                    stream.write(line.format(heard=heard) + "\n")
                    stream.flush()
                    heard = stream.readline().strip()

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"ftp://tdcin@{HOST}:{listener.getsockname()[1]}/incoming"
        thread.join()


def test_a_server_that_says_the_password_back_does_not_bring_it_into_a_message(tmp_path: Path) -> None:
    with answering("220 hello", "331 password?", "500 '{heard}': not understood") as url:
        error = refusal(QueueSettings(name="archive", url=url, password_file=private(tmp_path / "pw", SECRET)))
    assert "the server says 500 'PASS ********': not understood" in str(error)
    assert SECRET not in repr(error)


def test_without_an_idle_limit_a_session_still_begins(vsftpd_full: RunningServer, tmp_path: Path) -> None:
    password = private(tmp_path / "pw", str(vsftpd_full.password))
    puts_a_file(connect(queue(vsftpd_full, idle=0.0, password_file=password)), vsftpd_full)


# FTP over TLS.


@pytest.fixture
def tls_queue(vsftpd_tls: RunningServer, tmp_path: Path) -> QueueSettings:
    password = private(tmp_path / "pw", str(vsftpd_tls.password))
    return queue(vsftpd_tls, password_file=password, ca_file=str(vsftpd_tls.certificate))


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_files_over_tls_continue_the_control_connections_session(
    vsftpd_tls: RunningServer, version: ssl.TLSVersion
) -> None:
    context = tls_context(str(vsftpd_tls.certificate))
    context.minimum_version = context.maximum_version = version
    destination = Destination.parse(vsftpd_tls.url, "url")
    session = FtpTransport(destination, str(vsftpd_tls.password), 20.0, context)
    for number in range(3):  # this server demands it for every one of them
        session.put(io.BytesIO(b"frame" * 100_000), f"{number}.df")
    session.close()
    assert [path.stat().st_size for path in vsftpd_tls.incoming.iterdir()] == [500_000] * 3


def test_a_ca_file_is_what_a_queue_trusts(vsftpd_tls: RunningServer, tls_queue: QueueSettings) -> None:
    puts_a_file(connect(tls_queue), vsftpd_tls)


def test_a_certificate_that_nobody_known_has_signed_is_refused_before_the_password_goes(
    vsftpd_tls: RunningServer, tmp_path: Path
) -> None:
    error = refusal(queue(vsftpd_tls, password_file=private(tmp_path / "pw", SECRET)))
    assert "cannot secure the connection: the server's certificate is not trusted: self-signed" in str(error)
    assert "cannot log in" not in str(error)


def test_a_certificate_of_another_host_is_refused(vsftpd_tls: RunningServer, tls_queue: QueueSettings) -> None:
    error = refusal(tls_queue, Remote(host=f"localhost:{port_of(vsftpd_tls)}"))
    assert re.search(r"the server's certificate is not trusted: .*'localhost'", str(error))


def test_a_server_without_tls_is_refused_before_the_password_goes(vsftpd_full: RunningServer, tmp_path: Path) -> None:
    url = vsftpd_full.url.replace("ftp:", "ftps:")
    error = refusal(queue(vsftpd_full, url=url, password_file=private(tmp_path / "pw", SECRET)))
    assert re.search(r"cannot secure the connection: the server says 5\d\d", str(error))


def test_nothing_older_than_tls_1_2_is_spoken_and_certificates_are_always_verified() -> None:
    context = tls_context()
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname


def test_a_ca_file_that_holds_no_certificate_says_so(tls_queue: QueueSettings, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("no certificate\n")
    for path, reason in ((tmp_path / "ca.pem", r"\[X509"), (tmp_path / "absent", "No such file")):
        said = {name: getattr(tls_queue, name) for name in ("url", "password_file")}
        error = refusal(QueueSettings(name="archive", ca_file=str(path), **said))
        assert re.search(rf"\[queue.archive\] ca_file: cannot use {path}: {reason}.*certificates to trust", str(error))


# SSH: keys.


def ssh_keygen(*words: str | Path) -> None:
    subprocess.run([tool("ssh-keygen"), "-q", *words], check=True, stdin=subprocess.DEVNULL, capture_output=True)


def test_a_key_logs_in(sshd_full: RunningServer) -> None:
    puts_a_file(connect(queue(sshd_full)), sshd_full)


def test_a_key_that_the_server_does_not_take_is_named(sshd_full: RunningServer, tmp_path: Path) -> None:
    make_ssh_key(tmp_path / "other")
    error = refusal(queue(sshd_full, key=str(tmp_path / "other")))
    user = urlsplit(sshd_full.url).username
    assert f"cannot log in as {user}: the server does not take the key {tmp_path}/other" in str(error)


@pytest.mark.parametrize("kind", ["ed25519", "rsa", "ecdsa"])
def test_a_key_with_a_passphrase_says_what_to_do(sshd_full: RunningServer, tmp_path: Path, kind: str) -> None:
    ssh_keygen("-t", kind, "-N", SECRET, "-f", tmp_path / "locked")
    error = refusal(queue(sshd_full, key=str(tmp_path / "locked")))
    assert f"the key {tmp_path}/locked is protected by a passphrase" in str(error)
    assert f"ssh-keygen -p -N '' -f {tmp_path}/locked" in str(error)


@pytest.mark.parametrize("words", [("-t", "rsa", "-m", "PEM"), ("-t", "ecdsa"), ("-t", "ecdsa", "-m", "PEM")])
def test_keys_of_other_kinds_and_forms_are_read(sshd_full: RunningServer, tmp_path: Path, words: tuple[str]) -> None:
    ssh_keygen(*words, "-N", "", "-f", tmp_path / "other")
    assert "does not take the key" in str(refusal(queue(sshd_full, key=str(tmp_path / "other"))))


def test_a_public_key_or_another_file_is_no_key(sshd_full: RunningServer, tmp_path: Path) -> None:
    path = private(tmp_path / "key.pub", make_ssh_key(tmp_path / "key"))
    assert f"{path} holds no private key of a known kind" in str(refusal(queue(sshd_full, key=path)))
    assert "cannot read /nonexistent: No such file" in str(refusal(queue(sshd_full, key="/nonexistent")))


def test_a_key_that_others_may_read_is_refused(sshd_full: RunningServer, tmp_path: Path) -> None:
    path = private(tmp_path / "key", Path(str(sshd_full.key)).read_text())
    os.chmod(path, 0o644)
    assert f"{path} may be read by others (mode 0644): chmod 600 {path}" in str(refusal(queue(sshd_full, key=path)))


@pytest.fixture
def agent(home: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    where = home / "agent"
    process = subprocess.Popen([tool("ssh-agent"), "-D", "-a", str(where)], stdout=subprocess.PIPE)
    assert process.stdout
    with process.stdout:
        process.stdout.readline()  # it says where, and then it listens
        monkeypatch.setenv("SSH_AUTH_SOCK", str(where))
        yield
        process.terminate()
        process.wait()


@pytest.mark.usefixtures("agent")
def test_without_a_key_the_agents_are_tried(sshd_full: RunningServer) -> None:
    subprocess.run([tool("ssh-add"), "-q", str(sshd_full.key)], check=True)
    puts_a_file(connect(queue(sshd_full, key=None)), sshd_full)


def test_without_a_key_those_of_the_account_are_tried(sshd_full: RunningServer, home: Path) -> None:
    private(home / ".ssh/id_ed25519", Path(str(sshd_full.key)).read_text())
    ssh_keygen("-t", "ecdsa", "-N", SECRET, "-f", home / ".ssh/id_ecdsa")  # cannot be used, and is passed over
    puts_a_file(connect(queue(sshd_full, key=None)), sshd_full)


def test_without_any_key_the_message_says_so(sshd_full: RunningServer, home: Path) -> None:
    error = refusal(queue(sshd_full, key=None))
    assert "there is neither a key that can be used nor a password" in str(error)
    ssh_keygen("-t", "ecdsa", "-N", SECRET, "-f", home / ".ssh/id_ecdsa")
    error = refusal(queue(sshd_full, key=None))
    assert f"the key {home}/.ssh/id_ecdsa is protected by a passphrase" in str(error)


def test_a_password_that_the_server_does_not_take_is_refused_for_good(sshd_full: RunningServer, tmp_path: Path) -> None:
    error = refusal(queue(sshd_full, key=None, password_file=private(tmp_path / "pw", SECRET)))
    assert "the server does not take the password" in str(error)
    assert SECRET not in repr(error)


# SSH: hosts.


def host_line(server: RunningServer) -> str:
    return Path(str(server.known_hosts)).read_text()


def host_key(server: RunningServer) -> HostKey:
    name = listed_name(HOST, port_of(server))
    return known_host([str(server.known_hosts)], name).trusted[0]


def knowing(server: RunningServer, tmp_path: Path, text: str) -> QueueSettings:
    (tmp_path / "known").write_text(text)
    return queue(server, known_hosts=str(tmp_path / "known"))


def test_an_unknown_host_is_refused_with_what_it_takes_to_pin_its_key(sshd_full: RunningServer, tmp_path: Path) -> None:
    fingerprint = host_key(sshd_full).fingerprint
    for settings in (knowing(sshd_full, tmp_path, ""), queue(sshd_full, known_hosts=str(tmp_path / "absent"))):
        error = refusal(settings)
        assert f"the host key of [{HOST}]:{port_of(sshd_full)} is not known (ssh-ed25519 {fingerprint})" in str(error)
        assert f"archq doctor --pin {fingerprint}" in str(error)


def test_the_key_of_the_same_host_at_another_port_does_not_count(sshd_full: RunningServer, tmp_path: Path) -> None:
    line = host_line(sshd_full)
    for name in (HOST, f"[{HOST}]:1"):
        assert "is not known" in str(refusal(knowing(sshd_full, tmp_path, f"{name} {line.split(' ', 1)[1]}")))


def test_a_changed_key_is_refused_for_good(sshd_full: RunningServer, tmp_path: Path) -> None:
    name = host_line(sshd_full).split()[0]
    error = refusal(knowing(sshd_full, tmp_path, f"{name} {make_ssh_key(tmp_path / 'other')}\n"))
    assert f"the host key has changed: it is {host_key(sshd_full)}" in str(error)
    assert f"ssh-keygen -R '{name}' -f {tmp_path}/known" in str(error)


def test_a_revoked_key_is_refused_even_if_another_line_trusts_it(sshd_full: RunningServer, tmp_path: Path) -> None:
    line = host_line(sshd_full)
    error = refusal(knowing(sshd_full, tmp_path, f"{line}@revoked * {line.split(' ', 1)[1]}"))
    assert f"its host key {host_key(sshd_full)} is revoked in {tmp_path}/known" in str(error)


def test_lines_that_ssh_itself_writes_and_people_edit_are_understood(sshd_full: RunningServer, tmp_path: Path) -> None:
    line = host_line(sshd_full)
    name, key = line.rstrip("\n").split(" ", 1)
    other = make_ssh_key(tmp_path / "other")
    (tmp_path / "hashed").write_text(line)
    ssh_keygen("-H", "-f", tmp_path / "hashed")
    texts = {
        "hashed": (tmp_path / "hashed").read_text(),
        "second key of a kind": f"{name} {other}\n{name} {key}\n",
        "several names, a comment": f"# the archive\nsomewhere.else,{name}\t{key} operator@packrat\n",
        "damaged line before it": f"{name} ssh-ed25519 !!!!\n{name}\n\n{line}",
        "pattern": f"[127.0.0.?]:* {key}",
        "other kind before it": f"{name} ecdsa-sha2-nistp256 AAAA\n{line}",
    }
    for what, text in texts.items():
        session = connect(knowing(sshd_full, tmp_path, text))
        session.close()
        assert session, what
    assert "is not known" in str(refusal(knowing(sshd_full, tmp_path, f"*,!{name} {key}\n")))


def test_a_pinned_key_is_known_and_the_file_stays_what_it_was(sshd_full: RunningServer, tmp_path: Path) -> None:
    settings = knowing(sshd_full, tmp_path, "no newline at the end")
    (tmp_path / "known").chmod(0o640)
    inode = (tmp_path / "known").stat().st_ino
    pin(str(tmp_path / "known"), listed_name(HOST, port_of(sshd_full)), host_key(sshd_full))
    assert (tmp_path / "known").read_text() == "no newline at the end\n" + host_line(sshd_full)
    assert (tmp_path / "known").stat().st_mode & 0o777 == 0o640
    assert (tmp_path / "known").stat().st_ino == inode
    puts_a_file(connect(settings), sshd_full)


@contextmanager
def with_two_host_keys(rsa: Path, ed25519: Path) -> Iterator[int]:
    """An SSH server that nobody may log in to, and that presents the kind of host key that it is asked for."""
    with socket.create_server((HOST, 0)) as listener:

        def serve() -> None:
            with contextlib.closing(paramiko.Transport(listener.accept()[0])) as session:
                session.add_server_key(paramiko.Ed25519Key.from_private_key_file(str(ed25519)))
                session.add_server_key(paramiko.RSAKey.from_private_key_file(str(rsa)))
                session.start_server(server=paramiko.ServerInterface())
                session.join(20)

        thread = threading.Thread(target=serve)
        thread.start()
        yield listener.getsockname()[1]
        thread.join()


def test_a_host_with_several_keys_is_asked_for_the_kind_that_is_known(tmp_path: Path) -> None:
    for kind in ("rsa", "ed25519"):
        ssh_keygen("-t", kind, "-N", "", "-f", tmp_path / kind)
    for kind in ("rsa", "ed25519"):
        with with_two_host_keys(tmp_path / "rsa", tmp_path / "ed25519") as port:
            (tmp_path / "known").write_text(f"[{HOST}]:{port} {(tmp_path / f'{kind}.pub').read_text()}")
            url = f"sftp://tdcin@{HOST}:{port}/incoming"
            said = {"key": str(tmp_path / "rsa"), "known_hosts": str(tmp_path / "known")}
            error = refusal(QueueSettings(name="archive", url=url, **said))
        assert "cannot log in as tdcin: the server does not take the key" in str(error), kind


def test_what_goes_wrong_inside_the_library_is_not_printed(sshd_full: RunningServer, tmp_path: Path) -> None:
    with socket.create_server((HOST, 0)) as listener:
        threading.Thread(target=lambda: listener.accept()[0].close()).start()
        url = f"sftp://tdcin@{HOST}:{listener.getsockname()[1]}/incoming"
        words = "import archq.transports.accounts as a, archq.config as c\n"
        words += f"try: a.connect(c.QueueSettings(name='q', url={url!r}))\n"
        words += "except a.TransferError as error: print(error)"
        done = subprocess.run([sys.executable, "-c", words], capture_output=True, text=True)
    assert "cannot begin an SSH session: the connection was lost" in done.stdout
    assert done.stderr == ""


def test_a_server_that_never_answers_is_temporary(sshd_full: RunningServer) -> None:
    with socket.create_server((HOST, 0)) as silent:
        url = f"sftp://tdcin@{HOST}:{silent.getsockname()[1]}/incoming"
        with pytest.raises(TemporaryTransferError, match="cannot begin an SSH session: "):
            connect(queue(sshd_full, url=url, idle=0.2))


def test_a_closed_port_is_temporary_and_no_question_of_logging_in(sshd_full: RunningServer) -> None:
    with pytest.raises(TemporaryTransferError, match=r"cannot connect: nothing listens there: .*refused"):
        connect(queue(sshd_full, url=f"sftp://tdcin@{HOST}:{free_port()}/incoming"))


# SSH: the account's own configuration.


def configured(home: Path, text: str) -> None:
    (home / ".ssh/config").touch(0o600)
    (home / ".ssh/config").write_text(text)


def test_an_alias_of_ssh_is_a_host(sshd_full: RunningServer, home: Path) -> None:
    user = urlsplit(sshd_full.url).username
    configured(
        home, f"Host Archive\n HostName {HOST}\n Port {port_of(sshd_full)}\n User {user}\n IdentityFile ~/our_key\n"
    )
    private(home / "our_key", Path(str(sshd_full.key)).read_text())
    puts_a_file(connect(queue(sshd_full, url="sftp://Archive/incoming", key=None)), sshd_full)


def route(url: str) -> Any:
    return route_to(Destination.parse(url, "url"))


def test_the_url_wins_where_it_says_something(home: Path) -> None:
    configured(home, "Host archive\n HostName archive.example.edu\n Port 2222\n User somebody\n")
    said, unsaid = route("sftp://tdcin@archive:22/incoming"), route("sftp://archive/incoming")
    assert (said.host, said.port, said.user) == ("archive.example.edu", 22, "tdcin")
    assert (unsaid.host, unsaid.port, unsaid.user) == ("archive.example.edu", 2222, "somebody")


def test_a_requests_own_port_wins_too(home: Path) -> None:
    configured(home, "Host *\n Port 2222\n")
    settings = QueueSettings(name="archive", url="sftp://tdcin@archive.example.edu/incoming")
    assert route_to(destination_of(settings, Remote(host="other.example.edu:2022"))).port == 2022


def test_a_user_who_could_steer_a_shell_does_not_go_through_a_proxy_command(home: Path) -> None:
    configured(home, "Host *\n ProxyCommand relay %r@%h\n")
    settings = QueueSettings(name="archive", url="sftp://tdcin@archive.example.edu/incoming")
    assert route_to(destination_of(settings)).proxy == "relay tdcin@archive.example.edu"
    for user in ("$(touch here)", "a;b", "a\nProxyCommand b", "-oProxyCommand=b", "a b"):
        with pytest.raises(ConfigurationError, match="cannot go through a proxy command"):
            route_to(destination_of(settings, Remote(user=user)))


def test_a_way_through_other_hosts_is_sshs_own(home: Path) -> None:
    configured(home, "Host archive\n ProxyJump observer@gate:2200,inner\nHost direct\n ProxyJump none\n")
    assert route("sftp://tdcin@archive/incoming").proxy == (
        "ssh -o BatchMode=yes -J observer@gate:2200 -W '[archive]:22' ssh://inner"
    )
    assert route("sftp://tdcin@direct/incoming").proxy is None


def test_included_files_count_in_their_places(home: Path) -> None:
    configured(home, "Include config.d/*\nHost archive\n Port 1\n")
    (home / ".ssh/config.d").mkdir()
    (home / ".ssh/config.d/site").write_text("Host archive\n Port 2222\n")
    assert route("sftp://tdcin@archive/incoming").port == 2222


def test_a_proxy_command_is_the_way_to_the_host(sshd_full: RunningServer, home: Path) -> None:
    (home / "relay.py").write_text(RELAY)
    relay = f"{sys.executable} {home}/relay.py %h %p"
    configured(home, f"Host *\n ProxyCommand {relay} 2>/dev/null\n")
    puts_a_file(connect(queue(sshd_full)), sshd_full)


RELAY = """\
import socket, sys, threading, os
there = socket.create_connection((sys.argv[1], int(sys.argv[2])))
def copy(read, write):
    while block := read(65536):
        write(block)
    os._exit(0)
threading.Thread(target=copy, args=(lambda n: os.read(0, n), there.sendall)).start()
copy(there.recv, lambda block: os.write(1, block))
"""


def test_a_proxy_command_that_fails_is_heard(sshd_full: RunningServer, home: Path) -> None:
    configured(home, "Host *\n ProxyCommand sh -c 'echo one >&2; echo no route to gate >&2; exit 1'\n")
    with pytest.raises(TemporaryTransferError, match="its proxy command says no route to gate"):
        connect(queue(sshd_full))


def test_a_configuration_that_others_may_write_is_refused_as_ssh_does(sshd_full: RunningServer, home: Path) -> None:
    configured(home, "Host *\n ProxyCommand anything\n")
    (home / ".ssh/config").chmod(0o666)
    assert re.search(r"\.ssh/config may be changed by others: .*chmod go-w", str(refusal(queue(sshd_full))))


def test_a_configuration_that_cannot_be_understood_says_what_to_do_instead(home: Path) -> None:
    for text in ("Port many", "CanonicalizeHostname yes", "=\n"):
        configured(home, f"Host *\n {text}\n")
        error = refusal(QueueSettings(name="archive", url="sftp://archive/incoming"))
        assert f"{home}/.ssh/config or /etc/ssh/ssh_config cannot be used for archive" in str(error)
        assert "write user, host and port into the queue's url" in str(error)
