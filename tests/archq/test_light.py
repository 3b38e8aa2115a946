"""What we make ourselves, so that it loads at once, behaves as the standard library's own."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import enum
import pickle
import re
from typing import Any

import pytest

from archq import light

BOTH = pytest.mark.parametrize("library", [light, dataclasses], ids=["ours", "theirs"])


@light.dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    name: str
    size: int = 0
    password: str | None = light.field(default=None, repr=False)
    options: dict[str, str] = light.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError("negative")


@light.dataclass(frozen=True, slots=True, order=True)
class Number:
    number: int
    queue: str = "archive"


def classes(library: Any) -> tuple[Any, Any]:
    """Return the two classes above as ``library`` makes them."""
    if library is light:
        return Frame, Number

    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class TheirFrame:
        name: str
        size: int = 0
        password: str | None = dataclasses.field(default=None, repr=False)
        options: dict[str, str] = dataclasses.field(default_factory=dict)

        __post_init__ = Frame.__post_init__

    @dataclasses.dataclass(frozen=True, slots=True, order=True)
    class TheirNumber:
        number: int
        queue: str = "archive"

    return TheirFrame, TheirNumber


@BOTH
def test_a_value_has_what_was_given_and_its_defaults_for_the_rest(library: Any) -> None:
    frame, _number = classes(library)
    one = frame(name="a", password="secret")
    assert (one.name, one.size, one.password, one.options) == ("a", 0, "secret", {})
    assert one.options is not frame(name="a").options
    assert repr(one).rpartition(".")[2].rpartition("Their")[2].endswith("Frame(name='a', size=0, options={})")


@BOTH
@pytest.mark.parametrize("words", [{}, {"size": 1}, {"name": "a", "colour": "red"}])
def test_a_value_without_a_field_it_needs_or_with_one_it_has_not_is_refused(
    library: Any, words: dict[str, Any]
) -> None:
    with pytest.raises(TypeError):
        classes(library)[0](**words)


@BOTH
def test_positions_are_for_those_who_allow_them(library: Any) -> None:
    frame, number = classes(library)
    assert (number(3).number, number(3, "other").queue, number(3, queue="other").queue) == (3, "other", "other")
    for wrong in (lambda: frame("a"), lambda: number(1, "a", 2), lambda: number(1, number=2)):
        with pytest.raises(TypeError):
            wrong()


@BOTH
def test_a_value_checks_itself(library: Any) -> None:
    with pytest.raises(ValueError, match="negative"):
        classes(library)[0](name="a", size=-1)


@BOTH
def test_a_value_stays_as_it_is(library: Any) -> None:
    one = classes(library)[0](name="a")
    for change in (lambda: setattr(one, "name", "b"), lambda: setattr(one, "colour", 1), lambda: delattr(one, "name")):
        with pytest.raises((AttributeError, TypeError)):  # theirs raises TypeError for what is no field
            change()
    assert not hasattr(one, "__dict__")


@BOTH
def test_equal_values_are_one_in_a_set_and_order_is_that_of_their_fields(library: Any) -> None:
    frame, number = classes(library)
    assert frame(name="a") == frame(name="a") != frame(name="b")
    assert {number(1), number(1), number(2)} == {number(1), number(2)}
    assert number(1) != (1, "archive")
    assert sorted([number(2), number(1, "b"), number(1, "a")]) == [number(1, "a"), number(1, "b"), number(2)]
    assert number(2) > number(1) >= number(1) <= number(1) < number(2)
    for other in (1, frame(name="a")):
        with pytest.raises(TypeError):
            number(1) < other  # noqa: B015
    with pytest.raises(TypeError):
        frame(name="a") < frame(name="b")  # noqa: B015


@BOTH
def test_a_value_can_be_matched_by_position(library: Any) -> None:
    _frame, number = classes(library)
    match number(7, "other"):
        case number(count, queue):
            assert (count, queue) == (7, "other")


def test_what_dataclasses_offers_takes_our_values_too() -> None:
    one = Frame(name="a", size=1)
    assert dataclasses.replace(one, size=2) == Frame(name="a", size=2)
    assert dataclasses.asdict(one) == {"name": "a", "size": 1, "password": None, "options": {}}
    assert [item.name for item in dataclasses.fields(Frame)] == ["name", "size", "password", "options"]
    assert [item.default for item in dataclasses.fields(Number)] == [dataclasses.MISSING, "archive"]
    assert dataclasses.is_dataclass(one)


def test_a_value_survives_the_way_to_another_process() -> None:
    one = Frame(name="a", options={"key": "value"})
    assert pickle.loads(pickle.dumps(one)) == one == copy.deepcopy(one)


def test_what_is_not_as_it_was_by_default_is_told() -> None:
    assert light.changed_fields(Number(3)) == {"number": 3}
    assert light.changed_fields(Frame(name="", password="secret")) == {"name": "", "password": "secret", "options": {}}


@light.made_often
@light.dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """One of many."""

    text: str
    number: int = 0


@light.made_often
@light.dataclass(frozen=True, slots=True)
class Point:
    """One of many, whose fields need no names."""

    x: int
    y: int = 0


def test_values_that_are_many_may_have_positions() -> None:
    assert Point(1) == Point(1, 0) == Point(x=1) != Point(1, y=2)
    for wrong in ((), (1, 2, 3)):
        with pytest.raises(TypeError):
            Point(*wrong)


@light.made_often
@light.dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """One of many, which is checked and has a mapping of its own."""

    size: int
    options: dict[str, str] = light.field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.size < 0:
            raise ValueError(f"{self.size} is negative")


def test_values_that_are_many_are_checked_and_share_no_default() -> None:
    parts = [Part(size=size) for size in range(100)]
    assert parts[99] == Part(size=99, options={})
    assert len({id(part.options) for part in parts}) == 100
    with pytest.raises(ValueError, match="-1 is negative"):
        Part(size=-1)


def test_values_that_are_many_are_as_others_are_from_the_first_on() -> None:
    for _time in range(100):
        assert [Line(text="a").number, Line(text="a", number=2).number] == [0, 2]
        assert Line(text="a") == Line(number=0, text="a") != Line(text="a", number=1)
        for wrong in ({}, {"text": "a", "colour": "red"}):
            with pytest.raises(TypeError):
                Line(**wrong)
    assert repr(pickle.loads(pickle.dumps(Line(text="a")))).endswith("Line(text='a', number=0)")


def test_a_value_is_replaced_by_one_that_differs_in_what_is_said() -> None:
    one = Frame(name="a", size=1)
    assert light.replace(one, size=2) == Frame(name="a", size=2)
    with pytest.raises(TypeError):
        light.replace(one, colour="red")
    with pytest.raises(ValueError, match="negative"):
        light.replace(one, size=-1)


def test_only_frozen_values_with_slots_are_made() -> None:
    with pytest.raises(TypeError, match="only frozen values with slots"):
        light.dataclass(frozen=False, slots=True)


@pytest.mark.parametrize("base", [light.IntEnum, enum.IntEnum], ids=["ours", "theirs"])
def test_numbers_have_names(base: Any) -> None:
    class Status(base):  # type: ignore[misc]
        """What is said at the end."""

        DONE = 0
        USAGE = 2

    assert [int(one) for one in Status] == [0, 2]
    assert isinstance(Status.USAGE, Status)
    assert (Status.USAGE, f"{Status.USAGE}", {Status.DONE: "x"}[0]) == (2, "2", "x")


@pytest.mark.parametrize("library", [light, contextlib], ids=["ours", "theirs"])
def test_a_context_sees_how_its_block_ends(library: Any) -> None:
    seen: list[object] = []

    @library.contextmanager
    def context(first: str, *, swallow: type[Exception] | None = None) -> Any:
        try:
            yield first
            seen.append("whole")
        except KeyError as error:
            if swallow is None:
                raise
            seen.append(str(error))
        finally:
            seen.append("end")

    with context("a") as given:
        assert given == "a"
    with pytest.raises(KeyError, match="'b'"), context("b"):
        raise KeyError("b")
    with context("c", swallow=KeyError):
        raise KeyError("c")
    with pytest.raises(StopIteration), context("d"):
        raise StopIteration
    assert seen == ["whole", "end", "end", "'c'", "end", "end"]


@pytest.mark.parametrize("library", [light, contextlib], ids=["ours", "theirs"])
def test_a_context_may_raise_another_error_and_yields_once(library: Any) -> None:
    @library.contextmanager
    def translated() -> Any:
        try:
            yield
        except KeyError as error:
            raise ValueError("translated") from error

    @library.contextmanager
    def twice() -> Any:
        yield
        yield

    with pytest.raises(ValueError, match="translated") as caught, translated():
        raise KeyError("original")
    assert isinstance(caught.value.__cause__, KeyError)
    with pytest.raises(RuntimeError), twice():
        pass


@pytest.mark.parametrize("library", [light, contextlib], ids=["ours", "theirs"])
def test_only_the_named_errors_are_suppressed(library: Any) -> None:
    with library.suppress(FileNotFoundError, KeyError):
        raise KeyError
    with pytest.raises(ValueError, match="x"), library.suppress(FileNotFoundError):
        raise ValueError("x")


def test_a_pattern_is_compiled_when_it_is_first_used() -> None:
    one: Any = light.pattern(r"(?P<letter>[a-z])[0-9]")
    assert "search" not in vars(one)
    assert one.search("-a1-")["letter"] == "a"
    assert one.fullmatch("-a1-") is None
    assert one.sub("x", "a1b2") == "xx"
    assert one.groups == re.compile(one.pattern).groups
    assert "search" in vars(one)
