"""The host keys that somebody has checked: known_hosts files, as sshd(8) describes them."""

from __future__ import annotations

import base64
import binascii
import contextlib
import hashlib
import hmac
import os
import re
from typing import TYPE_CHECKING

from archq import durable
from archq.checksum import write_all
from archq.light import dataclass

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SYSTEM_FILE = "/etc/ssh/ssh_known_hosts"
SSH_PORT = 22

_HASHED = re.compile(r"\|1\|([A-Za-z0-9+/=]+)\|([A-Za-z0-9+/=]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class HostKey:
    """A public key; ``blob`` is what goes over the wire (RFC 4253, section 6.6)."""

    kind: str
    blob: bytes

    @property
    def fingerprint(self) -> str:
        """``SHA256:…``, as ssh-keygen -l shows it."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode("ascii").rstrip("=")

    def __str__(self) -> str:
        return f"{self.kind} {self.fingerprint}"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownHost:
    """What the files say about one host."""

    trusted: tuple[HostKey, ...] = ()
    revoked: tuple[HostKey, ...] = ()


def users_file() -> str:
    """Return the file in which ssh keeps this account's known hosts."""
    return os.path.expanduser("~/.ssh/known_hosts")


def known_files(configured: str | None) -> tuple[str, ...]:
    """Return the files to look in: the queue's own, else the account's and the system's."""
    return (configured,) if configured else (users_file(), SYSTEM_FILE)


def listed_name(host: str, port: int) -> str:
    """Return how known_hosts lists a host: with its port if that is not the usual one."""
    return host if port == SSH_PORT else f"[{host}]:{port}"


def known_host(files: Sequence[str], name: str) -> KnownHost:
    """Return what ``files`` say about ``name``; one that is missing says nothing.  Raise OSError.

    Lines that are damaged, or of a kind unknown here, are passed over as ssh does.
    """
    found: dict[str, list[HostKey]] = {"": [], "@revoked": []}
    for marker, key in (entry for path in files for entry in _entries(path, name.lower())):
        found.get(marker, []).append(key)
    return KnownHost(trusted=tuple(found[""]), revoked=tuple(found["@revoked"]))


def pin(path: str, name: str, key: HostKey) -> None:
    """Add the line that makes ``key`` the known one of ``name``; it is on stable storage.  Raise OSError.

    Appended in place: the file keeps its owner, its mode and what ssh itself adds to it meanwhile.
    """
    line = f"{name} {key.kind} {base64.b64encode(key.blob).decode('ascii')}\n".encode()
    durable.make_directory(os.path.dirname(path))
    descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        durable.lock(descriptor)
        size = os.fstat(descriptor).st_size
        unfinished = size and os.pread(descriptor, 1, size - 1) != b"\n"
        write_all(descriptor, b"\n" * bool(unfinished) + line)
        durable.sync(descriptor)
    finally:
        os.close(descriptor)
    durable.sync_directory(os.path.dirname(os.path.realpath(path)))


def _entries(path: str, name: str) -> Iterator[tuple[str, HostKey]]:
    try:
        with open(path, encoding="utf-8", errors="replace", newline="\n") as file:
            for line in file:
                words = line.split()
                marker = words.pop(0) if words and words[0].startswith("@") else ""
                if len(words) >= 3 and not words[0].startswith("#") and _lists(words[0], name):
                    with contextlib.suppress(binascii.Error):
                        yield marker, HostKey(words[1], base64.b64decode(words[2], validate=True))
    except FileNotFoundError:
        return


def _lists(patterns: str, name: str) -> bool:
    """Tell whether a line's first field lists ``name``: one pattern fits, and none that is negated."""
    fitting = [pattern for pattern in patterns.split(",") if _fits(pattern.removeprefix("!"), name)]
    return bool(fitting) and not any(pattern.startswith("!") for pattern in fitting)


def _fits(pattern: str, name: str) -> bool:
    if match := _HASHED.fullmatch(pattern):
        return _is_hash_of(name, *match.groups())
    expression = re.escape(pattern.lower()).replace(r"\*", ".*").replace(r"\?", ".")
    return re.fullmatch(expression, name) is not None


def _is_hash_of(name: str, salt: str, digest: str) -> bool:
    try:
        computed = hmac.new(base64.b64decode(salt), name.encode(), hashlib.sha1).digest()
        return hmac.compare_digest(computed, base64.b64decode(digest))
    except binascii.Error:
        return False
