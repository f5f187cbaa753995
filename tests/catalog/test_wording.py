from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.catalog import did_you_mean, quoted, unstorable

KNOWN = ["val_loss", "val_accuracy", "train_loss", "Val_Loss_2"]


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("val_los", "'val_loss'"),
        ("VAL_LOSS", "'val_loss'"),
        ("train-loss", "'train_loss'"),
        ("val_accurcy", "'val_accuracy'"),
    ],
)
def test_near_names_are_suggested_whatever_their_case(name: str, near: str) -> None:
    said = did_you_mean(name, KNOWN)

    assert said.startswith(f"Did you mean {near}")
    assert said.endswith("? ")


@pytest.mark.parametrize("name", ["", "perplexity", "x" * 251])
def test_nothing_is_suggested_where_nothing_is_near(name: str) -> None:
    assert did_you_mean(name, [*KNOWN, "x" * 250]) == ""


def test_three_are_suggested_at_most() -> None:
    assert did_you_mean("loss", [f"loss{n}" for n in range(9)]).count("'") == 6


def test_a_long_text_is_shortened_and_its_length_told() -> None:
    assert quoted("it's") == '"it\'s"'
    assert quoted("a" * 120) == repr("a" * 120)
    assert quoted("a" * 10_000_000) == f"{'a' * 120!r}… (10,000,000 characters)"


@given(st.text())
def test_whatever_utf8_can_hold_but_nul_can_be_stored(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:
        assert unstorable(text)
    else:
        assert bool(unstorable(text)) == ("\0" in text)
