"""How far a tensor is from another, in every dtype of the format."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracker.format.dtypes import DTYPES
from tracker.loading.compare_tensors import relative_difference

NUMBERS = st.lists(st.tuples(*[st.floats(-1e6, 1e6, width=32)] * 2), min_size=1, max_size=50)


@given(NUMBERS)
def test_it_is_the_norm_of_the_difference_relative_to_the_norm(
    pairs: list[tuple[float, float]],
) -> None:
    a, b = torch.tensor(pairs, dtype=torch.float64).T
    found = relative_difference(a, b)
    if a.norm() == 0:
        assert found == (0 if b.norm() == 0 else math.inf)
    else:
        assert found == pytest.approx(float((b - a).norm() / a.norm()), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", DTYPES)
def test_every_dtype_can_be_compared(name: str) -> None:
    dtype = DTYPES[name].torch
    a, b = (torch.tensor([1.0, number]).to(dtype) for number in (1.0, 0.0))
    if name == "float8_e8m0fnu":  # it has no zero
        b = torch.tensor([1.0, 2.0]).to(dtype)
    assert relative_difference(a, a) == 0
    assert relative_difference(a, b) == pytest.approx(math.sqrt(0.5), rel=1e-3)


def test_it_is_summed_up_over_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    from tracker.loading import compare_tensors

    a, b = torch.randn(10, 7), torch.randn(10, 7)
    whole = relative_difference(a, b)
    monkeypatch.setattr(compare_tensors, "_PIECE", 3)
    assert relative_difference(a, b) == pytest.approx(whole)


def test_numbers_that_are_none_make_none() -> None:
    a = torch.tensor([1.0, math.nan])
    assert math.isnan(relative_difference(a, torch.ones(2)))
    assert math.isnan(relative_difference(torch.zeros(2), a))
    assert relative_difference(torch.tensor(2.0), torch.tensor(-2.0)) == 2
    assert relative_difference(torch.ones(0), torch.ones(0)) == 0
