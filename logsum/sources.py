"""Which instrument is meant, and where its logs are."""

from __future__ import annotations

import os

from archq.config import places
from archq.errors import NoInputError
from archq.light import dataclass
from archq.names import ALL_INSTRUMENTS, checked_instrument

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping

    from archq.config import Config, InstrumentSettings

# The short names that users of the original know.
BUILT_IN_ALIASES = {"spec": "hectospec", "chelle": "hectochelle", "mega": "megacam"}

LOG_DIRECTORY = "xferlogs"  # below the instrument's directory, where the sweeper puts it


@dataclass(frozen=True, slots=True, kw_only=True)
class Scope:
    """The instruments that were asked for, and the directories with their transfer logs.

    ``titles`` maps the names that logs use to the one that the report uses; with ``everything``, instruments that
    nobody has configured count too, under their own names.
    """

    directories: tuple[str, ...]
    titles: Mapping[str, str]
    everything: bool = False

    def title_of(self, instrument: str) -> str | None:
        """Return what the report calls ``instrument``, None if it leaves it out."""
        return self.titles.get(instrument, instrument if self.everything else None)


def find_scope(typed: str, directory: str | None, config: Config) -> Scope:
    """Return what ``-i typed`` and ``-l directory`` mean.

    Raise NoInputError for an instrument or a log directory that is not there.
    """
    if typed == ALL_INSTRUMENTS:
        return _everything(directory, config)
    settings = settings_of(checked_instrument(typed), config)
    names = {typed, BUILT_IN_ALIASES.get(typed, typed)}
    if settings:
        names |= {settings.name, *settings.aliases}
    return Scope(
        directories=(_existing(directory or _configured_directory(typed, settings)),),
        titles=dict.fromkeys(names, typed),
    )


def _everything(directory: str | None, config: Config) -> Scope:
    if not directory and not config.instruments:
        raise NoInputError(f"-i all: no instrument is configured ({places()}); give the log directory with -l")
    found = [directory] if directory else [_configured_directory(*one) for one in config.instruments.items()]
    titles = {alias: name for name, one in config.instruments.items() for alias in (name, *one.aliases)}
    return Scope(directories=tuple(_existing(one) for one in dict.fromkeys(found)), titles=titles, everything=True)


def settings_of(typed: str, config: Config) -> InstrumentSettings | None:
    """Return what the configuration says of an instrument, by any of its names; None where it does not know it."""
    return config.instrument_named(typed) or config.instrument_named(BUILT_IN_ALIASES.get(typed, typed))


def _configured_directory(typed: str, settings: InstrumentSettings | None) -> str:
    if settings is None:
        raise NoInputError(
            f"no instrument {typed!r}: there is no [instrument.{BUILT_IN_ALIASES.get(typed, typed)}] "
            f"in the configuration ({places()}); add it, or give the log directory with -l"
        )
    if settings.logs:
        return settings.logs
    if settings.directory:
        return os.path.join(settings.directory, LOG_DIRECTORY)
    raise NoInputError(
        f"no log directory for {typed}: [instrument.{settings.name}] has neither logs nor directory; "
        "add one, or give the log directory with -l"
    )


def _existing(directory: str) -> str:
    if not os.path.isdir(directory):
        raise NoInputError(f"no such log directory: {directory}; give the one that the sweeper writes, its -L, with -l")
    return directory
