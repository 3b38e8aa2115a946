"""A site for every test."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from tests.sweeper.accounts import UPLOADER
from tests.sweeper.arrivals import Site, new_site

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(params=[None, UPLOADER], ids=["our own uploads", "uploads of others"])
def site(tmp_path: Path, request: pytest.FixtureRequest) -> Site:
    """What is our own may be renamed into the archive, what others own has to be copied."""
    if request.param and os.geteuid() != 0:
        pytest.skip("only root can make the uploads of others")
    return new_site(tmp_path, uploader=request.param)
