"""What a new host is to be, as values: the instrument computer and the archive host."""

from __future__ import annotations

import os
from dataclasses import dataclass

from archq.setup.template import TOP

Section = dict[str, object]
Sections = dict[str, Section]

WORK = ".archq-work"
DROP_BOXES = {"vsftpd": "etc/vsftpd.conf", "sshd": "etc/ssh/sshd_config.d/archq.conf"}  # below examples/archive

# What the examples call them.
_EXAMPLE_ROOT = "/data/ftp"
_EXAMPLE_UPLOADER = "tdcin"


@dataclass(frozen=True, slots=True, kw_only=True)
class InstrumentComputer:
    """Where data are queued: one queue, and a spool that is its account's (``group`` is None) or its group's."""

    url: str
    queue: str = "archive"
    instruments: tuple[str, ...] = ()
    zone: str | None = None
    rollover: str | None = None
    spool: str | None = None
    owner: str | None = None  # the account that ships; None: ours
    group: str | None = None
    password_file: str | None = None
    password: str | None = None
    key: str | None = None

    def sections(self) -> Sections:
        """Return the configuration's sections with their values."""
        top: Section = {"default": self.queue, "spool": self.spool, "autostart": False if self.group else None}
        queue: Section = {
            "url": self.url,
            # Of several none is the likelier one, and a wrong one would file data in the wrong archive.
            "instrument": self.instruments[0] if len(self.instruments) == 1 else None,
            "instruments": self.instruments or None,
            "password_file": self.password_file,
            "key": self.key,
        }
        nights = _nights(self.instruments, self.zone, self.rollover) if self.zone or self.rollover else {}
        return _without_none({TOP: top, f"queue.{self.queue}": queue, **nights, "lp": {}})


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveHost:
    """Where data arrive and are filed.

    With ``owner`` one account sweeps; without it the members of ``group`` do, each for its own instruments.
    """

    incoming: str
    directory: str  # above the instruments' archives
    instruments: tuple[str, ...] = ()
    zone: str | None = None
    rollover: str | None = None
    owner: str | None = None
    group: str | None = None
    uploader: str | None = None
    ftp_log: str | None = None

    @property
    def work(self) -> str:
        """The sweepers' private place, on incoming's filesystem."""
        return os.path.join(self.incoming, WORK)

    @property
    def root(self) -> str:
        """What uploaders see as the root of all."""
        return os.path.dirname(self.incoming)

    @property
    def rejected(self) -> str:
        """Where wrong arrivals are set aside, where uploaders cannot reach them."""
        return os.path.join(self.root, "rejected")

    def archive_of(self, instrument: str) -> str:
        """Return the directory that an instrument's files are archived in."""
        return os.path.join(self.directory, instrument)

    def sections(self) -> Sections:
        """Return the configuration's sections with their values."""
        archives = _nights(self.instruments, self.zone, self.rollover)
        for name in self.instruments:
            archives[f"instrument.{name}"]["directory"] = self.archive_of(name)
        sweeper = {"incoming": self.incoming, "work": self.work, "rejected": self.rejected}
        return _without_none({**archives, "sweeper": {**sweeper}, "logsum": {"ftp_log": self.ftp_log}})

    def drop_box(self, example: str) -> str:
        """Return a server's configuration: the example's, for this host's directories and account."""
        return example.replace(_EXAMPLE_ROOT, self.root).replace(_EXAMPLE_UPLOADER, self.uploader or _EXAMPLE_UPLOADER)


def _nights(instruments: tuple[str, ...], zone: str | None, rollover: str | None) -> Sections:
    return {f"instrument.{name}": {"zone": zone, "rollover": rollover} for name in instruments}


def _without_none(sections: Sections) -> Sections:
    return {
        name: {key: value for key, value in values.items() if value is not None} for name, values in sections.items()
    }
