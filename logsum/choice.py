"""The period that a command line asks for: by the original's offsets or by a name, never by both (pure)."""

from __future__ import annotations

from datetime import date, timedelta

from archq.errors import UsageError
from archq.light import dataclass
from archq.names import ALL_INSTRUMENTS
from archq.nights import named_night
from logsum.observing import nights_of
from logsum.period import Period, Window, clock_of, resolve

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import tzinfo

    from archq.config import Config
    from logsum.observing import Nights


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """What the options say.  ``offsets`` are those of the original's that were given, as they were typed."""

    instrument: str
    window: Window
    offsets: Sequence[str]
    night: str | None = None
    last_night: bool = False
    month: str | None = None
    since: str | None = None
    until: str | None = None

    @property
    def names(self) -> list[str]:
        """The options that name a period."""
        told = {
            "--night": self.night,
            "--last-night": self.last_night or None,
            "--month": self.month,
            "--since": self.since,
            "--until": self.until,
        }
        return [name for name, value in told.items() if value is not None]


def chosen_period(choice: Choice, config: Config, zone: tzinfo | None, shown: tzinfo, now: int) -> Period:
    """Return the period that is meant at ``now``, in the zone ``shown``.  Raise UsageError for a contradiction.

    A night is shown in its instrument's zone instead where ``zone``, which is what -z says, is none.
    """
    _refuse_contradictions(choice)
    if choice.month is not None:
        from logsum.words import parse_month

        return parse_month(choice.month, shown)
    if choice.since is not None:
        return _between(choice.since, choice.until, now, shown)
    if choice.night is None and not choice.last_night:
        return resolve(choice.window, now, shown)
    nights = _common_nights(choice.instrument, config, shown)
    night = _yesterday(now, nights) if choice.night is None else _night(choice.night)
    try:
        return nights.period(night, zone or nights.zone)
    except (OverflowError, ValueError):
        raise UsageError(f"--night: the night of {night} has no beginning or end in the years 1 to 9999") from None


def _refuse_contradictions(choice: Choice) -> None:
    names = choice.names
    if names == ["--until"]:
        raise UsageError("--until says when the period ends: say with --since when it begins")
    if len(names) > 1 and names != ["--since", "--until"]:
        raise UsageError(f"{names[0]} and {names[1]} are two periods: leave one out")
    if names and choice.offsets:
        raise UsageError(f"{names[0]} and {choice.offsets[0]} are two ways to name a period: leave one out")


def _between(since: str, until: str | None, now: int, zone: tzinfo) -> Period:
    from logsum.words import parse_moment

    start, end = parse_moment(since, now, zone), now if until is None else parse_moment(until, now, zone)
    if start > end:
        shown = [f"{clock_of(instant, zone):%Y-%m-%d %H:%M:%S %Z}" for instant in (start, end)]
        raise UsageError(f"--since {since!r} is {shown[0]}, which is later than the period's end, {shown[1]}")
    return Period(start=start, end=end, zone=zone)


def _night(text: str) -> date:
    night = named_night(text)
    if not night:
        raise UsageError(f"--night: {text[:40]!r} is not a date such as 2026-11-19 (or 2026.1119)")
    return night


def _yesterday(now: int, nights: Nights) -> date:
    """Return the night that began yesterday: in the morning after it still the present one, from noon on the last."""
    return clock_of(now, nights.zone).date() - timedelta(days=1)


def _common_nights(instrument: str, config: Config, zone: tzinfo) -> Nights:
    """Return the nights of an instrument; those of all have to be the same."""
    if instrument != ALL_INSTRUMENTS:
        return nights_of(instrument, config, zone)
    several = {name: nights_of(name, config, zone) for name in config.instruments}
    different = {(str(one.zone), one.rollover) for one in several.values()}
    if len(different) > 1:
        raise UsageError(
            f"-i all: {' and '.join(list(several)[:2])}… begin their nights at different times: "
            "name the period with -B DATE -n -D 1 -z ZONE, or --since and --until"
        )
    return next(iter(several.values()), nights_of(instrument, config, zone))
