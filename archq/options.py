"""``-o`` words, checked: what stays on this machine, what travels with the file."""

from __future__ import annotations

from archq.errors import ConfigurationError, UsageError
from archq.fields import is_key
from archq.light import dataclass, field, pattern
from archq.names import checked_instrument
from archq.quantities import parse_duration

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_SYNONYMS = {"inst": "instrument"}
_REMOTE = {"remhost": "host", "rempath": "path", "remuser": "user", "rempw": "password"}
KEYWORDS = frozenset({"instrument", "maxftp", "dir", *_SYNONYMS, *_REMOTE})  # all with a meaning here or there
# remhost is a host with an optional port, nothing that could be taken for more of a URL.
_HOST = pattern(r"(?:[A-Za-z0-9._-]+|\[[0-9A-Fa-f:.]+\])(?::(?P<port>[0-9]{1,5}))?")
_SEPARATORS = ", \t\r\n"


@dataclass(frozen=True, slots=True, kw_only=True)
class Remote:
    """Where one request goes instead of where its queue goes.  Never written into a control file, a log or `status`."""

    host: str | None = None
    path: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __bool__(self) -> bool:
        return any((self.host, self.path, self.user, self.password))

    def veiled(self, message: str) -> str:
        """Return ``message`` with our values replaced by their keywords: it is about to be shown to everybody."""
        import re

        host = re.sub(r":[0-9]+$", "", self.host or "").strip("[]")
        values = {
            self.host: "remhost",
            host: "remhost",
            (self.path or "").strip("/"): "rempath",
            self.user: "remuser",
            self.password: "rempw",
        }
        words = sorted(filter(None, values), key=len, reverse=True)
        return re.sub("|".join(map(_whole_word, words)), lambda found: values[found[0]], message) if words else message


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What a user asked for with ``-o``; ``travelling`` goes into the control file, ``maxftp`` (seconds) among it."""

    instrument: str | None = None
    maxftp: float | None = None
    remote: Remote = field(default_factory=Remote)
    travelling: Mapping[str, str] = field(default_factory=dict)


def parse_words(texts: Iterable[str]) -> dict[str, str]:
    """Return keywords (in lower case) and values of several ``-o`` texts; a later value replaces an earlier one.

    Commas and unquoted blanks separate, quotes and backslash protect, a bare ``name`` is ``true``.
    """
    pairs: dict[str, str] = {}
    for word in (word for text in texts for word in _split(text)):
        key, equals, value = word.partition("=")
        pairs[_keyword(key)] = value if equals else "true"
    return pairs


def check_options(words: Mapping[str, str]) -> Options:
    """Return the checked options; raise UsageError for a value that its keyword cannot have."""
    words = {_keyword(key): value for key, value in words.items()}
    if unknown := [key for key in words if key.startswith("rem") and key not in _REMOTE]:
        raise UsageError(f"-o {unknown[0]}: unknown; keywords that begin with rem are {', '.join(_REMOTE)}")
    instrument = words.get("instrument")
    return Options(
        instrument=None if instrument is None else checked_instrument(instrument),
        maxftp=_maxftp(words["maxftp"]) if "maxftp" in words else None,
        remote=_remote(words),
        travelling={key: value for key, value in _checked_dir(words).items() if key not in (*_REMOTE, "instrument")},
    )


def _whole_word(value: str) -> str:
    """Return a pattern that finds ``value``, but not in the midst of a longer word."""
    import re

    before, after = (r"\b" if re.fullmatch(r"\w", character) else "" for character in (value[0], value[-1]))
    return f"{before}{re.escape(value)}{after}"


def _keyword(key: str) -> str:
    keyword = _SYNONYMS.get(key.lower(), key.lower())
    if not is_key(keyword):
        raise UsageError(f"-o {key[:40]}: not a keyword: write KEY=VALUE with letters and digits in KEY")
    return keyword


def _split(text: str) -> list[str]:
    if not any(sign in text for sign in "\"'\\"):
        for separator in _SEPARATORS:
            text = text.replace(separator, " ")
        return [word for word in text.split(" ") if word]
    import shlex

    lexer = shlex.shlex(text, posix=True, punctuation_chars=False)
    lexer.whitespace = _SEPARATORS
    lexer.whitespace_split = True
    lexer.commenters = ""
    try:
        return list(lexer)
    except ValueError as error:  # the text may hold a password, so it is not shown
        raise UsageError(f"-o: {str(error).lower()}: end what a quote or a backslash begins") from error


def _maxftp(value: str) -> float:
    try:
        return parse_duration(value)
    except ConfigurationError as error:
        raise UsageError(f"-o maxftp={value}: not a number of seconds; 0 waits for ever") from error


def _remote(words: Mapping[str, str]) -> Remote:
    if empty := [key for key in _REMOTE if words.get(key) == ""]:
        raise UsageError(f"-o {empty[0]}=: has no value")
    if broken := [key for key in _REMOTE if any(character in words.get(key, "") for character in "\r\n\0")]:
        raise UsageError(f"-o {broken[0]}: has control characters")  # they would end a line of FTP's
    if "remhost" in words:
        _check_host(words["remhost"])
    return Remote(**{name: words.get(key) for key, name in _REMOTE.items()})


def _check_host(text: str) -> None:
    host = _HOST.fullmatch(text)
    if not host or int(host["port"] or 1) not in range(1, 65_536):
        raise UsageError(f"-o remhost={text}: not a host's name or address, with a port or without")


def _checked_dir(words: Mapping[str, str]) -> Mapping[str, str]:
    """Refuse here what the sweeper would refuse there, when nobody looks."""
    parts = words.get("dir", "x").split("/")
    if any(part.startswith(".") or not part for part in parts):
        raise UsageError(f"-o dir={words['dir']}: must be relative, without '..' or a name that begins with a dot")
    return words
