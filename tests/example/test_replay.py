"""The recorded example, run by another model."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from tracker.errors import FormatError
from tracker.example.recording import Example, record
from tracker.example.replay import replay
from tracker.types import Comparison

from .models import Failing, Random, Restless, Unrepeatable


def replayed(model: nn.Module, example: Example, **changes: Any) -> Comparison | None:
    return replay(model, {**example.document, **changes}, example.tensors.__getitem__)


@pytest.fixture
def model() -> nn.Module:
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Dropout(0.5))


@pytest.fixture
def example(model: nn.Module) -> Example:
    return record(model, torch.randn(2, 3, generator=torch.Generator().manual_seed(1)))


def test_the_same_model_gives_the_same(model: nn.Module, example: Example) -> None:
    assert replayed(model, example) == Comparison("identical")


def test_another_activation_is_noticed(model: nn.Module, example: Example) -> None:
    model[1] = nn.GELU()
    found = replayed(model, example)
    assert found.verdict == "different"
    assert found.path.startswith("output[")
    assert found.difference > 0.01


def test_a_model_that_fails_is_different_and_says_how(example: Example) -> None:
    found = replayed(Failing(), example)
    assert found.verdict == "different"
    assert found.reason == "it fails: RuntimeError: the lights went out"


def test_the_model_is_left_as_it_was() -> None:
    model = Restless().eval()
    example = record(model, torch.ones(1, 3))
    assert replayed(model, example).verdict == "identical"
    assert model.calls == 0
    assert not model.training


def test_random_numbers_are_the_same_on_the_same_kind_of_device() -> None:
    example = record(Random(), torch.ones(100))
    assert replayed(Random(), example).verdict == "identical"
    assert str(replayed(Random(), example, device="cuda")) == (
        "same shapes: the model draws random numbers, and cpu draws others than cuda"
    )


def test_a_model_that_can_not_be_repeated_is_compared_in_its_shapes() -> None:
    example = record(Unrepeatable(), torch.ones(2))
    assert str(replayed(Unrepeatable(), example)) == (
        "same shapes: the model gave another output each time when it was logged"
    )
    assert replayed(nn.Linear(2, 5), example).verdict == "different"


def test_a_model_without_values_is_not_run(example: Example) -> None:
    assert replayed(nn.Linear(3, 4, device="meta"), example) is None


@pytest.mark.parametrize(
    "changes",
    [
        {"input": 7},
        {"input": {"$tuple": [{"$tensor": 7}]}},
        {"input": {"$unknown": 7}},
        {"output": None},
        {"output": [["output"]]},
        {"output": [[1, 2]]},
        {"output": [["output", {"$tensor": []}]]},
        {"deterministic": 1},
        {"random": None},
        {"device": None},
    ],
    ids=str,
)
def test_a_malformed_document_is_a_format_error(
    model: nn.Module, example: Example, changes: dict[str, Any]
) -> None:
    with pytest.raises(FormatError, match="example"):
        replayed(model, example, **changes)


@pytest.mark.parametrize("document", [[], 7, {}], ids=str)
def test_a_document_of_another_kind_is_a_format_error(model: nn.Module, document: Any) -> None:
    with pytest.raises(FormatError, match="example"):
        replay(model, document, {}.__getitem__)


def test_an_example_recorded_in_training_is_right_in_a_copy(model: nn.Module) -> None:
    example = record(model.train(), torch.ones(1, 3))
    assert replayed(copy.deepcopy(model).eval(), example).verdict == "identical"
