"""Hyperparameters as text that MLflow and every database hold."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from tracker.importing.hyperparameters import as_params, count, number

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner),
)


def test_nested_settings_have_names_with_dots_and_large_ones_are_one_text() -> None:
    labels = {index: f"LABEL_{index}" for index in range(100)}
    params = as_params({"optim": {"name": "sgd", "betas": (0.9, 0.99)}, "id2label": labels})
    assert params["optim.name"] == "sgd"
    assert params["optim.betas"] == "[0.9, 0.99]"
    assert params["id2label"].startswith('{"0": "LABEL_0"')


def test_tensors_of_many_numbers_and_objects_are_left_out() -> None:
    assert as_params({"w": torch.zeros(3), "o": object(), "lr": torch.tensor(0.5)}) == {"lr": "0.5"}


@given(st.dictionaries(st.text() | st.integers(), VALUES))
def test_whatever_a_file_holds_names_and_texts_can_be_stored(values: dict[Any, Any]) -> None:
    for name, text in as_params(values).items():
        assert 0 < len(name) <= 250
        assert len(text) <= 6000
        assert "\0" not in text
        text.encode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (3, 3), (3.0, 3), (torch.tensor(3), 3), (np.int64(3), 3), (0, 0),
        (True, None), (-1, None), (1.5, None), (math.nan, None), (math.inf, None),
        (2**63, None), (10**400, None), ("3", None), (torch.zeros(2), None), (None, None),
    ],
)  # fmt: skip
def test_an_epoch_is_a_whole_number_from_zero_on(value: object, expected: int | None) -> None:
    assert count(value) == expected


def test_a_number_is_one_of_whatever_library() -> None:
    assert [number(v) for v in (1, 0.5, np.float32(0.5), torch.tensor([2.0]))] == [1, 0.5, 0.5, 2]
    assert number(torch.zeros(0)) is None
