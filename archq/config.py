"""archq.toml as frozen values: the one place that knows its keys, their forms and their defaults.

Each program is strict about its own sections and does not look at the others, so that a typing error in a queue never
stops a sweeper.
"""

from __future__ import annotations

import os

from archq.checksum import DEFAULT_ALGORITHM, checked_algorithm
from archq.errors import ConfigurationError, UsageError, from_os_error
from archq.fields import LETTERS_AND_DIGITS, consists_of
from archq.light import dataclass, field, pattern
from archq.names import UNDEFINED_INSTRUMENT, checked_instrument
from archq.plaintoml import parse_plain
from archq.quantities import parse_duration, parse_rate, parse_size

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any

    Converters = Mapping[str, Callable[[object], object]]

SYSTEM_FILE = "/etc/archq/archq.toml"
QUEUE_VARIABLES = ("LPDEST", "PRINTER")  # where lp looks for its default destination
DAY = 86_400.0  # seconds

ACCOUNTS = ("auto", "full", "upload-only")
SPOOL_MODES = ("copy", "link")

# The list the original came with; -n adds to it and +n replaces it.
IGNORED_INSTRUMENTS = ("minicam", "megacam", "hectospec", "hectochelle", "fast", "ircam", "afoe", "4shooter")

_IN_QUEUE_NAMES = f"{LETTERS_AND_DIGITS}_-"
_IN_KEY_NAMES = f"{LETTERS_AND_DIGITS}._-"
_MODE = pattern(r"0?[0-7]{3}")
_DIRECTORY_MODE = pattern(r"0?[0-3]?[0-7]{3}")
_CLOCK = pattern(r"([01]?[0-9]|2[0-3]):([0-5][0-9])")


