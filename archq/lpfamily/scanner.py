"""The words of a command line as the lp family has taken them since System V (pure)."""

from __future__ import annotations

from archq.light import dataclass, field

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

LONG_OPTIONS = ("--help", "--version")


@dataclass(frozen=True, slots=True)
class Flags:
    """The letters that a program takes, and long options with their dashes."""

    plain: Collection[str] = ""  # stand alone
    valued: Mapping[str, str] = field(default_factory=dict)  # have a value, which is called so in messages
    listed: str = ""  # have a value if the next word is no option


@dataclass(frozen=True, slots=True)
class Word:
    """An option or, with an empty ``flag``, an operand."""

    flag: str  # one letter, or a long option with its dashes
    value: str | None = None
    problem: str = ""  # why it cannot be taken


def scan(words: Sequence[str], flags: Flags) -> list[Word]:
    """Return the options and operands of ``words`` in order; what is wrong with one is noted at it.

    Letters may be clustered and values attached; options may follow operands, ``--`` ends them; ``-`` is an operand.
    """
    found: list[Word] = []
    waiting = list(reversed(words))
    while waiting:
        word = waiting.pop()
        if word == "--":
            return [*found, *(Word("", operand) for operand in reversed(waiting))]
        if word.startswith("--"):
            found.append(_long(word, waiting, flags))
        elif word.startswith("-") and len(word) > 1:
            found.extend(_cluster(word[1:], waiting, flags))
        else:
            found.append(Word("", word))
    return found


def _long(word: str, waiting: list[str], flags: Flags) -> Word:
    """Return a long option, whose value follows a ``=`` or is the next of the ``waiting`` words."""
    name, equals, attached = word.partition("=")
    if name in flags.valued:
        return _valued(name, attached if equals else _next(waiting), flags)
    return Word(word, problem="" if word in LONG_OPTIONS or word in flags.plain else f'unknown option "{word}"')


def _cluster(letters: str, waiting: list[str], flags: Flags) -> Iterator[Word]:
    """Yield the options of one word; the last may take the next one of the ``waiting`` words as its value."""
    for position, letter in enumerate(letters, start=1):
        attached = letters[position:]
        if letter in flags.valued:
            yield _valued(letter, attached or _next(waiting), flags)
            return
        if letter in flags.listed:
            follows = bool(waiting) and not waiting[-1].startswith("-")
            yield Word(letter, attached or (waiting.pop() if follows else None))
            return
        yield Word(letter, problem="" if letter in flags.plain else f'unknown option "{letter}"')


def _next(waiting: list[str]) -> str | None:
    return waiting.pop() if waiting else None


def _valued(flag: str, value: str | None, flags: Flags) -> Word:
    problem = f'expected {flags.valued[flag]} after "{_dashed(flag)}" option' if value is None else ""
    return Word(flag, value, problem)


def _dashed(flag: str) -> str:
    return flag if flag.startswith("-") else f"-{flag}"


def operands(words: Sequence[Word]) -> list[str]:
    """Return the operands among ``words``."""
    return [word.value for word in words if not word.flag and word.value is not None]


def last_values(words: Sequence[Word]) -> dict[str, str]:
    """Return the value of each option among ``words``, the last one where it stands twice; "" for one without."""
    return {word.flag: word.value or "" for word in words if word.flag}


def written(words: Sequence[Word], flags: Flags) -> list[str]:
    """Return a command line that says ``words``, operands last, without a ``--``, which cancel does not know.

    Operands stand first where the last option would take one of them as its value.
    """
    options = [word for word in words if word.flag]
    said = [part for word in options for part in _written_option(word)]
    takes_one = options and options[-1].flag in flags.listed and options[-1].value is None
    return [*operands(words), *said] if takes_one else [*said, *operands(words)]


def _written_option(word: Word) -> list[str]:
    option = _dashed(word.flag)
    if word.value is None:
        return [option]
    # Apart, what looks like an option would be taken for one.
    return [f"{option}{word.value}"] if word.value.startswith("-") else [option, word.value]
