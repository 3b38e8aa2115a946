"""What our modules use of dataclasses, enum, contextlib and re, made so that nobody waits for it.

These four take 17 ms to load, more than twice what ``lp`` needs for all of its work.  To a type checker the names here
are the standard library's own, and they keep its promises as far as they go: values are frozen and have slots, and
``replace``, ``fields`` and ``asdict`` take them as they take any dataclass.
"""

from __future__ import annotations

__all__ = [
    "IntEnum",
    "changed_fields",
    "contextmanager",
    "dataclass",
    "field",
    "made_often",
    "pattern",
    "replace",
    "suppress",
]

TYPE_CHECKING = False  # true to a type checker, under whichever module's name; typing itself takes 7 ms
if TYPE_CHECKING:
    from contextlib import contextmanager, suppress
    from dataclasses import dataclass, field, replace
    from enum import IntEnum
    from re import compile as pattern
    from typing import TypeVar

    _Kind = TypeVar("_Kind", bound=type)

    def made_often(kind: _Kind) -> _Kind:
        """Let values of ``kind`` be made in the least time once some have been made, for they may be many."""

    def changed_fields(value: object) -> dict[str, object]:
        """Return the fields of ``value``, by their names, that have no default or another value than that."""
else:
    from _operator import attrgetter  # what operator takes it from, which takes longer to load

    _set = object.__setattr__

    _MANY = 30  # values: from here on it repays to compile how they are made

    class field:  # noqa: N801
        """What a field has beside its name and type."""

        def __init__(self, *, default=None, default_factory=None, repr=True):  # noqa: A002
            self.default, self.make, self.is_shown = default, default_factory, repr

    def dataclass(*, frozen, slots, kw_only=False, order=False):
        """Return what makes a class one of frozen values with slots."""
        if not (frozen and slots):
            raise TypeError("only frozen values with slots are made here")

        def made(plain):
            names = tuple(plain.__annotations__)
            body = {key: value for key, value in vars(plain).items() if key not in ("__dict__", "__weakref__")}
            given = {name: body.pop(name) for name in names if name in body}
            facts = {
                "__slots__": names,
                "__match_args__": () if kw_only else names,
                "__qualname__": plain.__qualname__,
                "__dataclass_fields__": _Fields(),
                "_given": {name: one if isinstance(one, field) else field(default=one) for name, one in given.items()},
                "_content": staticmethod(attrgetter(*names)),
            }
            methods = _ORDERED_METHODS if order else _METHODS
            return type(plain)(plain.__name__, plain.__bases__, {**methods, **body, **facts})

        return made

    class _Value:
        """What every value can do."""

        def __init__(self, *positional, **named):
            kind = type(self)
            if positional:
                _name(positional, kind, named)
            try:
                for name, value in named.items():
                    _set(self, name, value)
            except AttributeError:
                raise TypeError(f"a {kind.__name__} has no field {name!r}") from None
            if len(named) < len(kind.__slots__):
                for name in kind.__slots__:
                    if name not in named:
                        one = kind._given.get(name) or _missing(kind, name)
                        _set(self, name, one.make() if one.make else one.default)
            if kind.__post_init__:
                self.__post_init__()

        __post_init__ = None

        def __repr__(self):
            shown = [name for name in self.__slots__ if name not in self._given or self._given[name].is_shown]
            return f"{type(self).__qualname__}({', '.join([f'{name}={getattr(self, name)!r}' for name in shown])})"

        def __eq__(self, other):
            return self._content(self) == self._content(other) if type(self) is type(other) else NotImplemented

        def __hash__(self):
            return hash(self._content(self))

        def __setattr__(self, name, _value):
            raise AttributeError(f"cannot assign to field {name!r} of a {type(self).__name__}")

        def __delattr__(self, name):
            raise AttributeError(f"cannot delete field {name!r} of a {type(self).__name__}")

        def __reduce__(self):
            return _remade, (type(self), *[getattr(self, name) for name in self.__slots__])

    class _OrderedValue(_Value):
        """What values can do that have an order: that of their fields."""

        def __lt__(self, other):
            return self._content(self) < self._content(other) if type(self) is type(other) else NotImplemented

        def __le__(self, other):
            return self._content(self) <= self._content(other) if type(self) is type(other) else NotImplemented

    def _name(positional, kind, named):
        if len(positional) > len(kind.__match_args__):
            raise TypeError(f"too many values for a {kind.__name__}")
        for name, value in zip(kind.__match_args__, positional, strict=False):
            if name in named:
                raise TypeError(f"two values for the field {name!r} of a {kind.__name__}")
            named[name] = value

    def _missing(kind, name):
        raise TypeError(f"a {kind.__name__} needs its field {name!r}, which is missing")

    def _remade(kind, *content):
        return kind(**dict(zip(kind.__slots__, content, strict=True)))

    def changed_fields(value):  # noqa: D103  # as above
        given = value._given
        both = ((name, getattr(value, name)) for name in value.__slots__)
        return {name: one for name, one in both if name not in given or one != given[name].default}

    def replace(value, **changes):  # noqa: D103  # as above
        return type(value)(**{name: getattr(value, name) for name in value.__slots__} | changes)

    def made_often(kind):  # noqa: D103  # as above
        make, left = kind.__init__, _MANY

        def make_one_of_few(self, *positional, **named):
            nonlocal left
            left -= 1
            if left <= 0:
                kind.__init__ = _compiled(kind)
            make(self, *positional, **named)

        kind.__init__ = make_one_of_few
        return kind

    def _compiled(kind):
        """Return how values are made, in words of its own, as dataclasses has it; to compile it takes a while."""
        found = {"given": kind._given, "absent": object()}
        said, steps = [], []
        for name in kind.__slots__:
            found[f"put_{name}"] = vars(kind)[name].__set__
            one, value = kind._given.get(name), name
            if one and one.make:
                value = f"given[{name!r}].make() if {name} is absent else {name}"
            said.append(name if one is None else f"{name}={'absent' if one.make else f'given[{name!r}].default'}")
            steps.append(f"put_{name}(self, {value})")
        if kind.__post_init__:
            steps.append("self.__post_init__()")
        begin = "self" if kind.__match_args__ else "self, *"
        exec(f"def __init__({begin}, {', '.join(said)}): {'; '.join(steps)}", found)  # noqa: S102 - names of ours
        return found["__init__"]

    _METHODS = {name: one for name, one in vars(_Value).items() if callable(one) or name == "__post_init__"}
    _ORDERED_METHODS = {**_METHODS, "__lt__": _OrderedValue.__lt__, "__le__": _OrderedValue.__le__}

    class _Fields:
        """The fields of a class as dataclasses has them, for who asks for them there."""

        def __get__(self, _value, kind):
            import dataclasses

            twin = dataclasses.make_dataclass(
                kind.__name__, [_as_field(kind, name) for name in kind.__slots__], kw_only=True
            )
            kind.__dataclass_fields__ = twin.__dataclass_fields__
            return kind.__dataclass_fields__

    def _as_field(kind, name):
        import dataclasses

        one = kind._given.get(name)
        default = {} if one is None else {"default_factory": one.make} if one.make else {"default": one.default}
        return name, kind.__annotations__[name], dataclasses.field(**default, repr=one is None or one.is_shown)

    class _Numbers(type):
        """Makes the numbers in a class's body its instances, which it is a list of."""

        def __new__(cls, name, bases, body):
            numbers = {key: value for key, value in body.items() if type(value) is int and key.isupper()}
            kind = super().__new__(cls, name, bases, {key: body[key] for key in body if key not in numbers})
            for key, number in numbers.items():
                setattr(kind, key, kind(number))
            return kind

        def __iter__(cls):
            return (value for value in vars(cls).values() if isinstance(value, cls))

    class IntEnum(int, metaclass=_Numbers):
        """Numbers that have names."""

    class suppress:  # noqa: N801
        """Goes on after the block when one of these errors ended it."""

        def __init__(self, *errors):
            self._errors = errors

        def __enter__(self):
            pass

        def __exit__(self, kind, _error, _trace):
            return kind is not None and issubclass(kind, self._errors)

    def contextmanager(steps):
        """Return what makes a context of a generator that yields once."""
        return lambda *positional, **named: _Context(steps(*positional, **named))

    class _Context:
        def __init__(self, steps):
            self._steps = steps

        def __enter__(self):
            return next(self._steps)

        def __exit__(self, _kind, error, _trace):
            if error is None:
                for _more in self._steps:
                    raise RuntimeError("a context yields once")
                return False
            try:
                self._steps.throw(error)
            except StopIteration:
                return True
            except BaseException as raised:
                if raised is error or (isinstance(error, StopIteration) and raised.__cause__ is error):
                    return False
                raise
            raise RuntimeError("a context yields once")

    class pattern:  # noqa: N801
        """A regular expression that is compiled when it is first used."""

        def __init__(self, text):
            self.pattern = text

        def __getattr__(self, name):
            import re

            compiled = re.compile(self.pattern)
            for method in ("fullmatch", "match", "search", "sub", "findall", "finditer", "split"):
                setattr(self, method, getattr(compiled, method))
            return getattr(compiled, name)
