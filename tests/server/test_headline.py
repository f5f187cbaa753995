"""What the list of experiments says of each."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tracker.server.headline import HEIGHT, WIDTH, course, main_metric


@pytest.mark.parametrize(
    ("names", "chosen"),
    [
        ([], ("", None)),
        (["train_loss", "val_accuracy", "val_loss"], ("val_loss", "min")),
        (["train/loss", "eval/accuracy"], ("eval/accuracy", "max")),
        (["accuracy", "alpha"], ("accuracy", "max")),
        (["beta", "alpha"], ("alpha", None)),
    ],
)
def test_the_metric_that_says_most_is_a_loss_on_validation_data(
    names: list[str], chosen: tuple[str, str | None]
) -> None:
    assert main_metric(names) == chosen


@given(st.lists(st.floats(), min_size=2, max_size=30), st.integers(0, 29))
def test_a_small_curve_stays_in_its_frame(values: list[float], best: int) -> None:
    drawn = course(values, best)

    if sum(map(math.isfinite, values)) < 2:
        assert drawn is None
    else:
        assert drawn is not None
        places = [tuple(map(float, place.split(","))) for place in drawn.line.split()]
        assert len(places) == sum(map(math.isfinite, values))
        assert all(0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places)
        assert drawn.best is None or drawn.best in places
