"""Classes that torch makes at run time: parametrized modules."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from tests.architecture.roundtrip import rebuilt, stored
from tracker.architecture.generated import named_class
from tracker.architecture.imports import Imports
from tracker.architecture.rebuild import build
from tracker.architecture.slots import TensorPool
from tracker.architecture.structure import describe_tree
from tracker.errors import FormatError


class Symmetric(nn.Module):
    """A parametrization of the user's own, without a right inverse."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.triu() + x.triu(1).transpose(-1, -2)


def symmetric(layer: nn.Module) -> nn.Module:
    return parametrize.register_parametrization(layer, "weight", Symmetric())


def both(layer: nn.Module) -> nn.Module:
    parametrizations.orthogonal(layer, "weight")
    return parametrize.register_parametrization(layer, "bias", nn.Softplus(), unsafe=True)


WAYS = [
    parametrizations.weight_norm,
    parametrizations.spectral_norm,
    parametrizations.orthogonal,
    symmetric,
    both,
]


@pytest.mark.parametrize("wrap", WAYS)
def test_a_parametrized_layer_computes_the_same_again(wrap: Any) -> None:
    model = wrap(nn.Linear(3, 3)).eval()
    back = rebuilt(model).eval()
    x = torch.randn(2, 3)
    assert parametrize.is_parametrized(back)
    assert torch.equal(back(x), model(x))
    assert type(back).__qualname__ == type(model).__qualname__


def test_a_parametrization_can_be_removed_again() -> None:
    back = rebuilt(nn.Sequential(parametrizations.weight_norm(nn.Linear(3, 2))))[0]
    weight = back.weight.detach().clone()
    parametrize.remove_parametrizations(back, "weight")
    assert type(back) is nn.Linear
    assert torch.equal(back.weight, weight)


def test_a_parametrized_module_is_known_by_the_class_that_was_parametrized() -> None:
    assert named_class(parametrizations.weight_norm(nn.Linear(1, 1))) is nn.Linear


@pytest.mark.parametrize("name", ["forward", "not a name", "__class__", 7])
def test_nothing_but_a_tensor_can_be_parametrized(name: Any) -> None:
    model = parametrizations.weight_norm(nn.Linear(3, 2))
    structure = stored(describe_tree(model).structure)
    structure["modules"][1]["children"][0][0] = name
    with pytest.raises(FormatError, match="can't be the name of a parametrized tensor"):
        build(structure, Imports(), TensorPool())


def test_a_parametrized_module_needs_its_parametrizations() -> None:
    structure = stored(describe_tree(nn.Linear(1, 1)).structure)
    structure["modules"][0]["class"] = {"$parametrized": "torch.nn.modules.linear:Linear"}
    with pytest.raises(FormatError, match="must have parametrizations"):
        build(structure, Imports(), TensorPool())


def test_weight_norm_still_takes_old_checkpoints() -> None:
    back = rebuilt(parametrizations.weight_norm(nn.Linear(3, 2)))
    old = torch.nn.utils.weight_norm(nn.Linear(3, 2))
    back.load_state_dict(old.state_dict())
    x = torch.randn(1, 3)
    assert torch.equal(back(x), old(x))
