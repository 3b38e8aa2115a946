"""What one sweep is asked to do, as a value: the command line's words and the configuration's defaults together."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from archq.config import InstrumentSettings, SweeperSettings
from archq.errors import ConfigurationError, MalformedError, UsageError
from archq.names import checked_instrument
from archq.options import parse_words
from sweeper.ledger import Logs
from sweeper.placement import Parts, checked_subdirectory

if TYPE_CHECKING:
    from collections.abc import Iterable

    from archq.config import Config

ANY = "any"  # stands where an instrument's name would, for all that -A moves on
LOGS = "xferlogs"  # the log directory, below the archive's


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """The command line of one sweep as it was typed."""

    instrument: str | None = None
    directory: str | None = None
    log_directory: str | None = None
    log_file: str | None = None
    incoming: str | None = None
    options: tuple[str, ...] = ()
    dated: bool = True
    sweep_any: bool = False
    ignored: tuple[str, ...] = ()
    ignored_only: str | None = None
    configured: bool = False
    stale: float | None = None  # seconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """One sweep.  ``instrument`` holds how its files are archived; with -A, how all other files are."""

    incoming: str
    archive: str
    logs: Logs
    instrument: InstrumentSettings
    any_but: frozenset[str] | None = None  # -A: every instrument but these; None: one instrument
    dated: bool = True
    subdirectory: Parts | None = None  # -o dir=
    sweeper: SweeperSettings = field(default_factory=SweeperSettings)

    @property
    def sweeps_any(self) -> bool:
        """Whether arrivals of all other instruments are moved on unchanged."""
        return self.any_but is not None

    def wants(self, instrument: str) -> bool:
        """Say whether an arrival of ``instrument`` is this sweep's business."""
        if self.any_but is not None:
            return instrument not in self.any_but
        return instrument == self.instrument.name or instrument in self.instrument.aliases


def jobs_of(config: Config, words: Words) -> list[Job]:
    """Return the sweeps that are asked for; raise UsageError or ConfigurationError where something is missing."""
    if [words.instrument is not None, words.sweep_any, words.configured].count(True) != 1:
        raise UsageError(
            "say which instrument to sweep with -i INST, or --configured for all that are configured, "
            "or -A for what belongs to none"
        )
    if not words.configured:
        return [_job(config, words)]
    if words.directory or words.log_file or words.log_directory:
        raise UsageError(
            "--configured takes each instrument's directories from the configuration, not from -d, -L or -l"
        )
    names = [one.name for one in config.instruments.values() if one.directory]
    if not names:
        raise ConfigurationError(f"no [instrument.NAME] with a directory in {config.path or 'any configuration'}")
    return [_job(config, replace(words, instrument=name)) for name in names]


def _job(config: Config, words: Words) -> Job:
    if words.sweep_any:
        instrument = InstrumentSettings(name=ANY, directory=config.sweeper.any_directory)
    else:
        name = checked_instrument(words.instrument or "")
        instrument = config.instrument_named(name) or InstrumentSettings(name=name)
    archive, subdirectory = _archive(words, instrument), _subdirectory(words.options)
    incoming = words.incoming or config.sweeper.incoming
    if not incoming:
        raise ConfigurationError("no incoming directory: give it with -f, or set [sweeper] incoming")
    job = Job(
        incoming=os.path.abspath(incoming),
        archive=archive,
        logs=_logs(words, instrument, archive),
        instrument=instrument,
        any_but=_left_alone(config, words) if words.sweep_any else None,
        dated=words.dated,
        subdirectory=subdirectory,
        sweeper=_sweeper(config, words, incoming),
    )
    _refuse_mixing(job)
    return job


def _archive(words: Words, instrument: InstrumentSettings) -> str:
    if directory := words.directory or instrument.directory:
        return os.path.abspath(directory)
    where = "[sweeper] any_directory" if words.sweep_any else f"[instrument.{instrument.name}] directory"
    raise UsageError(f"no archive directory: give it with -d DIR, or set {where}")


def _logs(words: Words, instrument: InstrumentSettings, archive: str) -> Logs:
    """Return where the lines go: a relative directory counts from here, a relative file from the directory."""
    if words.log_file and os.path.isabs(words.log_file):
        directory, name = os.path.split(os.path.normpath(words.log_file))
        return Logs(directory=directory, name=name, alone=True)
    directory = os.path.abspath(words.log_directory or instrument.logs or os.path.join(archive, LOGS))
    if not words.log_file:
        return Logs(directory=directory)
    above, name = os.path.split(os.path.normpath(words.log_file))
    return Logs(directory=os.path.join(directory, above) if above else directory, name=name)


def _left_alone(config: Config, words: Words) -> frozenset[str]:
    """Return the instruments that -A does not touch: the ignore list, and all that are configured."""
    ignored = config.sweeper.ignore if words.ignored_only is None else _names([words.ignored_only])
    configured = [name for one in config.instruments.values() for name in (one.name, *one.aliases)]
    return frozenset([*ignored, *_names(words.ignored), *configured])


def _names(lists: Iterable[str]) -> list[str]:
    return [checked_instrument(name) for text in lists for name in re.split(r"[,\s]+", text) if name]


def _subdirectory(options: tuple[str, ...]) -> Parts | None:
    words = parse_words(options)
    if unknown := [key for key in words if key != "dir"]:
        raise UsageError(f"-o {unknown[0]}: the sweeper knows dir=NAME only")
    try:
        return checked_subdirectory(words["dir"]) if words else None
    except MalformedError as error:
        raise UsageError(f"-o {error}") from error


def _sweeper(config: Config, words: Words, incoming: str) -> SweeperSettings:
    """Return the sweeper's settings; its work places are for the incoming directory that is configured with them."""
    settings = config.sweeper
    if words.stale is not None:
        settings = replace(settings, stale=words.stale)
    if config.sweeper.incoming is None or os.path.realpath(incoming) == os.path.realpath(config.sweeper.incoming):
        return settings
    return replace(settings, work=None, rejected=None)


def _refuse_mixing(job: Job) -> None:
    """Refuse directories that would feed a sweep its own output."""
    real = {name: os.path.realpath(path) for name, path in (("incoming", job.incoming), ("archive", job.archive))}
    logs = os.path.realpath(job.logs.directory)
    if real["incoming"] == real["archive"]:
        raise UsageError(f"the archive {job.archive} cannot be the incoming directory itself")
    if logs == real["archive"] and not job.logs.alone:
        raise UsageError(f"the log directory cannot be the archive {job.archive} itself: name another with -L")
    if logs == real["incoming"]:
        raise UsageError(f"the log directory cannot be the incoming directory {job.incoming}: name another with -L")
