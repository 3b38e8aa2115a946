"""Nothing lost, whatever fails: every technique of the fault programme, as far as it comes in a minute or so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.faults import techniques
from tests.requirements import require

if TYPE_CHECKING:
    from tests.faults.programme import Tally
    from tests.faults.scenarios import Stage


@pytest.mark.parametrize("name", techniques.ALL)
def test_no_promise_is_broken(name: str, faults_stage: Stage, tallies: list[Tally]) -> None:
    tally = techniques.play(name, faults_stage, "quick")
    tallies.append(tally)
    assert tally.violations == [], str(tally)
    require(not tally.left_out, tally.left_out)
    assert tally.points > 0
