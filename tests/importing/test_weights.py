"""State_dicts as the model itself would have written them."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from tests.models import Net
from tracker.importing.weights import plain_weights, without_wrappers

KEYS = ["layers.0.weight", "head.bias"]


def test_prefixes_of_wrappers_are_taken_off_wherever_they_stand() -> None:
    assert without_wrappers([f"module.{key}" for key in KEYS]) == KEYS
    assert without_wrappers([f"_orig_mod.module.{key}" for key in KEYS]) == KEYS
    assert (
        without_wrappers(["_forward_module.layers._orig_mod.0.weight", "_forward_module.head.bias"])
        == KEYS
    )


def test_a_part_of_the_model_that_is_called_module_stays() -> None:
    keys = ["module.weight", "head.bias"]
    assert without_wrappers(keys) == keys


def test_keys_that_would_become_one_stay_two() -> None:
    keys = ["a._orig_mod.weight", "a.weight"]
    assert without_wrappers(keys) == keys


def test_an_averaged_model_gives_the_weights_of_the_one_inside() -> None:
    averaged = torch.optim.swa_utils.AveragedModel(Net())
    assert list(plain_weights(averaged.state_dict())) == list(Net().state_dict())


def test_names_of_one_memory_are_one_tensor_again() -> None:
    weight = torch.randn(3, 2)
    plain = plain_weights({"a": weight, "b": weight.view(3, 2), "c": weight.clone(), "d": weight.T})
    assert plain["a"] is plain["b"]
    assert plain["a"] is not plain["c"]
    assert plain["d"].shape == (2, 3)


@given(st.lists(st.text(min_size=1), unique=True))
def test_no_key_is_lost_whatever_they_are(keys: list[str]) -> None:
    assert len(set(without_wrappers(keys))) == len(keys)
