"""Durations and sizes as people write them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some

from archq.errors import ConfigurationError
from archq.quantities import format_duration, format_size, parse_duration, parse_rate, parse_size


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("15m", 900),
        ("15min", 900),
        ("6h", 21600),
        ("7d", 604800),
        ("2w", 1209600),
        (0, 0),
        (2.5, 2.5),
        ("1.5h", 5400),
        (" 10 m ", 600),
        ("7D", 604800),
    ],
)
def test_a_duration_is_written_as(value: object, seconds: float) -> None:
    assert parse_duration(value) == seconds


@pytest.mark.parametrize(
    ("value", "size"),
    [
        ("5", 5),
        ("5B", 5),
        ("5k", 5000),
        ("5kB", 5000),
        ("5KiB", 5120),
        ("20MB", 20000000),
        ("5 GB", 5 * 10**9),
        ("512MiB", 512 * 2**20),
        ("2TB", 2 * 10**12),
        ("1.5GiB", 3 * 2**29),
        (1024, 1024),
        ("5gb", 5 * 10**9),
    ],
)
def test_a_size_is_written_as(value: object, size: int) -> None:
    assert parse_size(value) == size
    assert isinstance(parse_size(value), int)


def test_a_rate_is_a_size_a_second() -> None:
    assert parse_rate("20MB/s") == parse_rate("20MB") == parse_rate(20_000_000) == 20_000_000


@pytest.mark.parametrize(
    "value", ["", "d", "7 days", "-1", "1e3", "7d 2h", "\u0667d", "1,5h", "5GB", True, None, -1, [7], "7d/s"]
)
def test_what_is_no_duration_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^not a duration such as 90, 15m, 6h or 7d: "):
        parse_duration(value)


@pytest.mark.parametrize("value", ["", "GB", "5 G B", "-5GB", "5GBit", "5h", "5GB/s", False, None, -1, {}])
def test_what_is_no_size_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^not a size such as 5GB or 512MiB: "):
        parse_size(value)


@pytest.mark.parametrize("value", [float("inf"), float("nan"), 10**400, "9" * 400, f"{'9' * 400}GB", 2**64])
def test_what_nobody_can_count_is_refused(value: object) -> None:
    with pytest.raises(ConfigurationError, match=r"^not a duration "):
        parse_duration(value)
    with pytest.raises(ConfigurationError, match=r"^not a size "):
        parse_size(value)


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1.0 kB"),
        (8388608, "8.4 MB"),
        (4 * 10**9, "4.0 GB"),
        (148000000000.0, "148.0 GB"),
        (999960, "1.0 MB"),
        (25 * 10**12, "25.0 TB"),
        (10**16, "10000.0 TB"),
    ],
)
def test_a_size_reads(size: float, text: str) -> None:
    assert format_size(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (45.4, "45 s"), (119, "119 s"), (720, "12 min"), (7200, "2 h"), (86_400, "24 h"), (259_200, "3 d")],
)
def test_a_duration_reads(seconds: float, text: str) -> None:
    assert format_duration(seconds) == text


@given(some.integers(0, 10**18))
def test_a_size_that_was_written_reads_back_to_within_its_last_digit(size: int) -> None:
    assert abs(parse_size(format_size(size)) - size) <= size * 0.05 + 1
