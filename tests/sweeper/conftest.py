"""A site for every test."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.sweeper.arrivals import Site, new_site

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return new_site(tmp_path)
