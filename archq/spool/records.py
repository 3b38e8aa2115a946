"""Flat frozen values as ``key=value`` text: the form of everything the spool remembers."""

from __future__ import annotations

from archq.errors import MalformedError
from archq.fields import format_lines, parse_lines
from archq.light import changed_fields

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from typing import Any, TypeVar

    Record = TypeVar("Record")

_known_parsers: dict[type, dict[str, Callable[[str], Any]]] = {}


def format_record(record: object) -> str:
    """Return ``record`` as text; fields that have their default value are left out."""
    return format_lines((name, str(value)) for name, value in changed_fields(record).items())


def parse_record(kind: type[Record], text: str) -> Record:
    """Return the record of ``kind`` that ``text`` is; raise MalformedError for another text."""
    return record_of(kind, parse_lines(text) if text else {})


def record_of(kind: type[Record], pairs: Mapping[str, str]) -> Record:
    """Return the record of ``kind`` whose fields ``pairs`` tell; raise MalformedError for those of another."""
    parsers = _parsers(kind)
    try:
        return kind(**{name: parsers[name](value) for name, value in pairs.items() if name in parsers})
    except (TypeError, ValueError) as error:
        raise MalformedError(f"not a record of a {kind.__name__}: {error}") from error


def _parsers(kind: type) -> dict[str, Callable[[str], Any]]:
    if kind not in _known_parsers:
        import typing  # 7 ms, for which who submits does not wait

        hints = typing.get_type_hints(kind)
        _known_parsers[kind] = {name: _parser(typing.get_args(hint), hint) for name, hint in hints.items()}
    return _known_parsers[kind]


def _parser(alternatives: tuple[Any, ...], hint: Any) -> Callable[[str], Any]:
    plain = next(iter(alternatives), hint)  # of "X | None", X
    return "True".__eq__ if plain is bool else plain
