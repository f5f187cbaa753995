"""A model that only learned is not described again; whatever else changed in it is noticed."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import nn

from tests import models
from tests.architecture.roundtrip import stored
from tracker.architecture.describe import describe
from tracker.architecture.structure import describe_tree


class Model(nn.Module):
    """Something of everything that a description depends on."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4))
        self.head = nn.Linear(4, 2)
        self.scale = 0.5
        self.names = ["a", "b"]
        self.config = SimpleNamespace(hidden=4, nested={"depth": [1, 2]})
        self.options = models.Config(width=4)
        self.act = torch.relu
        self.call = models.double
        self.mask = torch.ones(2)
        self.register_buffer("table", torch.zeros(3), persistent=False)


def is_recalled(model: nn.Module) -> bool:
    return describe(model).architecture is describe(model).architecture


def test_a_model_that_only_learned_is_described_once() -> None:
    model = Model()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    first = describe(model)
    model.head(model.layers(torch.randn(3, 4))).sum().backward()
    optimizer.step()
    second = describe(model)
    assert second.architecture is first.architecture
    assert second.state["head.weight"] is model.head.weight
    assert second.extra["mask"] is model.mask
    assert list(second.state) == list(first.state)


@pytest.mark.parametrize(
    "model", [nn.Linear(2, 1), nn.LSTM(2, 3), nn.Transformer(8, 2, 1, 1, 8), models.Tied()]
)
def test_ordinary_models_are_recalled(model: nn.Module) -> None:
    assert is_recalled(model)


def retie(model: Any) -> None:
    model.layers[0].weight = nn.Parameter(torch.ones(4, 4))
    model.layers.append(model.layers[0])


def reorder(model: Any) -> None:
    head = model.head
    del model.head
    model.add_module("tail", head)


CHANGES: dict[str, Callable[[Any], object]] = {
    "a replaced head": lambda m: setattr(m, "head", nn.Linear(4, 2)),
    "a head of another shape": lambda m: setattr(m, "head", nn.Linear(4, 3)),
    "a renamed child": reorder,
    "a shared layer": retie,
    "a frozen parameter": lambda m: m.head.weight.requires_grad_(False),
    "another dtype": lambda m: m.half(),
    "eval mode": lambda m: m.head.eval(),
    "a number": lambda m: setattr(m, "scale", 0.25),
    "a number of another type": lambda m: setattr(m, "scale", True),
    "an item of a list": lambda m: m.names.append("c"),
    "a value deep in a config": lambda m: m.config.nested["depth"].append(3),
    "an attribute of an object": lambda m: setattr(m.options, "width", 8),
    "an object that is equal but another": lambda m: setattr(m, "options", models.Config(width=8)),
    "a function": lambda m: setattr(m, "act", torch.tanh),
    "a function of one's own": lambda m: setattr(m, "call", models.double_input),
    "a new attribute": lambda m: setattr(m, "later", 1),
    "an attribute less": lambda m: delattr(m, "scale"),
    "a tensor attribute": lambda m: setattr(m, "mask", torch.ones(3)),
    "a buffer that persists": lambda m: m.register_buffer("table", torch.zeros(3)),
    "a new buffer": lambda m: m.register_buffer("more", torch.zeros(3)),
    "a buffer that is gone": lambda m: setattr(m, "table", None),
    "a hook": lambda m: m.register_forward_hook(models.double),
    "a view of a weight": lambda m: setattr(m, "mask", m.head.weight.data[0]),
    "strides": lambda m: setattr(m.head.weight, "data", torch.ones(4, 2).t()),
    "parametrized": lambda m: nn.utils.parametrizations.weight_norm(m.head),
    "another class": lambda m: setattr(m.layers, "__class__", nn.ModuleList),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_described(name: str) -> None:
    model = Model()
    describe(model)
    describe(model)
    CHANGES[name](model)
    after = describe(model)
    fresh = describe_tree(model)
    assert after.architecture.structure == stored(fresh.structure)
    assert after.state.keys() == fresh.state.keys()
    assert after.extra.keys() >= fresh.extra.keys()


def test_nothing_is_kept_alive() -> None:
    model = Model()
    describe(model)
    head, weight = weakref.ref(model.head), weakref.ref(model.head.weight)
    model.head = nn.Linear(4, 2)
    gc.collect()
    assert head() is None
    assert weight() is None
    whole = weakref.ref(model)
    del model
    gc.collect()
    assert whole() is None


class Equal(nn.Linear):
    """Says of every other that it is the same."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Equal)

    def __hash__(self) -> int:
        return 1


def test_models_that_call_themselves_equal_are_told_apart() -> None:
    one, other = Equal(2, 1), Equal(2, 1)
    assert describe(one).state["weight"] is one.weight
    assert describe(other).state["weight"] is other.weight
    assert describe(one).state["weight"] is one.weight
