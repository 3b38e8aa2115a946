"""Flat dataclasses as ``key=value`` text: the form of everything the spool remembers."""

from __future__ import annotations

import typing
from dataclasses import MISSING, Field, fields
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from archq.errors import MalformedError
from archq.fields import format_lines, parse_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from _typeshed import DataclassInstance

    Record = TypeVar("Record", bound=DataclassInstance)


def format_record(record: DataclassInstance) -> str:
    """Return ``record`` as text; fields that have their default value are left out."""
    changed = (item.name for item in fields(record) if getattr(record, item.name) != _default(item))
    return format_lines((name, str(getattr(record, name))) for name in changed)


def parse_record(kind: type[Record], text: str) -> Record:
    """Return the record of ``kind`` that ``text`` is; raise MalformedError for another text."""
    pairs = parse_lines(text) if text else {}
    parsers = _parsers(kind)
    try:
        return kind(**{name: parsers[name](value) for name, value in pairs.items() if name in parsers})
    except (TypeError, ValueError) as error:
        raise MalformedError(f"not a record of a {kind.__name__}: {error}") from error


def _default(item: Field[Any]) -> object:
    return item.default if item.default is not MISSING else MISSING


@cache
def _parsers(kind: type) -> dict[str, Callable[[str], Any]]:
    return {name: _parser(annotation) for name, annotation in typing.get_type_hints(kind).items()}


def _parser(annotation: Any) -> Callable[[str], Any]:
    plain = next(iter(typing.get_args(annotation)), annotation)  # of "X | None", X
    return "True".__eq__ if plain is bool else typing.cast("Callable[[str], Any]", plain)