@dataclass(frozen=True, slots=True, kw_only=True)
class QueueSettings:
    """``[queue.NAME]``: a named destination.  Times are in seconds, rates in bytes a second."""

    name: str
    url: str
    instrument: str = UNDEFINED_INSTRUMENT
    instruments: tuple[str, ...] = ()  # what it takes; empty: anything
    maxftp: float = 600.0  # 0: no limit
    idle: float = 60.0
    connections: int = 4
    rate_limit: int | None = None
    account: str = "auto"
    password_file: str | None = None
    password_command: str | None = None
    netrc: bool = False
    key: str | None = None
    known_hosts: str | None = None
    ca_file: str | None = None
    checksum: str = DEFAULT_ALGORITHM
    sign_key: str | None = None
    spool_mode: str = "copy"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentSettings:
    """``[instrument.NAME]``: an archive.  ``rollover`` is in seconds after midnight."""

    name: str
    directory: str | None = None
    logs: str | None = None
    aliases: tuple[str, ...] = ()
    zone: str = "UTC"
    rollover: int = 0
    dated: str = "%Y.%m%d"
    mode: int = 0o444
    directory_mode: int | None = None  # None: what the umask leaves
    owner: str | None = None
    group: str | None = None
    require_signature: tuple[str, ...] = ()
    on_filed: str | None = None
    on_filed_limit: float = 60.0  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class SweeperSettings:
    """``[sweeper]``.  Times are in seconds."""

    incoming: str | None = None
    work: str | None = None
    rejected: str | None = None
    keys: Mapping[str, str] = field(default_factory=dict)  # their names and files
    any_directory: str | None = None
    ignore: tuple[str, ...] = IGNORED_INSTRUMENTS
    stale: float = DAY
    remind: float = DAY / 4
    max_skew: float = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class LogsumSettings:
    """``[logsum]``.  Bins are upper bounds in MB/s; none means chosen from the data."""

    ftp_log: str | None = None
    ftp_log_zone: str | None = None
    bins: tuple[float, ...] | None = (1.0, 2.0, 4.0, 8.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Config:
    """What the configuration file says, the defaults where it says nothing.  Times are in seconds, sizes in bytes."""

    path: str | None = None  # of the file itself; None: there is none
    default: str | None = None
    spool: str = ""
    autostart: bool = True
    keep: float = 7 * DAY
    history: float = 30 * DAY
    reserve: int = 0
    queues: Mapping[str, QueueSettings] = field(default_factory=dict)
    instruments: Mapping[str, InstrumentSettings] = field(default_factory=dict)
    sweeper: SweeperSettings = field(default_factory=SweeperSettings)
    logsum: LogsumSettings = field(default_factory=LogsumSettings)
    lp_system: str | None = None

    def instrument_named(self, name: str) -> InstrumentSettings | None:
        """Return the instrument that has ``name`` as its name or as an alias."""
        if name in self.instruments:
            return self.instruments[name]
        return next((one for one in self.instruments.values() if name in one.aliases), None)


def load(*parts: str, environment: Mapping[str, str] = os.environ) -> Config:
    """Return the configuration; of its sections only ``parts`` (archq, instrument, sweeper, logsum) are looked at.

    Raise ConfigurationError for a file that cannot be read, an unknown key or a value of the wrong form.
    """
    path = find(environment)
    return _config(_read(path) if path else {}, path, parts, environment)


def parse(text: str, path: str, *parts: str, environment: Mapping[str, str] = os.environ) -> Config:
    """Return what ``text`` says, as :func:`load` would if it stood in the file ``path``."""
    return _config(_parsed(text, path), path, parts, environment)


def _config(
    document: dict[str, Any], path: str | None, parts: tuple[str, ...], environment: Mapping[str, str]
) -> Config:
    reader = _Reader(path or "")
    values: dict[str, Any] = {"path": path, "spool": default_spool(environment)}
    for part in parts:
        values |= _PARTS[part](reader, document)
    return Config(**values)


def find(environment: Mapping[str, str] = os.environ) -> str | None:
    """Return the path of the configuration file, None where there is none."""
    if path := environment.get("ARCHQ_CONFIG"):
        return path
    return next((path for path in (user_file(environment), SYSTEM_FILE) if os.path.exists(path)), None)


def places(environment: Mapping[str, str] = os.environ) -> str:
    """Return where a configuration is looked for, as a sentence's part."""
    return f"$ARCHQ_CONFIG, {user_file(environment)} or {SYSTEM_FILE}"


def user_file(environment: Mapping[str, str] = os.environ) -> str:
    """Return where a user's own configuration is."""
    return os.path.join(_home(environment, "XDG_CONFIG_HOME", "~/.config"), "archq", "archq.toml")


def default_spool(environment: Mapping[str, str] = os.environ) -> str:
    """Return the spool of a configuration that names none."""
    return os.path.join(_home(environment, "XDG_STATE_HOME", "~/.local/state"), "archq")


def _home(environment: Mapping[str, str], variable: str, default: str) -> str:
    """Return a directory as the XDG base directory specification has it: a relative path counts as none."""
    path = environment.get(variable, "")
    return path if os.path.isabs(path) else os.path.expanduser(default)


def _read(path: str) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            content = file.read()
    except OSError as error:
        raise ConfigurationError(str(from_os_error(error, f"read the configuration {path}"))) from error
    try:
        return _parsed(content.decode(), path)
    except UnicodeDecodeError as error:
        raise ConfigurationError(f"{path}: not TOML: {error}") from error


def _parsed(text: str, path: str) -> dict[str, Any]:
    document = parse_plain(text)
    if document is not None:
        return document
    import tomllib  # which takes 12 ms to load: a data system waits for them at every exposure

    try:
        return tomllib.loads(text)
    except ValueError as error:  # a wrong form, or a number of 5,000 digits
        raise ConfigurationError(f"{path}: not TOML: {error}") from error


def _text(value: object) -> str:
    if not isinstance(value, str) or not value:
        raise ConfigurationError(f"not a text: {value!r}")
    return value


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ConfigurationError(f"not true or false: {value!r}")
    return value


def _count(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ConfigurationError(f"not a number from 1 on: {value!r}")
    return value


def _path(value: object) -> str:
    path = os.path.expanduser(_text(value))
    if not os.path.isabs(path):
        raise ConfigurationError(f"not an absolute path: {value!r}")
    return path


def _texts(value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise ConfigurationError(f"not a list of texts: {value!r}")
    return tuple(_text(item) for item in value)


def _instrument(value: object) -> str:
    return checked_instrument(_text(value))


def _instruments(value: object) -> tuple[str, ...]:
    return tuple(checked_instrument(name) for name in _texts(value))


def _one_of(*choices: str) -> Callable[[object], str]:
    def convert(value: object) -> str:
        if value not in choices:
            raise ConfigurationError(f"not one of {', '.join(choices)}: {value!r}")
        return str(value)

    return convert


def _mode(value: object) -> int:
    if not isinstance(value, str) or not _MODE.fullmatch(value):
        raise ConfigurationError(f'not a file mode such as "0444": {value!r}')
    return int(value, 8)


def _directory_mode(value: object) -> int:
    if not isinstance(value, str) or not _DIRECTORY_MODE.fullmatch(value):
        raise ConfigurationError(f'not a directory\'s mode such as "0755" or "2775": {value!r}')
    return int(value, 8)


def _clock(value: object) -> int:
    match = _CLOCK.fullmatch(_text(value))
    if not match:
        raise ConfigurationError(f'not a time of day such as "12:00": {value!r}')
    return int(match[1]) * 3600 + int(match[2]) * 60


def parse_bins(value: object) -> tuple[float, ...] | None:
    """Return the rising upper ends of bins in MB/s, None for ``"auto"``; raise ConfigurationError for anything else."""
    if value == "auto":
        return None
    numbers = value if isinstance(value, list) and value else [-1]
    if not all(map(_is_rate, numbers)) or sorted(set(numbers)) != numbers:
        raise ConfigurationError(f'neither "auto" nor rising rates in MB/s such as [1, 2, 4, 8]: {value!r}')
    return tuple(float(number) for number in numbers)


def _is_rate(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf")


def _rate_limit(value: object) -> int | None:
    return parse_rate(value) or None


def _sign_key(value: object) -> str:
    name, _colon, path = _text(value).partition(":")
    if not name or not consists_of(name, _IN_KEY_NAMES) or len(path) < 2 or path[0] != "/" or "\n" in path:
        raise ConfigurationError(f'not a key\'s name and file such as "site1:/etc/archq/sign.key": {value!r}')
    return str(value)


def _keys(value: object) -> Mapping[str, str]:
    return dict(_sign_key(key).split(":", 1) for key in _texts(value))


def _algorithm(value: object) -> str:
    return checked_algorithm(_text(value))


TOP_KEYS: Converters = {
    "default": _text,
    "spool": _path,
    "autostart": _flag,
    "keep": parse_duration,
    "history": parse_duration,
    "reserve": parse_size,
}
QUEUE_KEYS: Converters = {
    "url": _text,
    "instrument": _instrument,
    "instruments": _instruments,
    "maxftp": parse_duration,
    "idle": parse_duration,
    "connections": _count,
    "rate_limit": _rate_limit,
    "account": _one_of(*ACCOUNTS),
    "password_file": _path,
    "password_command": _text,
    "netrc": _flag,
    "key": _path,
    "known_hosts": _path,
    "ca_file": _path,
    "checksum": _algorithm,
    "sign_key": _sign_key,
    "spool_mode": _one_of(*SPOOL_MODES),
}
INSTRUMENT_KEYS: Converters = {
    "directory": _path,
    "logs": _path,
    "aliases": _instruments,
    "zone": _text,
    "rollover": _clock,
    "dated": _text,
    "mode": _mode,
    "directory_mode": _directory_mode,
    "owner": _text,
    "group": _text,
    "require_signature": _texts,
    "on_filed": _text,
    "on_filed_limit": parse_duration,
}
SWEEPER_KEYS: Converters = {
    "incoming": _path,
    "work": _path,
    "rejected": _path,
    "keys": _keys,
    "any_directory": _path,
    "ignore": _instruments,
    "stale": parse_duration,
    "remind": parse_duration,
    "max_skew": parse_duration,
}
LOGSUM_KEYS: Converters = {"ftp_log": _path, "ftp_log_zone": _text, "bins": parse_bins}
LP_KEYS: Converters = {"system": _path}
SECTIONS = ("queue", "instrument", "sweeper", "logsum", "lp")


@dataclass(frozen=True, slots=True)
class _Reader:
    """Turns the tables of one file into values; its errors name the file and the place in it."""

    path: str

    def values(self, table: object, keys: Converters, where: str, *, also: tuple[str, ...] = ()) -> dict[str, Any]:
        values = {}
        for key, value in self.table(table, where).items():
            self.refuse_unknown(key, (*keys, *also), where)
            if key in keys:
                values[key] = self.value(value, keys[key], f"{where}{key}: ")
        return values

    def table(self, table: object, where: str) -> dict[str, Any]:
        if not isinstance(table, dict):
            raise ConfigurationError(f"{self.path}: {where.strip() or 'it'} is not a table: {table!r}")
        return table

    def value(self, value: object, convert: Callable[[object], object], where: str) -> object:
        try:
            return convert(value)
        except (ConfigurationError, UsageError) as error:
            raise ConfigurationError(f"{self.path}: {where}{error}") from error

    def refuse_unknown(self, key: str, keys: tuple[str, ...], where: str) -> None:
        if key in keys:
            return
        import difflib

        near = difflib.get_close_matches(key, keys, n=1)
        advice = f"did you mean {near[0]}?" if near else f"known are {', '.join(keys)}"
        raise ConfigurationError(f"{self.path}: {where}{key}: unknown key; {advice}")


def _archq_part(reader: _Reader, document: dict[str, Any]) -> dict[str, Any]:
    values = reader.values(document, TOP_KEYS, "", also=SECTIONS)
    values["queues"] = {
        name: _queue(reader, name, table) for name, table in reader.table(document.get("queue", {}), "[queue] ").items()
    }
    if (default := values.get("default")) and default not in values["queues"]:
        raise ConfigurationError(f"{reader.path}: default: there is no [queue.{default}]")
    if "lp" in document:
        values["lp_system"] = reader.values(document["lp"], LP_KEYS, "[lp] ").get("system")
    return values


def _queue(reader: _Reader, name: str, table: object) -> QueueSettings:
    where = f"[queue.{name}] "
    if not 0 < len(name) <= 64 or name.startswith("-") or not consists_of(name, _IN_QUEUE_NAMES):
        raise ConfigurationError(f"{reader.path}: {where}a queue's name has letters, digits, '_' and '-' only")
    values = reader.values(table, QUEUE_KEYS, where)
    if "url" not in values:
        raise ConfigurationError(f"{reader.path}: {where}has no url, such as sftp://user@archive.example.edu/incoming")
    return QueueSettings(name=name, **values)


def _instrument_part(reader: _Reader, document: dict[str, Any]) -> dict[str, Any]:
    tables = reader.table(document.get("instrument", {}), "[instrument] ")
    instruments = {name: _one_instrument(reader, name, table) for name, table in tables.items()}
    claims = [name for one in instruments.values() for name in {one.name, *one.aliases}]
    for one in instruments.values():
        if shared := [alias for alias in one.aliases if claims.count(alias) > 1]:
            where = f"{reader.path}: [instrument.{one.name}] aliases: "
            raise ConfigurationError(f"{where}{shared[0]} is another instrument's name or alias too")
    return {"instruments": instruments}


def _one_instrument(reader: _Reader, name: str, table: object) -> InstrumentSettings:
    where = f"[instrument.{name}] "
    reader.value(name, _instrument, where)
    return InstrumentSettings(name=name, **reader.values(table, INSTRUMENT_KEYS, where))


def _sweeper_part(reader: _Reader, document: dict[str, Any]) -> dict[str, Any]:
    return {"sweeper": SweeperSettings(**reader.values(document.get("sweeper", {}), SWEEPER_KEYS, "[sweeper] "))}


def _logsum_part(reader: _Reader, document: dict[str, Any]) -> dict[str, Any]:
    return {"logsum": LogsumSettings(**reader.values(document.get("logsum", {}), LOGSUM_KEYS, "[logsum] "))}


_PARTS: Mapping[str, Callable[[_Reader, dict[str, Any]], dict[str, Any]]] = {
    "archq": _archq_part,
    "instrument": _instrument_part,
    "sweeper": _sweeper_part,
    "logsum": _logsum_part,
}
