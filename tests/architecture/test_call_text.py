from __future__ import annotations

import copy
import functools
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from tests import models
from tracker.architecture.call_text import call_text


def test_a_call_shows_what_was_passed_and_params_include_the_defaults() -> None:
    text = call_text(models.Net(5, depth=2))
    assert text.call == "Net(hidden=5, depth=2)"
    assert text.params == {"hidden": "5", "depth": "2", "act": "relu", "bias": "True"}


def test_an_unobserved_model_is_its_class() -> None:
    text = call_text(copy.deepcopy(models.Net(5)))
    assert (text.call, text.params) == ("Net", {})


def test_more_keywords_are_named_by_themselves() -> None:
    text = call_text(models.Signature(1, d=4, z=7))
    assert text.call.endswith("d=4, z=7)")
    assert text.params["z"] == "7"
    assert text.params["e"] == "5"


def test_starred_arguments_are_shown_by_position() -> None:
    text = call_text(models.Signature(1, 2, 3, 8, 9, d=4))
    assert text.call == "Signature(1, 2, 3, 8, 9, d=4)"
    assert text.params["rest"] == "(8, 9)"


def test_strings_are_params_without_quotes() -> None:
    text = call_text(models.Anything(kind="small"))
    assert text.call == "Anything(kind='small')"
    assert text.params == {"kind": "small"}


TENSOR = torch.ones(2, 3)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (TENSOR, "tensor[2, 3]"),
        (np.zeros((2, 3)), "array[2, 3]"),
        (F.relu, "relu"),
        (torch.tanh, "tanh"),
        (nn.BatchNorm2d, "BatchNorm2d"),
        (functools.partial(nn.LayerNorm, eps=1e-6), "partial(LayerNorm, eps=1e-06)"),
        (models.Config(3), "Config(width=3, mode=<Mode.FAST: 'fast'>, parts=[1, 2])"),
        ([1, (2, "a")], "[1, (2, 'a')]"),
        ({"a": [1]}, "{'a': [1]}"),
        (models.double, "double"),
        ((n for n in ()), "generator(…)"),
        (torch.float16, "torch.float16"),
    ],
)
def test_arguments_are_shown_as_people_write_them(value: Any, shown: str) -> None:
    assert call_text(models.Anything(value=value)).call == f"Anything(value={shown})"


def test_modules_are_shown_as_their_own_calls() -> None:
    model = models.Wrapper(nn.Linear(2, 3))
    assert call_text(model).call == "Wrapper(inner=Linear(in_features=2, out_features=3))"


def test_an_argument_that_is_gone_is_an_ellipsis() -> None:
    model = models.Anything(value=torch.ones(1))
    assert call_text(model).call == "Anything(value=…)"


def test_long_arguments_are_cut_in_the_call_only() -> None:
    text = call_text(models.Anything(sizes=list(range(1000))))
    assert len(text.call) < 250
    assert text.call.endswith("…)")
    assert text.params["sizes"].endswith("999]")


def test_of_a_long_configuration_the_call_tells_what_was_chosen() -> None:
    class Long:
        _hidden = 0
        width = 3
        depth = 2

        def __init__(self, depth: int) -> None:
            self.names = {0: "zero"}
            self.width, self.depth, self._hidden = 3, depth, 7
            vars(self).update({f"option_{i}": i for i in range(30)})

    text = call_text(models.Anything(config=Long(depth=5)))
    start = (
        "Anything(config=test_of_a_long_configuration_the_call_tells_what_was_chosen.<locals>.Long("
    )
    assert text.call.startswith(f"{start}depth=5, option_0=0, option_1=1")
    assert "width=3, depth=5, _hidden=7" in text.params["config"]


def test_configurations_that_lead_back_to_themselves_are_cut() -> None:
    config = models.Config()
    config.itself = config  # type: ignore[attr-defined]
    assert "…" in call_text(models.Anything(config=config)).call
