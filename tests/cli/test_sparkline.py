"""A curve in one line of text."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.cli.sparkline import sparkline


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([], ""),
        ([0.9, 0.5, 0.3, 0.2, 0.4], "█▄▂▁▃"),
        ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], "▁▂▃▄▅▆▇█"),
        ([3.0, 3.0], "▄▄"),
        ([1.0, math.nan, 2.0], "▁ █"),
        ([math.inf, 1.0, 2.0, -math.inf], "█▁█▁"),
        ([math.nan], " "),
        ([-1e308, 1e308], "▁█"),
    ],
)
def test_the_smallest_is_at_the_bottom_and_the_largest_at_the_top(
    values: list[float], text: str
) -> None:
    assert sparkline(values) == text


def test_more_values_than_there_is_room_for_are_averaged() -> None:
    assert sparkline([0, 0, 10, 10, 0, 10], width=3) == "▁█▅"
    assert sparkline([1.0, math.nan, 2.0, math.nan], width=2) == "▁█"


@given(st.lists(st.floats(), max_size=100), st.integers(1, 20))
def test_it_is_as_long_as_there_are_values_or_as_there_is_room(
    values: list[float], width: int
) -> None:
    found = sparkline(values, width)
    assert len(found) == min(len(values), width)
    assert {*found} <= {*" ▁▂▃▄▅▆▇█"}
