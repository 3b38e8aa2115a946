"""A signed control file is believed as it was signed, and in no other form."""

from __future__ import annotations

import hashlib
import hmac
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as some

from archq.control import format_control, parse_control, seal, unseal
from archq.errors import ConfigurationError, MalformedError
from archq.signature import Key, read_key, sign, signer_of
from tests.sweeper.arrivals import control_file

if TYPE_CHECKING:
    from pathlib import Path

KEY = Key(name="site1", secret=b"sixteen bytes or more")
OTHER = Key(name="site2", secret=b"another such secret of somebody")
SIGNED = format_control(sign(control_file(b"content"), KEY))


def test_what_was_signed_is_believed() -> None:
    assert signer_of(SIGNED, [OTHER, KEY]) is KEY
    assert parse_control(SIGNED).signature is not None


def test_the_signature_is_the_hmac_of_all_before_it() -> None:
    """As openssl dgst -sha256 -hmac says of it, too."""
    before, line, _check = re.split(rb"(signature=.*\n)", SIGNED)
    assert (
        line
        == b"signature=hmac-sha256:site1:" + hmac.new(KEY.secret, before, hashlib.sha256).hexdigest().encode() + b"\n"
    )


def test_signing_again_replaces_the_signature() -> None:
    again = sign(sign(control_file(b"content"), OTHER), KEY)
    assert signer_of(format_control(again), [KEY, OTHER]) is KEY


@given(some.integers(min_value=0, max_value=len(unseal(SIGNED)) - 1), some.integers(min_value=1, max_value=255))
def test_any_altered_byte_is_noticed_even_where_the_check_line_fits(position: int, change: int) -> None:
    body = bytearray(unseal(SIGNED))
    body[position] ^= change
    with pytest.raises(MalformedError):
        signer_of(seal(bytes(body)), [KEY])


def test_nothing_can_be_added() -> None:
    body = unseal(SIGNED)
    for forged in (body + b"option.dir=theirs\n", b"option.dir=theirs\n" + body, body + body):
        with pytest.raises(MalformedError):
            signer_of(seal(forged), [KEY])


@pytest.mark.parametrize(
    ("signature", "reason"),
    [
        (None, "no signature of the form signature=hmac-sha256:KEY:HEX"),
        ("hmac-sha256:site1", "no signature of the form"),
        ("hmac-sha256:site1:" + "0" * 64, "the signature with the key site1 does not fit"),
        ("hmac-md5:site1:" + "0" * 32, "a signature by hmac-md5, not hmac-sha256"),
        ("hmac-sha256:site3:" + "0" * 64, "signed with the key site3, which is not accepted"),
    ],
)
def test_why_a_signature_is_not_believed_is_told(signature: str | None, reason: str) -> None:
    text = format_control(replace(control_file(b"content"), signature=signature))
    with pytest.raises(MalformedError, match=f"^{re.escape(reason)}"):
        signer_of(text, [KEY])


def test_a_key_of_the_same_name_with_another_secret_does_not_fit() -> None:
    with pytest.raises(MalformedError, match="does not fit"):
        signer_of(SIGNED, [replace(OTHER, name="site1")])


def test_a_key_is_read_from_a_file_that_nobody_else_may_read(tmp_path: Path) -> None:
    file = tmp_path / "sign.key"
    file.write_bytes(KEY.secret + b"\n")
    file.chmod(0o600)
    assert read_key("site1", str(file)) == KEY
    assert "sixteen" not in repr(KEY)
    file.chmod(0o640)
    with pytest.raises(ConfigurationError, match=r"may be read by others \(mode 0640\): chmod 600 "):
        read_key("site1", str(file))


@pytest.mark.parametrize("secret", [b"", b"\n", b"short", b"x" * 15 + b"\n", b"x" * 4097])
def test_a_secret_that_could_be_guessed_or_is_none_is_refused(tmp_path: Path, secret: bytes) -> None:
    file = tmp_path / "sign.key"
    file.write_bytes(secret)
    file.chmod(0o600)
    with pytest.raises(ConfigurationError, match=r"it has to have 16 to 4096: make one with "):
        read_key("site1", str(file))
