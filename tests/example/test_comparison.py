"""Two outputs compared: identical, close, or different, and where."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from tracker.example.comparison import compare

X = torch.tensor([[1.0, 2.0], [3.0, 4.0]])


def parts(**values: Any) -> list[tuple[str, Any]]:
    return [(f"output.{name}", value) for name, value in values.items()]


@pytest.mark.parametrize(
    "value",
    [
        X,
        torch.tensor([math.nan, math.inf, -0.0]),
        torch.empty(0, 3),
        torch.tensor(True),
        torch.arange(4, dtype=torch.uint8).view(torch.float8_e4m3fn),
        torch.tensor([1 + 2j]),
        1,
        0.1,
        math.nan,
        "text",
        None,
    ],
    ids=str,
)
def test_equal_bits_are_identical(value: Any) -> None:
    found = compare(parts(y=value), parts(y=value))
    assert str(found) == "identical"
    assert found.difference is None


def test_the_last_digits_are_within_tolerance_and_the_largest_is_told() -> None:
    other = X.clone()
    other[1, 0] += 1e-6
    found = compare(parts(a=X, b=X), parts(a=X, b=other))
    assert found.verdict == "within tolerance"
    assert found.path == "output.b[1, 0]"
    assert found.difference == pytest.approx(1e-6, rel=0.1)
    assert str(found).startswith("within tolerance: by at most 9.54e-07, in output.b[1, 0]")


def test_the_tolerance_is_that_of_the_dtype() -> None:
    half = X.to(torch.bfloat16)
    assert compare(parts(y=half), parts(y=half * 1.01)).verdict == "within tolerance"
    assert compare(parts(y=X), parts(y=X * 1.01)).verdict == "different"
    assert compare(parts(y=X.double()), parts(y=X.double() + 1e-5)).verdict == "different"


def test_the_largest_difference_of_all_parts_is_told() -> None:
    found = compare(parts(a=X, b=X, c=X), parts(a=X + 1, b=X + 3, c=X + 2))
    assert (found.verdict, found.path, found.difference) == ("different", "output.b[0, 0]", 3.0)
    assert found.reason == "by up to 3, in output.b[0, 0]"


def test_a_zero_of_another_sign_is_not_identical() -> None:
    found = compare(parts(y=torch.tensor([0.0])), parts(y=torch.tensor([-0.0])))
    assert (found.verdict, found.difference) == ("within tolerance", 0.0)


def test_a_nan_where_there_was_none_is_an_infinite_difference() -> None:
    found = compare(parts(y=torch.tensor([1.0, 2.0])), parts(y=torch.tensor([1.0, math.nan])))
    assert (found.verdict, found.path, found.difference) == ("different", "output.y[1]", math.inf)


def test_whole_numbers_have_no_tolerance() -> None:
    big = torch.tensor([2**62])
    assert compare(parts(y=big), parts(y=big + 1)).verdict == "different"
    assert compare(parts(y=3), parts(y=4)).reason == "output.y is 4 and was 3"


def test_numbers_of_a_model_are_of_single_precision() -> None:
    assert compare(parts(y=0.1), parts(y=0.1 + 1e-9)).verdict == "within tolerance"
    assert compare(parts(y=0.1), parts(y=0.2)).verdict == "different"


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (X.double(), "output.y is a tensor of float64 [2, 2] and was a tensor of float32 [2, 2]"),
        (X[0], "output.y is a tensor of float32 [2] and was a tensor of float32 [2, 2]"),
        (1.5, "output.y is of type float and was a tensor of float32 [2, 2]"),
        (None, "output.y is None and was a tensor of float32 [2, 2]"),
    ],
    ids=["dtype", "shape", "type", "none"],
)
def test_another_kind_of_value_is_different_with_or_without_values(value: Any, reason: str) -> None:
    for values in (True, False):
        found = compare(parts(y=X), parts(y=value), values=values)
        assert (found.verdict, found.reason) == ("different", reason)


def test_only_shapes_count_where_values_do_not() -> None:
    assert compare(parts(y=X), parts(y=X + 9), values=False).verdict == "same shapes"


def test_parts_that_come_and_go_are_named() -> None:
    found = compare(parts(a=X, b=X), parts(a=X, c=X))
    assert found.verdict == "different"
    assert found.reason == "the output lacks output.b; the output has in addition output.c"
    swapped = compare(parts(a=X, b=X), parts(b=X, a=X))
    assert swapped.reason == "the parts of the output come in another order"
