"""The figures that tables and data tell about a tally, each with its name and unit (pure)."""

from __future__ import annotations

from archq.light import dataclass
from logsum.runs import highest, lowest, median, ordered
from logsum.tally import quantile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from logsum.tally import Tally

Value = int | float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """A column of data.  ``unit`` is as astropy writes it, None for a count."""

    name: str
    unit: str | None = None
    whole: bool = False
    meaning: str


FIGURES = (
    Figure(name="files", whole=True, meaning="files that were archived"),
    Figure(name="errors", whole=True, meaning="files that failed"),
    Figure(name="bytes", unit="byte", whole=True, meaning="size of all files together"),
    Figure(name="timed", whole=True, meaning="files whose transfer was timed, to which the following refer"),
    Figure(name="size_min", unit="byte", whole=True, meaning="smallest size"),
    Figure(name="size_median", unit="byte", meaning="median size"),
    Figure(name="size_max", unit="byte", whole=True, meaning="largest size"),
    Figure(name="seconds_min", unit="s", meaning="shortest transfer"),
    Figure(name="seconds_median", unit="s", meaning="median time of a transfer"),
    Figure(name="seconds_max", unit="s", meaning="longest transfer"),
    Figure(name="rate_min", unit="byte / s", meaning="lowest rate"),
    Figure(name="rate_median", unit="byte / s", meaning="median rate"),
    Figure(name="rate_max", unit="byte / s", meaning="highest rate"),
    Figure(name="latency_median", unit="s", meaning="median time from being queued to being archived"),
    Figure(name="latency_90", unit="s", meaning="which nine of ten files took at most"),
    Figure(name="latency_99", unit="s", meaning="which 99 of 100 files took at most"),
    Figure(name="latency_max", unit="s", meaning="longest time from being queued to being archived"),
)


def figures(tally: Tally) -> dict[str, Value]:
    """Return the value of each figure, None where nothing was measured."""
    latencies = ordered(tally.latencies)
    performance = tally.performance
    values: dict[str, Value] = {
        "files": tally.files,
        "errors": tally.errors,
        "bytes": tally.volume,
        "timed": len(performance.sizes),
        **_range("size", performance.sizes),
        **_range("seconds", performance.times),
        **_range("rate", performance.rates(1)),
        "latency_median": _quantile(latencies, 0.5),
        "latency_90": _quantile(latencies, 0.9),
        "latency_99": _quantile(latencies, 0.99),
        "latency_max": _quantile(latencies, 1.0),
    }
    return {name: round(value, 3) if isinstance(value, float) else value for name, value in values.items()}


def percentiles(tally: Tally, shares: Sequence[float]) -> Mapping[str, Sequence[float]]:
    """Return sizes, rates, times and latencies at each of ``shares``; nothing of what was not measured."""
    performance = tally.performance
    measured = {
        "size": performance.sizes,
        "rate": performance.rates(1),
        "seconds": performance.times,
        "latency": tally.latencies,
    }
    in_order = {name: ordered(values) for name, values in measured.items() if values}
    return {name: [round(quantile(values, share), 3) for share in shares] for name, values in in_order.items()}


def _range(name: str, values: Sequence[float]) -> dict[str, Value]:
    if not values:
        return dict.fromkeys((f"{name}_min", f"{name}_median", f"{name}_max"))
    return {f"{name}_min": lowest(values), f"{name}_median": median(values), f"{name}_max": highest(values)}


def _quantile(in_order: Sequence[float], share: float) -> float | None:
    return quantile(in_order, share) if in_order else None
