"""Durations and sizes as people write them: ``7d``, ``90s``, ``5GB``, ``20MB/s``."""

from __future__ import annotations

from archq.errors import ConfigurationError
from archq.fields import LETTERS

_SECONDS = {"": 1, "s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_BYTES = {"": 1, "b": 1} | {
    unit: factor**power
    for power, letter in enumerate("kmgt", start=1)
    for unit, factor in ((letter, 1000), (f"{letter}b", 1000), (f"{letter}ib", 1024))
}
_MOST = 2**63  # beyond it nothing can be counted, so an infinity is a mistake and not a wish
_BLANKS = " \t\n\r\f\v"


def parse_duration(value: object) -> float:
    """Return seconds: a number is seconds, text may carry a unit (s, m, h, d, w)."""
    return _quantity(value, _SECONDS, "a duration such as 90, 15m, 6h or 7d")


def parse_size(value: object) -> int:
    """Return bytes: a number is bytes, text may carry a unit (kB, MB, GB, TB of 1000; KiB, MiB … of 1024)."""
    return round(_quantity(value, _BYTES, "a size such as 5GB or 512MiB"))


def parse_rate(value: object) -> int:
    """Return bytes a second: a size, ``/s`` after it or not."""
    return parse_size(value.removesuffix("/s") if isinstance(value, str) else value)


def format_size(size: float) -> str:
    """Return e.g. ``8.4 MB``: three digits at most before the unit, units of 1000 as disks and links are sold."""
    for unit in ("B", "kB", "MB", "GB"):
        if abs(size) < 999.95:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def format_duration(seconds: float) -> str:
    """Return e.g. ``45 s``, ``12 min``, ``2 h``, ``3 d``: the largest unit that the duration fills."""
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:.0f} d"


def _quantity(value: object, units: dict[str, int], wanted: str) -> float:
    quantity = _in_base_units(value, units)
    if quantity is None or not 0 <= quantity <= _MOST:  # which no nan is
        raise ConfigurationError(f"not {wanted}: {value!r}")
    return float(quantity)


def _in_base_units(value: object, units: dict[str, int]) -> float | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return value
    if not isinstance(value, str):
        return None
    text = value.strip(_BLANKS)
    number = text.rstrip(LETTERS)
    unit = units.get(text[len(number) :].lower())
    return float(number) * unit if unit and _is_decimal(number.rstrip(_BLANKS)) else None


def _is_decimal(text: str) -> bool:
    whole, point, fraction = text.partition(".")
    return text.isascii() and whole.isdigit() and (fraction.isdigit() if point else True)
