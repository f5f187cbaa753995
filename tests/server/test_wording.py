"""Numbers and times on pages."""

from __future__ import annotations

import ast
import math

from hypothesis import given
from hypothesis import strategies as st

from tracker.server import wording

NOW = 1_800_000_000_000
HOUR = 3_600_000


def test_numbers_have_six_digits_and_no_surprises() -> None:
    shown = [wording.number(value) for value in (0.0481234567, -2.5, math.nan, -math.inf, None)]

    assert shown == ["0.0481235", "\N{MINUS SIGN}2.5", "NaN", "\N{MINUS SIGN}∞", "\N{EN DASH}"]


def test_sizes_and_amounts_are_scaled_and_never_show_a_thousand() -> None:
    assert [wording.size(n) for n in (0, 999, 2_340_000, 999_999)] == [
        "0 B",
        "999 B",
        "2.3 MB",
        "1.0 MB",
    ]
    assert [wording.amount(n) for n in (650, 25_557_032)] == ["650", "25.6 M"]


def test_times_are_told_from_now() -> None:
    ages = (0, HOUR / 60, 3 * HOUR, 47 * HOUR, 24 * 400 * HOUR, -48 * HOUR)

    assert [wording.ago(NOW - int(age), NOW) for age in ages] == [
        "just now",
        "1 minute ago",
        "3 hours ago",
        "1 day ago",
        "1 year ago",
        "2027-01-17 08:00 UTC",
    ]


@given(st.integers(-(2**63), 2**63 - 1))
def test_any_time_that_a_database_holds_can_be_shown(milliseconds: int) -> None:
    assert wording.moment(milliseconds)
    assert wording.ago(milliseconds, NOW)


@given(st.text())
def test_a_line_stays_one_line(text: str) -> None:
    shown = wording.one_line(text, 20)

    assert len(shown) <= 21
    assert shown.isprintable()


@given(st.text())
def test_a_literal_is_python_for_the_text(text: str) -> None:
    assert ast.literal_eval(wording.literal(text)) == text
    assert wording.literal(text).isprintable()


def test_nouns_follow_their_numbers() -> None:
    assert wording.counted(1, "run") == "1 run"
    assert wording.counted(1240, "checkpoint") == "1,240 checkpoints"
