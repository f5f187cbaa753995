from __future__ import annotations

import functools
import random
import sys
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from tests import models
from tests.architecture.roundtrip import call_of, call_problems, constructed
from tracker.architecture.constructor import construct
from tracker.architecture.imports import Imports
from tracker.architecture.quiet import quietly
from tracker.architecture.rebuild import TensorPool
from tracker.errors import ArchitectureError, FormatError

TENSOR = torch.ones(2)  # an argument that goes on existing


def test_a_call_is_class_arguments_and_keywords() -> None:
    assert call_of(models.Net(5, depth=2)) == {
        "modules": [{"class": "tests.models:Net", "args": [5], "kwargs": [["depth", 2]]}],
        "objects": [],
    }


@pytest.mark.parametrize("device", ["meta", "cpu"])
@pytest.mark.parametrize(
    "make",
    [
        models.Net,
        models.Parametrized,
        lambda: models.Net(5, 3, act=torch.tanh, bias=False),
        lambda: models.Net(act=models.gelu),
        lambda: models.Signature(1, d=4),
        lambda: models.Signature(1, 2, 3, 4, 5, d=6, e=7, g=8, f=9),
        lambda: models.LateInit([1, 2]),
        lambda: models.Configured(models.Config(5, models.Mode.SLOW, [1])),
        lambda: models.Configured(models.Frozen(5)),
        lambda: models.Configured(models.namespace),
        lambda: models.Configured({"b": (1, {2}), "a": models.Size(1, 2)}),
        lambda: models.DataModule(7),
        lambda: models.PassingNew(5),
        lambda: models.Factory(functools.partial(nn.Linear, out_features=3), [1, 2]),
        lambda: models.Factory(nn.BatchNorm1d, (2, 3)),
        lambda: models.Anything(np.zeros(3), TENSOR, range(3)),
        lambda: models.Wrapper(models.Wrapper(nn.Linear(2, 3)), nn.ReLU()),
        lambda: nn.Sequential(nn.Linear(2, 2), nn.ReLU()),
        lambda: nn.LSTM(2, 3, bidirectional=True),
        lambda: nn.TransformerEncoderLayer(8, 2, 16, activation="gelu"),
    ],
)
def test_constructed_models_equal_the_first(make: Any, device: str) -> None:
    constructed(make(), device)


def test_arguments_are_those_of_the_call_though_mutated_since() -> None:
    sizes = [1, 2]
    model = models.Factory(nn.BatchNorm1d, sizes)
    sizes.append(3)
    assert len(constructed(model).layers) == 2


def test_a_module_given_twice_is_one_again() -> None:
    inner = nn.Linear(2, 2)
    model = constructed(models.Wrapper(inner, inner))
    assert model.inner is model.other


def test_order_of_keywords_is_kept() -> None:
    call = call_of(models.Signature(1, d=1, z=1, a=2))
    assert [name for name, _ in call["modules"][0]["kwargs"]] == ["d", "z", "a"]  # type: ignore


def test_large_arrays_are_arguments_as_long_as_they_exist() -> None:
    array = np.zeros(100_000, dtype=np.float32)
    model = models.Anything(array)
    constructed(model)
    del array
    assert "no longer exists" in call_problems(model)


def test_arguments_that_are_gone_changed_or_unnamed_are_problems() -> None:
    tensor = torch.ones(2)
    model = models.Anything(tensor)
    tensor.add_(1)
    assert "changed in place" in call_problems(model)
    assert "nothing could be kept" in call_problems(models.Anything(n for n in (1,)))
    function = lambda x: x  # noqa: E731
    assert "it is a lambda" in call_problems(models.Anything(function))
    assert "nothing could be kept" in call_problems(models.Anything(sys))


def test_unobserved_models_and_arguments_are_problems() -> None:
    import copy

    assert "not observed" in call_problems(copy.deepcopy(models.Net()))
    assert "not observed" in call_problems(models.OwnNew(3))
    assert "not observed" in call_problems(models.Wrapper(copy.deepcopy(nn.ReLU())))


def test_local_classes_are_problems() -> None:
    class Local(nn.Module):
        pass

    assert "inside the function" in call_problems(Local())


def test_a_constructor_that_raises_is_an_architecture_error() -> None:
    call = {"modules": [{"class": "tests.models:Net", "args": ["x"], "kwargs": []}], "objects": []}
    with pytest.raises(ArchitectureError, match="Constructing Net"):
        construct(call, Imports(), TensorPool().get, "cpu")


@pytest.mark.parametrize(
    "call",
    [
        None,
        [],
        {},
        {"modules": []},
        {"modules": [3]},
        {"modules": [{}]},
        {"modules": [{"class": "tests.models:Net"}]},
        {"modules": [{"class": "tests.models:Net", "args": 3, "kwargs": []}]},
        {"modules": [{"class": "tests.models:Net", "args": [], "kwargs": [[1]]}]},
        {"modules": [{"class": "tests.models:Wrapper", "args": [{"$module": 0}], "kwargs": []}]},
        {"modules": [{"class": "tests.models:Wrapper", "args": [{"$module": 7}], "kwargs": []}]},
        {"modules": [{"class": "tests.models:Net", "args": [{"$object": 0}], "kwargs": []}]},
        {"modules": [{"class": "tests.models:Net", "args": [{"$tensor": {}}], "kwargs": []}]},
    ],
)
def test_malformed_descriptions_are_format_errors(call: Any) -> None:
    with pytest.raises(FormatError):
        construct(call, Imports(), TensorPool().get, "cpu")


def test_constructors_are_kept_quiet_and_from_the_random_generators(capsys: Any) -> None:
    torch.manual_seed(1)
    states = torch.get_rng_state(), random.getstate(), np.random.get_state()[1].tolist()
    with quietly():
        print("hello")
        torch.rand(1), random.random(), np.random.rand()
        random.seed(5)
    assert capsys.readouterr().out == ""
    assert torch.equal(torch.get_rng_state(), states[0])
    assert random.getstate() == states[1]
    assert np.random.get_state()[1].tolist() == states[2]
