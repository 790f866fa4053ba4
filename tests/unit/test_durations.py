"""Durations as text."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.durations import parse_duration


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        ("30s", 30),
        ("5m", 300),
        ("2h", 7200),
        ("1d", 86_400),
        ("1h30m", 5400),
        ("1d2h3m4s", 93_784),
        ("1d4s", 86_404),
        ("90m", 5400),
        ("90", 90),
        ("0.5", 0.5),
        ("1.5h", 5400),
        ("0h5m", 300),
        (" 5m\n", 300),
        ("36500d", 36_500 * 86_400),
        (90, 90),
        (0.25, 0.25),
    ],
    ids=itertools.count(),
)
def test_a_duration_is_a_number_of_seconds(value: float | str, seconds: float) -> None:
    found = parse_duration(value)

    assert found == seconds
    assert type(found) is float


@pytest.mark.parametrize(
    "value",
    [
        "",
        " ",
        "five minutes",
        "5 m",
        "1h 30m",
        "5M",
        "5min",
        "5ms",
        "30m1h",
        "1h1h",
        "1h30",
        "m",
        "-5m",
        "+5m",
        "1e3",
        ".5s",
        "5.m",
        "nan",
        "inf",
        "٣s",
        "1_000",
        True,
        None,
        [5],
        b"5m",
    ],
    ids=itertools.count(),
)
def test_what_is_no_duration_is_told_how_to_write_one(value: Any) -> None:
    with pytest.raises(ValueError, match="is no duration; write 30s, 5m, 2h, 1d, 1h30m or a number"):
        parse_duration(value)


@pytest.mark.parametrize(
    "value",
    [0, 0.0, -1, math.nan, math.inf, -math.inf, 10**400, "0", "0s", "0d0h", "36501d", "9" * 400, "9" * 5000],
    ids=itertools.count(),
)
def test_a_duration_lasts_more_than_nothing_and_ends(value: float | str) -> None:
    with pytest.raises(ValueError, match="more than 0 seconds and at most 36500d"):
        parse_duration(value)


@given(st.integers(0, 99), st.integers(0, 99), st.integers(0, 99), st.integers(1, 99))
def test_parts_add_up(days: int, hours: int, minutes: int, seconds: int) -> None:
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds

    assert parse_duration(f"{days}d{hours}h{minutes}m{seconds}s") == total


@given(st.text(alphabet="0123456789dhms. -", max_size=12) | st.text(max_size=8) | st.floats() | st.integers())
def test_anything_is_a_duration_or_a_valueerror(value: float | str) -> None:
    try:
        seconds = parse_duration(value)
    except ValueError:
        return
    assert 0 < seconds < math.inf
