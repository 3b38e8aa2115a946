"""How a report is to look, in whatever form."""

from __future__ import annotations

from archq.light import dataclass

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Sequence

UNITS = {"MB": 10**6, "MiB": 2**20}


@dataclass(frozen=True, slots=True, kw_only=True)
class Style:
    """How much is told, in what units, and the upper ends of the bins, None for ones that fit the rates."""

    verbosity: int = 1
    unit: str = "MB"
    bounds: Sequence[float] | None = (1.0, 2.0, 4.0, 8.0)
    details: bool = False
    by: str | None = None  # one of groups.GROUPINGS

    @property
    def unit_bytes(self) -> int:
        """How many bytes the unit has."""
        return UNITS[self.unit]
