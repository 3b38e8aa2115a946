"""``key=value`` text, shared by the control file, the transfer log and the spool's own records.

Values percent-encode ``%``, every byte below 0x20, 0x7f, leading and trailing blanks, and bytes that are not UTF-8, so
any POSIX file name survives and none can forge a line.  In memory such bytes are lone surrogates (PEP 383).
"""

from __future__ import annotations

from archq.errors import MalformedError
from archq.light import pattern

TYPE_CHECKING = False
if TYPE_CHECKING:
    import re
    from collections.abc import Iterable, Mapping

LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
LETTERS_AND_DIGITS = f"{LETTERS}0123456789"

KEY = pattern(r"[a-z0-9][a-z0-9._-]*")
_MOST_KNOWN = 100  # keys; ours are fewer, and whoever makes up others shall not fill the memory
_known_keys: set[str] = set()
_IN_KEYS = "abcdefghijklmnopqrstuvwxyz0123456789._-"
_NEVER_BARE = pattern(r"[\x00-\x1f\x7f\ud800-\udfff]|\A +| +\Z")
_ENCODED = pattern(f"%|{_NEVER_BARE.pattern}")
_ENCODED_WITH_BLANKS = pattern(f"[ %]|{_NEVER_BARE.pattern}")
_BARE, _INNER = r"[^ %\x00-\x1f\x7f\ud800-\udfff]", r"[^%\x00-\x1f\x7f\ud800-\udfff]"
_PLAIN_LINES = pattern(rf"(?:{KEY.pattern}=(?:{_BARE}(?:{_INNER}*{_BARE})?)?\n)+")
_PLAIN_WORDS = pattern(rf"{KEY.pattern}={_BARE}*(?: {KEY.pattern}={_BARE}*)*")
_ESCAPE = pattern(rb"%([0-9A-Fa-f]{2})?")


def consists_of(text: str, characters: str) -> bool:
    """Say whether every character of ``text`` is one of ``characters``."""
    return not text.strip(characters)


def is_key(text: str) -> bool:
    """Say whether ``text`` can be a key, as ``KEY`` does, which takes 5 ms to be ready."""
    return text[:1] not in ("", ".", "_", "-") and not text.strip(_IN_KEYS)


def _are_keys(texts: Iterable[str]) -> bool:
    """Say whether each can be a key; most were asked for before."""
    if _known_keys.issuperset(texts):
        return True
    if not all(map(is_key, texts)):
        return False
    if len(_known_keys) < _MOST_KNOWN:
        _known_keys.update(texts)
    return True


def encode(value: str, *, blanks: bool = False) -> str:
    """Return ``value`` percent-encoded; with ``blanks``, every blank is encoded and not only the outer ones.

    Raise MalformedError for text that no file name can hold (a surrogate that stands for no byte).
    """
    if value.isprintable() and "%" not in value and " " not in (value if blanks else value[:1] + value[-1:]):
        return value  # as most are
    try:
        return (_ENCODED_WITH_BLANKS if blanks else _ENCODED).sub(_escaped, value)
    except UnicodeEncodeError as error:
        raise MalformedError(f"not text: {value!r}") from error


def decode(value: str) -> str:
    """Undo :func:`encode`; raise MalformedError where a byte is not encoded as it should be."""
    if _NEVER_BARE.search(value):
        raise MalformedError(f"a byte that should be percent-encoded: {value[:80]!r}")
    if "%" not in value:
        return value
    return _ESCAPE.sub(_unescaped, value.encode()).decode("utf-8", "surrogateescape")


def format_lines(pairs: Iterable[tuple[str, str]]) -> str:
    """Return one encoded ``key=value`` line for each pair; raise MalformedError as :func:`format_pair` does."""
    pairs = list(pairs)
    text = "".join([f"{key}={value}\n" for key, value in pairs])
    # One look at everything is enough for most: without a blank behind a "=" or at a line's end, none is an outer one.
    plain = "".join([value for _key, value in pairs]).isprintable() and "%" not in text
    if plain and "= " not in text and " \n" not in text and _are_keys([key for key, _value in pairs]):
        return text
    return "".join([f"{format_pair(key, value)}\n" for key, value in pairs])


def format_pair(key: str, value: str, *, blanks: bool = False) -> str:
    """Return ``key=value``, the value encoded; raise MalformedError for a key or a value that cannot be written."""
    if not is_key(key):
        raise MalformedError(f"not a key (small letters, digits, '.', '_', '-'): {key[:80]!r}")
    return f"{key}={encode(value, blanks=blanks)}"


def format_words(pairs: Mapping[str, str]) -> str:
    """Return the pairs on one line, their own blanks encoded; raise MalformedError as :func:`format_pair` does."""
    # One look at all values is enough for most lines, and a sweeper writes many.
    values = "".join(pairs.values())
    if not values.isprintable() or "%" in values or " " in values or not _are_keys(pairs):
        return " ".join(format_pair(key, value, blanks=True) for key, value in pairs.items())
    return " ".join([f"{key}={value}" for key, value in pairs.items()])


def parse_lines(text: str) -> dict[str, str]:
    """Return the pairs of ``text``, in order; raise MalformedError for a bad line or a key that comes twice."""
    # One look at the whole text is enough for most; the loop below finds out what is wrong with, or special in, others.
    if _PLAIN_LINES.fullmatch(text):
        lines = text[:-1].split("\n")
        plain = dict([line.split("=", 1) for line in lines])
        if len(plain) == len(lines):
            return plain
    pairs: dict[str, str] = {}
    for line in text.removesuffix("\n").split("\n"):
        add_pair(pairs, line)
    return pairs


def parse_words(text: str) -> dict[str, str]:
    """Return the pairs of a line whose values' blanks are encoded; raise MalformedError as :func:`parse_lines` does."""
    words = text.split(" ")
    if _PLAIN_WORDS.fullmatch(text):  # as most are, and reports read millions
        plain = dict([word.split("=", 1) for word in words])
        if len(plain) == len(words):
            return plain
    pairs: dict[str, str] = {}
    for word in words:
        add_pair(pairs, word)
    return pairs


def add_pair(pairs: dict[str, str], text: str) -> None:
    """Add what ``text`` (``key=value``) says to ``pairs``; raise MalformedError as :func:`parse_lines` does."""
    key, equals, value = text.partition("=")
    if not equals or not is_key(key):
        raise MalformedError(f"not a key=value pair: {text[:80]!r}")
    if key in pairs:
        raise MalformedError(f"the key {key} stands twice")
    pairs[key] = decode(value)


def _escaped(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogateescape"))


def _unescaped(match: re.Match[bytes]) -> bytes:
    if match[1] is None:
        raise MalformedError(f"a percent sign without two hexadecimal digits: {match.string[:80]!r}")
    return bytes.fromhex(match[1].decode())
