"""An SSH session: the way there, the host's key compared with the known ones, the log-in."""

from __future__ import annotations

import contextlib
import getpass
import io
import logging
import os
import socket
import subprocess
from functools import partial
from typing import TYPE_CHECKING

import paramiko

from archq.errors import ConfigurationError
from archq.secretfiles import read_private
from archq.transports import hostkeys
from archq.transports.base import PermanentTransferError, Scope, Stage, Watch
from archq.transports.faults import know_ssh, told
from archq.transports.hostkeys import HostKey
from archq.transports.sockets import PromptSocket, connected, part_in_order
from archq.transports.sshroute import route_to

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from archq.transports.destination import Destination

_KEY_SIZE = 65_536  # bytes: more than any private key has
_DAY = 86_400.0  # seconds
_OWN_KEYS = ("~/.ssh/id_ed25519", "~/.ssh/id_ecdsa", "~/.ssh/id_rsa")
_SIGNATURES = {"ssh-rsa": ("rsa-sha2-512", "rsa-sha2-256")}  # what a host offers who has a key of that kind (RFC 8332)

know_ssh()
# Python would print what a library logs where nobody listens: tracebacks, on standard error.
logging.getLogger("paramiko").addHandler(logging.NullHandler())


class HostKeyError(PermanentTransferError):
    """The host has not shown a key that is trusted."""

    def __init__(self, reason: str, advice: str) -> None:
        super().__init__(f"{reason}: {advice}", Scope.QUEUE)
        self.reason = reason
        self.advice = advice


class UnknownHostKeyError(HostKeyError):
    """Nobody has said yet which key this host has; ``name`` is how known_hosts would list it."""

    def __init__(self, reason: str, advice: str, name: str, key: HostKey) -> None:
        super().__init__(reason, advice)
        self.name = name
        self.key = key


class SshSession:
    """A host that is the right one and has let us in."""

    def __init__(
        self,
        destination: Destination,
        *,
        password: str | None,
        key: str | None,
        known_hosts: str | None,
        timeout: float | None,
        watch: Watch,
    ) -> None:
        """Connect, verify the host and log in.

        ``key`` and ``known_hosts`` are paths.  Without a key and a password the agent's keys and ~/.ssh's are tried,
        without known_hosts the account's and the system's own count.  Raise TransferError, or ConfigurationError for
        keys and settings of this machine that cannot be used.
        """
        self.label = str(destination)
        self._timeout = timeout or _DAY  # seconds
        self._route = route_to(destination)
        self._proxy: _Proxy | None = None
        self._agent: paramiko.Agent | None = None
        self._refused: list[str] = []  # what the server did not take
        self._passed_over: list[str] = []  # what could not be tried, and why
        self.transport = paramiko.Transport(self._socket(watch))
        try:
            self._verify(known_hosts, watch)
            watch.begin(Stage.LOG_IN)
            with told(f"{self.label}: cannot log in", Scope.QUEUE):
                self._log_in(self._route.user or getpass.getuser(), password, key)
        except BaseException:
            self.close()
            raise

    def settle(self) -> None:
        """Take note that all is said that has to be before files go."""
        if isinstance(self.transport.sock, PromptSocket):
            self.transport.sock.is_prompt = False

    def close(self) -> None:
        """End the session.  Never raises."""
        with contextlib.suppress(Exception):
            if isinstance(self.transport.sock, PromptSocket):
                part_in_order(self.transport.sock)
        with contextlib.suppress(Exception):
            self.transport.close()
        if self._agent:
            self._agent.close()
        if self._proxy:
            self._proxy.close()

    def _socket(self, watch: Watch) -> socket.socket:
        if not self._route.proxy:
            return connected(self._route.host, self._route.port, self._timeout, self.label, watch)
        watch.begin(Stage.CONNECT)
        watch.found("through a proxy command")
        with told(f"{self.label}: cannot start its proxy command", Scope.QUEUE):
            self._proxy = _Proxy(self._route.proxy)
        return self._proxy.socket

    # The host.

    def _verify(self, known_hosts: str | None, watch: Watch) -> None:
        watch.begin(Stage.HOST_KEY)
        files = hostkeys.known_files(known_hosts)
        name = self._route.listed_as or hostkeys.listed_name(self._route.host, self._route.port)
        with told(f"{self.label}: cannot read the known host keys in {' and '.join(files)}", Scope.QUEUE):
            known = hostkeys.known_host(files, name)
        with told(f"{self.label}: cannot begin an SSH session", Scope.QUEUE):
            presented = self._presented_key(tuple(key.kind for key in known.trusted))
        self._judge(presented, known, name, files)
        watch.found(str(presented))

    def _presented_key(self, kinds: tuple[str, ...]) -> HostKey:
        session, limit = self.transport, self._timeout
        session.banner_timeout = session.handshake_timeout = session.auth_timeout = session.channel_timeout = limit
        _ask_for(session.get_security_options(), kinds)
        _prefer_fast(session.get_security_options())
        try:
            session.start_client(timeout=limit)
            key = session.get_remote_server_key()
        except (paramiko.SSHException, EOFError, OSError) as error:
            raise self._explained(error) from error
        return HostKey(key.get_name(), key.asbytes())

    def _explained(self, error: Exception) -> Exception:
        """Return what ``error`` means: paramiko returns from a negotiation that takes too long as if it were done."""
        if self._proxy and (said := self._proxy.last_words()):
            return ConnectionError(f"its proxy command says {said}")
        return TimeoutError() if self.transport.is_active() else error

    def _judge(self, key: HostKey, known: hostkeys.KnownHost, name: str, files: tuple[str, ...]) -> None:
        where = " and ".join(files)
        if key in known.revoked:
            raise HostKeyError(
                f"{self.label}: its host key {key} is revoked in {where}", "ask the archive site which key its host has"
            )
        if key in known.trusted:
            return
        if known.trusted:
            raise HostKeyError(
                f"{self.label}: the host key has changed: it is {key}, {where} has {known.trusted[0]} for {name}",
                f"somebody may be in between: ask the archive site, and only if it has a new key: "
                f"ssh-keygen -R '{name}' -f {files[0]} && archq doctor --pin {key.fingerprint}",
            )
        raise UnknownHostKeyError(
            f"{self.label}: the host key of {name} is not known ({key})",
            "compare it with the one the archive site tells you, and if it is the same: "
            f"archq doctor --pin {key.fingerprint}",
            name,
            key,
        )

    # The log-in.

    def _log_in(self, user: str, password: str | None, key: str | None) -> None:
        for what, candidate in self._candidates(key) if key or not password else ():
            further = self._let_in(partial(self.transport.auth_publickey, user, candidate))
            if further == []:
                return
            self._refused.append(what)
            if further:
                break  # the key was taken, and is not enough
        if password:
            if self._let_in(partial(self.transport.auth_password, user, password)) == []:
                return
            self._refused.append("the password")
        raise PermanentTransferError(f"{self.label}: cannot log in as {user}: {self._why()}", Scope.QUEUE)

    def _why(self) -> str:
        refused = f"the server does not take {' nor '.join(self._refused)}"
        return "; ".join(
            [refused if self._refused else "there is neither a key that can be used nor a password", *self._passed_over]
        )

    def _let_in(self, authenticate: Callable[[], list[str]]) -> list[str] | None:
        """Return what the server wants further, None where it refuses; raise where it does not answer."""
        try:
            return authenticate()
        except paramiko.AuthenticationException as error:
            if "timeout" in str(error).lower():
                raise TimeoutError from error
            # Some servers hang up after so many refusals.  One that has refused nothing yet was cut off.
            if not self.transport.is_active() and not self._refused:
                raise ConnectionError("during the log-in") from error
            return None

    def _candidates(self, key: str | None) -> Iterator[tuple[str, paramiko.PKey]]:
        """Yield the keys to try: the queue's own, or else those of ssh's configuration, the agent and ~/.ssh."""
        if key:
            yield f"the key {key}", read_key(key)
            return
        configured = self._route.keys
        yield from self._usable(configured)
        if not (configured and self._route.keys_only):
            self._agent = paramiko.Agent()
            for one in self._agent.get_keys():
                yield f"the agent's key {HostKey(one.get_name(), one.asbytes()).fingerprint}", one
        if not configured:
            yield from self._usable(tuple(map(os.path.expanduser, _OWN_KEYS)))

    def _usable(self, paths: tuple[str, ...]) -> Iterator[tuple[str, paramiko.PKey]]:
        """Yield the keys that can be used of those that are there: ssh passes over the others too."""
        for path in filter(os.path.exists, paths):
            try:
                yield f"the key {path}", read_key(path)
            except ConfigurationError as error:
                self._passed_over.append(str(error))


