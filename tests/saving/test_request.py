"""What `log_checkpoint` refuses before anything is written, and what it says."""

from __future__ import annotations

import math
from decimal import Decimal
from fractions import Fraction
from typing import Any

import mlflow
import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from mlflow.exceptions import MlflowException
from mlflow.utils.validation import _validate_metric_name, _validate_tag_name

from tracker.errors import InvalidArgumentError, InvalidMetricError
from tracker.saving.request import Request, check_request


def check(**arguments: Any) -> Request:
    return check_request(
        **{"epoch": None, "step": None, "metrics": None, "tags": None, **arguments}
    )


@pytest.mark.parametrize(
    ("arguments", "name", "step"),
    [
        ({"epoch": 6}, "epoch-6", 6),
        ({"epoch": 0}, "epoch-0", 0),
        ({"epoch": 6, "step": 1200}, "epoch-6-step-1200", 1200),
        ({"epoch": 6, "step": 0}, "epoch-6-step-0", 0),
        ({"step": 1200}, "step-1200", 1200),
        ({}, "checkpoint", 0),
    ],
)
def test_a_checkpoint_is_named_by_its_epoch_and_step(
    arguments: dict[str, Any], name: str, step: int
) -> None:
    request = check(**arguments)
    assert (request.name, request.mlflow_step) == (name, step)


@pytest.mark.parametrize("field", ["epoch", "step"])
@pytest.mark.parametrize("value", [0, 6, 2**63 - 1, np.int64(6), np.uint8(6)])
def test_whole_numbers_of_python_and_numpy_are_epochs(field: str, value: Any) -> None:
    found = getattr(check(**{field: value}), field)
    assert found == int(value)
    assert type(found) is int


@pytest.mark.parametrize("field", ["epoch", "step"])
@pytest.mark.parametrize(
    "value", [1.0, True, "1", np.float32(1), np.bool_(True), [1], torch.tensor(1)]
)
def test_anything_else_is_no_epoch(field: str, value: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{field}=.*expected an integer, 0 or more"):
        check(**{field: value})


@pytest.mark.parametrize("value", [-1, 2**63, 10**30])
def test_negative_and_huge_epochs_are_out_of_range(value: int) -> None:
    with pytest.raises(InvalidArgumentError, match=r"out of range; expected 0 or more.*64 bits"):
        check(epoch=value)


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (1, 1.0),
        (0.25, 0.25),
        (Fraction(1, 4), 0.25),
        (np.float32(0.25), 0.25),
        (np.int64(3), 3.0),
        (np.array(0.25), 0.25),
        (np.array([[0.25]]), 0.25),
        (torch.tensor(0.25), 0.25),
        (torch.tensor([[0.25]], requires_grad=True), 0.25),
        (torch.tensor(3, dtype=torch.int8), 3.0),
        (torch.tensor(0.25, dtype=torch.bfloat16), 0.25),
        (math.inf, math.inf),
        (-math.inf, -math.inf),
    ],
)
def test_numbers_and_tensors_of_one_element_are_metrics(value: Any, number: float) -> None:
    found = check(metrics={"m": value}).metrics["m"]
    assert found == number
    assert type(found) is float


def test_a_nan_is_a_metric() -> None:
    assert math.isnan(check(metrics={"m": torch.tensor(math.nan)}).metrics["m"])


@pytest.mark.parametrize(
    "value",
    [
        "0.5",
        b"1",
        None,
        True,
        np.bool_(True),
        torch.tensor(True),
        1j,
        torch.tensor(1j),
        torch.ones(2),
        torch.ones(0),
        np.ones(2),
        {"a": 1},
        [1.0],
        Decimal("0.5"),
        object(),
        lambda: 1.0,
    ],
)
def test_anything_else_is_no_metric(value: Any) -> None:
    with pytest.raises(InvalidMetricError, match=r"The metric 'm' is .*expected one real number"):
        check(metrics={"m": value})


def test_a_tensor_of_several_elements_gets_a_hint() -> None:
    with pytest.raises(InvalidMetricError, match=r"take \.mean\(\) or \.item\(\) first"):
        check(metrics={"m": torch.ones(2)})


