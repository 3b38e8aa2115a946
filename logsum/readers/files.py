"""Log files as streams of lines, plain or gzipped."""

from __future__ import annotations

import gzip
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from io import BufferedIOBase


def opened(path: str) -> BufferedIOBase:
    """Open a log to read its lines as bytes, each ending in a newline; raise OSError if it cannot be."""
    return gzip.open(path) if path.endswith(".gz") else open(path, "rb")
