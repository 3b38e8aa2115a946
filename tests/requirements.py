"""What a test asks of the machine: without it the test is skipped, but never in continuous integration."""

from __future__ import annotations

import os

import pytest


def require(condition: object, reason: str) -> None:
    """Skip the test, saying why, unless ``condition`` holds; with ``CI`` in the environment it fails instead."""
    if condition:
        return
    if os.environ.get("CI"):
        pytest.fail(f"nothing is skipped where CI is set: {reason}", pytrace=False)
    pytest.skip(reason)