def read_key(path: str) -> paramiko.PKey:
    """Return the private key in the file ``path``; raise ConfigurationError, which says what to do."""
    text = read_private(path, _KEY_SIZE).decode("ascii", "replace")
    for kind in (paramiko.Ed25519Key, paramiko.ECDSAKey, paramiko.RSAKey):
        try:
            key: paramiko.PKey = kind.from_private_key(io.StringIO(text))
        except paramiko.PasswordRequiredException as error:
            raise ConfigurationError(
                f"the key {path} is protected by a passphrase, which nobody is there to type: load it into an agent "
                f"and take it out of the configuration, or remove the passphrase: ssh-keygen -p -N '' -f {path}"
            ) from error
        except (paramiko.SSHException, ValueError, IndexError, UnicodeError):
            continue
        if os.path.exists(certificate := f"{path}-cert.pub"):
            key.load_certificate(certificate)
        return key
    raise ConfigurationError(
        f"{path} holds no private key of a known kind (Ed25519, ECDSA, RSA; OpenSSH or PEM): "
        "name the private key, not the .pub file, or make one: ssh-keygen -t ed25519"
    )


def _ask_for(options: paramiko.transport.SecurityOptions, kinds: tuple[str, ...]) -> None:
    """Have the host present a key of a kind that is known, if it has one."""
    wanted = [name for kind in kinds for name in _SIGNATURES.get(kind, (kind,)) if name in options.key_types]
    options.key_types = tuple(dict.fromkeys([*wanted, *options.key_types]))


def _prefer_fast(options: paramiko.transport.SecurityOptions) -> None:
    """Encrypt and authenticate in one pass where the host can: paramiko's own order begins with two."""
    options.ciphers = sorted(options.ciphers, key=lambda name: "gcm" not in name)


class _Proxy:
    """A command whose standard input and output lead to the host, as ssh's ProxyCommand has it.

    Not paramiko's own: that one does not notice when the command ends, and spins.
    """

    def __init__(self, command: str) -> None:
        self.socket, theirs = socket.socketpair()
        self._words = os.memfd_create("proxy")  # nobody has to empty it, as a pipe
        with theirs:
            end = theirs.fileno()
            self._process = subprocess.Popen(
                ["/bin/sh", "-c", f"exec {command}"], stdin=end, stdout=end, stderr=self._words
            )

    def last_words(self) -> str:
        """Return the last line that the command said on its standard error."""
        said = os.pread(self._words, _KEY_SIZE, 0).decode("utf-8", "replace")
        return said.strip().rpartition("\n")[2].strip()

    def close(self) -> None:
        """End the command."""
        self.socket.close()
        self._process.terminate()
        self._process.wait()
        os.close(self._words)
