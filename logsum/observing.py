"""The observing nights of an instrument: when one begins, and which one a file belongs to, as the sweeper has it."""

from __future__ import annotations

import os
from datetime import timedelta

from archq.errors import ConfigurationError, UsageError
from archq.light import dataclass
from archq.nights import named_night, night_of, start_of
from archq.zones import find_zone
from logsum.period import Period
from logsum.sources import settings_of

TYPE_CHECKING = False
if TYPE_CHECKING:
    from datetime import date, tzinfo

    from archq.config import Config
    from logsum.transfers import Transfer

_NOON = 12 * 3600  # seconds after midnight


@dataclass(frozen=True, slots=True, kw_only=True)
class Nights:
    """Nights from rollover to rollover; ``rollover`` is in seconds after midnight in ``zone``."""

    zone: tzinfo
    rollover: int = _NOON

    def holding(self, instant: int) -> date:
        """Return the night in which ``instant`` lies."""
        return night_of(instant, self.zone, self.rollover)

    def period(self, night: date, shown_in: tzinfo) -> Period:
        """Return the time from the beginning of ``night`` to the next one's."""
        start, end = (start_of(one, self.zone, self.rollover) for one in (night, night + timedelta(days=1)))
        return Period(start=start, end=end, zone=shown_in)

    def of(self, transfer: Transfer) -> date:
        """Return the night that a file belongs to: its archived directory's, else the one in which it was queued.

        What has waited for an outage to end does not belong to the night in which it arrived.
        """
        verdict = transfer.archived or transfer.failed
        named = verdict and verdict.path and named_night(os.path.basename(os.path.dirname(verdict.path)))
        if named:
            return named
        queued = verdict.queued if verdict else None
        try:
            return self.holding(transfer.ended if queued is None else queued)
        except (OverflowError, ValueError):  # a clock of the year 1, which is why it was rejected
            return self.holding(transfer.ended)


def nights_of(instrument: str, config: Config, zone: tzinfo) -> Nights:
    """Return the nights of an instrument, by any of its names; of one that nobody configured, from noon in ``zone``."""
    settings = settings_of(instrument, config)
    if not settings:
        return Nights(zone=zone)
    return Nights(zone=configured_zone(settings.zone, f"[instrument.{settings.name}] zone"), rollover=settings.rollover)


def configured_zone(text: str, where: str) -> tzinfo:
    """Return the zone that the configuration names ``where``; raise ConfigurationError if there is none."""
    try:
        return find_zone(text)
    except UsageError as error:
        raise ConfigurationError(f"{where}: {error}") from error
