"""Signatures of control files: proof that one was written by somebody who has a key, though the drop box has none.

The line ``signature=hmac-sha256:<key-id>:<hex>`` stands last before ``check=`` and covers every byte before itself
(HMAC, RFC 2104).
"""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from archq.control import SIGNATURE, format_control, unseal
from archq.errors import ConfigurationError, MalformedError
from archq.secretfiles import read_private

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archq.control import ControlFile

ALGORITHM = "hmac-sha256"
SHORTEST_SECRET = 16  # bytes

_LONGEST_SECRET = 4096  # bytes
_LINE = re.compile(rb"signature=([a-z0-9-]+):([A-Za-z0-9._-]+):([0-9a-f]+)\n")


@dataclass(frozen=True, slots=True, kw_only=True)
class Key:
    """A secret that signs, and the name by which control files refer to it."""

    name: str
    secret: bytes = field(repr=False)


def read_key(name: str, path: str) -> Key:
    """Return the key in the file ``path``, which only its owner may read; a newline at its end does not count.

    Raise ConfigurationError for a file that others may read, and for a secret that could be guessed.
    """
    secret = read_private(path, _LONGEST_SECRET + 1).removesuffix(b"\n")
    if not SHORTEST_SECRET <= len(secret) <= _LONGEST_SECRET:
        raise ConfigurationError(
            f"{path}: a key of {len(secret)} bytes, it has to have {SHORTEST_SECRET} to {_LONGEST_SECRET}: "
            f"make one with (umask 077; head -c 32 /dev/urandom | base64 > {path})"
        )
    return Key(name=name, secret=secret)


def sign(control: ControlFile, key: Key) -> ControlFile:
    """Return ``control`` with the signature of ``key``; whatever is changed after this has to be signed again."""
    text = unseal(format_control(replace(control, signature=None)))
    return replace(control, signature=f"{ALGORITHM}:{key.name}:{_digest(text, key)}")


def signer_of(text: bytes, keys: Iterable[Key]) -> Key:
    """Return which of ``keys`` has signed the control file ``text``; raise MalformedError if none has."""
    body = unseal(text)
    start = body.rfind(b"\n", 0, -1) + 1
    match = _LINE.fullmatch(body, start)
    if not match:
        raise MalformedError(f"no signature of the form {SIGNATURE}={ALGORITHM}:KEY:HEX")
    algorithm, name, digest = (part.decode("ascii") for part in match.groups())
    if algorithm != ALGORITHM:
        raise MalformedError(f"a signature by {algorithm}, not {ALGORITHM}")
    for key in keys:
        if key.name == name:
            if hmac.compare_digest(_digest(body[:start], key), digest):
                return key
            raise MalformedError(f"the signature with the key {name} does not fit: it was forged, or altered since")
    raise MalformedError(f"signed with the key {name}, which is not accepted")


def _digest(text: bytes, key: Key) -> str:
    return hmac.new(key.secret, text, hashlib.sha256).hexdigest()
