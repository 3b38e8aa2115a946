"""Bytes of a log as text, and the escapes that servers write for bytes that would break a line."""

from __future__ import annotations

from archq.light import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re


_VIS = pattern(rb"(?s)\\(?:([0-7]{3})|M-(.)|M\^(.)|\^(.)|(.))")
_LETTERS = {b"n": b"\n", b"r": b"\r", b"t": b"\t", b"b": b"\b", b"a": b"\a", b"v": b"\v", b"f": b"\f", b"s": b" "}
_LETTERS[b"0"] = b"\0"
_PERCENT = pattern(rb"%([0-9A-Fa-f]{2})")


def text_of(raw: bytes) -> str:
    """Return bytes of a log as text; what is no UTF-8 survives as in the names of files."""
    return raw.decode("utf-8", "surrogateescape")


def without_vis(escaped: bytes) -> bytes:
    """Undo vis(3), with which OpenSSH writes names."""
    return _VIS.sub(_plain, escaped) if b"\\" in escaped else escaped


def without_percents(escaped: bytes) -> bytes:
    """Undo the percent-encoding of URLs."""
    return _PERCENT.sub(lambda match: bytes([int(match[1], 16)]), escaped)


def _plain(match: re.Match[bytes]) -> bytes:
    octal, meta, meta_control, control, letter = match.groups()
    if octal:
        return bytes([int(octal, 8) & 0xFF])
    if meta:
        return bytes([meta[0] | 0x80])
    if meta_control:
        return bytes([_control(meta_control[0]) | 0x80])
    if control:
        return bytes([_control(control[0])])
    return _LETTERS.get(letter, letter)


def _control(letter: int) -> int:
    return 0x7F if letter == ord("?") else letter & 0x1F