def test_a_tensor_without_values_is_no_metric() -> None:
    with pytest.raises(InvalidMetricError, match="has no value"):
        check(metrics={"m": torch.ones(1, device="meta")})


def test_a_number_beyond_floats_is_no_metric() -> None:
    with pytest.raises(InvalidMetricError, match="too large"):
        check(metrics={"m": 10**400})


@pytest.mark.parametrize("metrics", [0.5, ["a"], "a", [("a", 1)]])
def test_metrics_must_be_a_dict(metrics: Any) -> None:
    with pytest.raises(InvalidMetricError, match="dict of numbers by name"):
        check(metrics=metrics)


@pytest.mark.parametrize(
    "name", ["loss", "val/loss", "a b", "a:b", "top-1 acc.", "größe", ".a", "x" * 250]
)
def test_names_that_mlflow_takes_are_taken(name: str) -> None:
    assert name in check(metrics={name: 1.0}).metrics
    _validate_metric_name(name)


REFUSED = [
    "",
    " \n",
    "a\n",
    "/a",
    "a/",
    "a//b",
    "./a",
    ".",
    "..",
    "../a",
    "..a",
    "a/../b",
    "a*b",
    "a\0",
]


@pytest.mark.parametrize("name", [*REFUSED, 5, None, "x" * 251])
def test_names_that_mlflow_refuses_are_refused_before_anything_is_written(name: Any) -> None:
    with pytest.raises(InvalidMetricError, match="can't be logged: MLflow"):
        check(metrics={name: 1.0})


@given(st.text(st.sampled_from("ab./\\ -_:*\0é"), max_size=6) | st.text(max_size=4))
def test_a_name_is_taken_exactly_if_mlflow_takes_it(name: str) -> None:
    assume("\n" not in name)  # MLflow lets one pass at the end
    try:
        _validate_metric_name(name)
        taken = True
    except MlflowException:
        taken = False
    if taken:
        check(metrics={name: 1.0})
    else:
        with pytest.raises(InvalidMetricError):
            check(metrics={name: 1.0})


def test_tags_become_text() -> None:
    assert check(tags={"a": 1, "b": None, "c": "x"}).tags == {"a": "1", "b": "None", "c": "x"}


@pytest.mark.parametrize("name", ["", "a*b", 5])
def test_tag_names_that_mlflow_refuses_are_refused(name: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="tag name"):
        check(tags={name: "x"})
    with pytest.raises((MlflowException, TypeError)):
        _validate_tag_name(name)


@pytest.mark.parametrize("name", ["tracker.epoch", "mlflow.source.name"])
def test_tags_of_tracker_and_mlflow_are_reserved(name: str) -> None:
    with pytest.raises(InvalidArgumentError, match=f"{name}.*reserved"):
        check(tags={name: "x"})


@pytest.mark.parametrize("value", ["\0", "\ud800"])
def test_a_tag_that_no_database_holds_is_refused(value: str) -> None:
    with pytest.raises(InvalidArgumentError, match="can't be kept"):
        check(tags={"a": value})


def test_a_tag_has_a_limit() -> None:
    assert len(check(tags={"a": "x" * 5000}).tags["a"]) == 5000
    with pytest.raises(InvalidArgumentError, match="too long"):
        check(tags={"a": "x" * 5001})
    with pytest.raises(InvalidArgumentError, match="too long"):
        check(tags={"a" * 251: "x"})


@pytest.mark.parametrize("tags", [["a"], "a", 5])
def test_tags_must_be_a_dict(tags: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="dict of text"):
        check(tags=tags)


@pytest.mark.usefixtures("workplace")
def test_a_refused_argument_starts_no_run_and_writes_nothing() -> None:
    import tracker

    with pytest.raises(InvalidMetricError):
        tracker.log_checkpoint(torch.nn.Linear(1, 1), epoch=1, metrics={"m": "x"})
    assert mlflow.active_run() is None
    assert mlflow.search_logged_models(output_format="list") == []
