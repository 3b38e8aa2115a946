"""Modules that somebody else's module imports, and that are loaded only when something of them is used."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator


class _Later(ModuleType):
    """Stands in for a module until somebody wants more of it than its name."""

    def __getattr__(self, name: str) -> Any:
        _give_way(self)
        return getattr(import_module(self.__name__), name)


@contextmanager
def put_off(name: str) -> Iterator[None]:
    """Give a stand-in for the module ``name`` to whoever imports it inside, unless it is loaded already."""
    later = _Later(name)
    sys.modules.setdefault(name, later)
    try:
        yield
    finally:
        _give_way(later)


def _give_way(later: _Later) -> None:
    if sys.modules.get(later.__name__) is later:
        del sys.modules[later.__name__]
