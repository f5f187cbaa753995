"""A retention says what stays; one that leaves that open is refused."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest

import tracker
from tests.models import Net
from tracker.errors import InvalidArgumentError
from tracker.retention import Retention


def test_the_direction_of_a_metric_is_filled_in_where_its_name_says_it() -> None:
    assert Retention(keep_best=3, monitor="val_loss").mode == "min"
    assert Retention(keep_best=3, monitor="val_accuracy").mode == "max"
    assert Retention(keep_best=3, monitor="score", mode="min").mode == "min"


def test_numbers_of_numpy_are_numbers() -> None:
    retention = Retention(keep_last=np.int64(3), keep_every=np.int32(10))  # type: ignore[arg-type]
    assert (retention.keep_last, retention.keep_every) == (3, 10)
    assert type(retention.keep_last) is int


def test_a_retention_does_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Retention(keep_last=3).keep_last = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "needs a rule"),
        ({"keep_last": 0}, "keep_last=0: expected a whole number, 1 or more"),
        ({"keep_last": -1}, "keep_last=-1"),
        ({"keep_every": 0}, "keep_every=0"),
        ({"keep_last": 1.5}, "keep_last=1.5"),
        ({"keep_last": True}, "keep_last=True"),
        ({"keep_last": "3"}, "keep_last='3'"),
        ({"keep_best": 0, "monitor": "loss"}, "keep_best=0"),
        ({"keep_best": 2**63, "monitor": "loss"}, "keep_best="),
        ({"keep_best": 3}, "needs the name of the metric"),
        ({"keep_best": 3, "monitor": ""}, "needs the name of the metric"),
        ({"keep_best": 3, "monitor": 7}, "needs the name of the metric"),
        ({"keep_best": 3, "monitor": "score"}, "is not clear from its name"),
        ({"keep_best": 3, "monitor": "loss", "mode": "least"}, "expected 'min', 'max' or None"),
        ({"keep_last": 3, "monitor": "loss"}, "give keep_best= too"),
        ({"keep_last": 3, "mode": "min"}, "give keep_best= too"),
    ],
)
def test_what_is_not_clear_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError) as caught:
        Retention(**arguments)
    assert message in str(caught.value)


@pytest.mark.usefixtures("workplace")
@pytest.mark.parametrize("given", [3, {"keep_last": 3}, Retention])
def test_log_checkpoint_takes_nothing_else_for_a_retention(given: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"expected a tracker\.Retention"):
        tracker.log_checkpoint(Net(hidden=4), epoch=0, retention=given)
