"""Any POSIX name survives as a value, and none can forge a line."""

from __future__ import annotations

import os

import pytest
from hypothesis import example, given
from hypothesis import strategies as some

from archq import fields
from archq.errors import MalformedError

KEYS = some.from_regex(fields.KEY.pattern, fullmatch=True)
ANY_BYTES = some.binary(max_size=80)
TRAPS = [
    "\x85",
    "\u2028",
    "\u2029",
    "\x0b",
    "\x0c",
    "\x1c",
    "\r",
    "\n",
    "\t",
    "\x1b[2J",
    "\u202e",
    "%",
    "%0A",
    " ",
    "\0",
]


def value_of(raw: bytes) -> str:
    return os.fsdecode(raw)


@given(ANY_BYTES, some.booleans())
@example(b" ", False)
@example(b"  a  b  ", False)
@example(b"100%", True)
@example(b"%41", False)
@example("caf\u00e9".encode(), False)
@example(b"caf\xe9", False)
@example(b"\xed\xb3\xbf", False)
def test_every_byte_string_survives(raw: bytes, blanks: bool) -> None:
    assert os.fsencode(fields.decode(fields.encode(value_of(raw), blanks=blanks))) == raw


@given(ANY_BYTES, some.booleans())
def test_an_encoded_value_is_utf_8_on_one_line_without_control_characters(raw: bytes, blanks: bool) -> None:
    encoded = fields.encode(value_of(raw), blanks=blanks).encode()
    assert not set(encoded) & {*range(0x20), 0x7F}
    assert not encoded.startswith(b" ")
    assert not encoded.endswith(b" ")
    assert not (blanks and b" " in encoded)


def test_only_what_has_to_be_is_encoded() -> None:
    assert fields.encode("/data/M 31/caf\u00e9~=,;&.fits") == "/data/M 31/caf\u00e9~=,;&.fits"
    assert fields.encode("  two  ") == "%20%20two%20%20"
    assert fields.encode("50%\n") == "50%25%0A"
    assert fields.encode(os.fsdecode(b"caf\xe9")) == "caf%E9"
    assert fields.encode("M 31", blanks=True) == "M%2031"


@pytest.mark.parametrize("trap", TRAPS)
def test_a_value_cannot_forge_a_line(trap: str) -> None:
    value = f"{trap}size=0{trap}"
    assert fields.parse_lines(fields.format_lines([("name", value), ("size", "5")])) == {"name": value, "size": "5"}


@pytest.mark.parametrize("key", ["", "Size", "size=0\nname", "name\n", "dir name", "-a", "\u0661"])
def test_a_key_cannot_forge_a_line_either(key: str) -> None:
    with pytest.raises(MalformedError, match=r"^not a key \(small letters, digits"):
        fields.format_lines([(key, "x")])


@pytest.mark.parametrize("value", ["\ud800", "a\udc00b"])
@pytest.mark.parametrize("blanks", [False, True])
def test_text_that_no_file_name_can_hold_is_refused(value: str, blanks: bool) -> None:
    with pytest.raises(MalformedError, match=r"^not text: "):
        fields.encode(value, blanks=blanks)


@given(some.lists(some.tuples(KEYS, ANY_BYTES), unique_by=lambda pair: pair[0]))
def test_pairs_survive_in_their_order(raw_pairs: list[tuple[str, bytes]]) -> None:
    pairs = [(key, value_of(raw)) for key, raw in raw_pairs]
    if pairs:
        parsed = fields.parse_lines(fields.format_lines(pairs))
        assert [(key, os.fsencode(value)) for key, value in parsed.items()] == raw_pairs


@pytest.mark.parametrize("bad", ["%", "a%", "%4", "%4 1", "%zz", "%+1", "% 1", "%\u0664\u0661", "%%", "%2%35"])
def test_a_percent_sign_that_begins_no_byte_is_refused(bad: str) -> None:
    with pytest.raises(MalformedError, match=r"^a percent sign without two hexadecimal digits: "):
        fields.decode(bad)


