"""The instrument side of the line, with the vocabulary that all three programs share.

For a data system: ``archq.submit(["img0001.fits"], queue="archive", options={"inst": "minicam"})`` does what the
command ``archq submit`` does, with the same guarantees and without a subprocess.
"""

from __future__ import annotations

from archq.version import __version__

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from archq.submission import Request, submit

__all__ = ["Request", "__version__", "submit"]


def __getattr__(name: str) -> Any:
    """Load the submission only where it is used: reports and sweepers read control files without it."""
    if name in ("Request", "submit"):
        from archq import submission

        return getattr(submission, name)
    raise AttributeError(f"module 'archq' has no attribute {name!r}")