@pytest.mark.parametrize("bad", [" a", "a ", "\ta", "a\x00b", "a\x7fb", "\x1b[2J", "%41\x1b", "a\r"])
def test_a_bare_byte_that_should_be_encoded_is_refused(bad: str) -> None:
    with pytest.raises(MalformedError, match=r"^a byte that should be percent-encoded: "):
        fields.decode(bad)


def test_digits_of_an_encoded_byte_may_be_small_or_large() -> None:
    assert fields.decode("%2f%2F") == "//"


@pytest.mark.parametrize(
    "line",
    ["", "size", "=5", "Size=5", "-size=5", ".size=5", "si ze=5", "size\u0661=5", "gr\u00f6\u00dfe=5", "size =5"],
)
def test_a_line_that_is_no_pair_is_refused(line: str) -> None:
    with pytest.raises(MalformedError, match=r"^not a key=value pair: "):
        fields.parse_lines(f"{line}\n")


def test_a_value_may_be_empty_and_hold_equals_signs() -> None:
    assert fields.parse_lines("title=\noption.where=a=b\n") == {"title": "", "option.where": "a=b"}


def test_an_empty_line_is_refused_wherever_it_stands() -> None:
    for text in ("\na=1\n", "a=1\n\nb=2\n", "a=1\n\n"):
        with pytest.raises(MalformedError, match=r"^not a key=value pair: ''$"):
            fields.parse_lines(text)


def test_a_key_that_comes_twice_is_refused() -> None:
    with pytest.raises(MalformedError, match=r"^the key size stands twice$"):
        fields.parse_lines("size=1\nname=a\nsize=1\n")


@given(some.dictionaries(KEYS, ANY_BYTES, min_size=1))
def test_pairs_on_one_line_are_those_of_one_at_a_time(raw_pairs: dict[str, bytes]) -> None:
    pairs = {key: value_of(raw) for key, raw in raw_pairs.items()}
    words = fields.format_words(pairs).split(" ")
    assert words == [fields.format_pair(key, value, blanks=True) for key, value in pairs.items()]


def test_a_key_cannot_forge_a_word() -> None:
    with pytest.raises(MalformedError, match=r"^not a key "):
        fields.format_words({"a": "plain", "b c": "plain"})


@given(some.text(alphabet="a1=% \n\t\ud812\u2028", max_size=12))
def test_lines_are_read_alike_whether_looked_at_together_or_one_by_one(text: str) -> None:
    assert outcome_of(fields.parse_lines, text) == outcome_of(one_by_one, text)


def one_by_one(text: str) -> dict[str, str]:
    pairs: dict[str, str] = {}
    for line in text.removesuffix("\n").split("\n"):
        fields.add_pair(pairs, line)
    return pairs


def outcome_of(parse, text: str) -> dict[str, str] | str:
    try:
        return parse(text)
    except MalformedError as error:
        return str(error)


@given(some.text(alphabet="a1=% \n\t\x1f\ud812\u2028", max_size=12))
@example("a=1 b=2")
@example("a=1  b=2")
@example("a=1 b=2 ")
@example("a=1 a=2")
@example("a=%20 b=")
@example("")
def test_words_are_read_alike_whether_looked_at_together_or_one_by_one(text: str) -> None:
    def word_by_word(text: str) -> dict[str, str]:
        pairs: dict[str, str] = {}
        for word in text.split(" "):
            fields.add_pair(pairs, word)
        return pairs

    assert outcome_of(fields.parse_words, text) == outcome_of(word_by_word, text)


def test_line_ends_of_other_systems_are_refused() -> None:
    with pytest.raises(MalformedError, match=r"^a byte that should be percent-encoded: "):
        fields.parse_lines("size=1\r\nname=a\r\n")


@given(some.from_regex(fields.KEY.pattern) | some.text("az09._-A\n²", max_size=4))
def test_what_a_key_is_does_not_depend_on_who_is_asked(text: str) -> None:
    assert fields.is_key(text) == bool(fields.KEY.fullmatch(text))


@given(ANY_BYTES.map(os.fsdecode), some.booleans())
def test_a_value_without_anything_special_is_its_own_encoding(value: str, blanks: bool) -> None:
    special = fields._ENCODED_WITH_BLANKS if blanks else fields._ENCODED
    assert (fields.encode(value, blanks=blanks) == value) == (special.search(value) is None)
