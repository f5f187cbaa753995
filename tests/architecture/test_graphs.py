"""Graph modules of torch.fx come back from their nodes; a graph can do what tracing gives only."""

from __future__ import annotations

import operator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from tests.architecture.roundtrip import problems, rebuilt, stored
from tracker.architecture.imports import Imports
from tracker.architecture.rebuild import build
from tracker.architecture.slots import TensorPool
from tracker.architecture.structure import describe_tree
from tracker.errors import FormatError, TrackerError, UntrustedCheckpointError


class Traced(nn.Module):
    """Something of everything that tracing records."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
        self.register_buffer("shift", torch.ones(4))
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor, factor: float = 2.0) -> Any:
        for layer in self.layers:
            x = F.gelu(layer(x)) + self.shift * self.scale
        y = x.view(x.shape[0], -1)[:, 1:3]
        z = torch.cat([y, y.flatten(1)], dim=1).softmax(-1).to(torch.float64)
        return {"z": z * factor, "pair": (y, -z)}


def test_a_traced_model_computes_the_same_again(monkeypatch: pytest.MonkeyPatch) -> None:
    annotations = {"x": Tensor, "factor": float}
    monkeypatch.setattr(Traced.forward, "__annotations__", annotations)
    model = fx.symbolic_trace(Traced())
    back = rebuilt(model)
    x = torch.randn(3, 4)
    expected, found = model(x), back(x)
    assert torch.equal(found["z"], expected["z"])
    assert torch.equal(found["pair"][1], expected["pair"][1])
    assert type(back).__name__ == "Traced"
    assert [node.type for node in back.graph.nodes][:2] == [Tensor, float]
    assert back.code == model.code


def test_a_changed_graph_is_rebuilt_as_it_was_changed() -> None:
    model = fx.symbolic_trace(nn.Sequential(nn.Linear(2, 2), nn.ReLU()))
    for node in model.graph.nodes:
        if node.target == "1":
            with model.graph.inserting_after(node):
                node.replace_all_uses_with(model.graph.call_function(torch.tanh, node.args))
            model.graph.erase_node(node)
            break
    model.recompile()
    x = torch.randn(1, 2)
    assert torch.equal(rebuilt(model)(x), model(x))


def test_a_graph_module_can_be_part_of_a_model() -> None:
    model = nn.Sequential(fx.symbolic_trace(nn.Linear(2, 2)), nn.Tanh())
    x = torch.randn(1, 2)
    assert torch.equal(rebuilt(model)(x), model(x))


def test_an_exported_program_is_named_as_what_it_is() -> None:
    model = torch.export.export(nn.Linear(2, 2), (torch.ones(1, 2),)).module()
    assert "torch.export" in " ".join(problems(model).values())


def with_node(*node: Any) -> Any:
    structure = stored(describe_tree(fx.symbolic_trace(nn.ReLU())).structure)
    structure["modules"][0]["class"]["$graph"]["nodes"].insert(1, [*node, None])
    return structure


NO_ARGUMENTS: Any = {"$tuple": []}
ON_X: Any = {"$tuple": [{"$node": "input_1"}]}


@pytest.mark.parametrize(
    ("node", "error"),
    [
        (("call_function", "a", "os:system", {"$tuple": ["true"]}, {}), UntrustedCheckpointError),
        (("call_function", "a", "builtins:eval", {"$tuple": ["1"]}, {}), UntrustedCheckpointError),
        (("call_function", "a", "torch:load", {"$tuple": ["f"]}, {}), UntrustedCheckpointError),
        (("call_function", "a", "operator:methodcaller", ON_X, {}), UntrustedCheckpointError),
        (
            ("call_function", "a", "builtins:getattr", {"$tuple": [1, "__class__"]}, {}),
            UntrustedCheckpointError,
        ),
        (("call_function", "a", "builtins:getattr", NO_ARGUMENTS, {}), UntrustedCheckpointError),
        (("call_method", "a", "__reduce__", ON_X, {}), UntrustedCheckpointError),
        (("call_method", "a", "register_hook", ON_X, {}), UntrustedCheckpointError),
        (("call_module", "a", "x'); import os #", ON_X, {}), FormatError),
        (("call_module", "a", "__class__.__init__", ON_X, {}), FormatError),
        (("get_attr", "a", 'a"b', NO_ARGUMENTS, {}), FormatError),
        (("placeholder", "a", "x=print(1)", NO_ARGUMENTS, {}), FormatError),
        (("call_method", "a b", "relu", ON_X, {}), FormatError),
        (("call_method", "a", "relu", {"$tuple": [{"$node": "later"}]}, {}), FormatError),
        (("call_method", "a", "relu", [], {}), FormatError),
        (("call_method", "a", "relu", ON_X, {"a=1,b": 2}), FormatError),
        (("call_method", "a", "relu", {"$tuple": [{"$path": ["Path", "x"]}]}, {}), FormatError),
        (("call_method", "a", "relu", {"$tuple": [{"$tensor": 1}]}, {}), FormatError),
        (("exec", "a", "x", NO_ARGUMENTS, {}), FormatError),
        (("call_method", "a"), TrackerError),
    ],
)
def test_a_graph_that_tracing_would_not_give_is_refused(node: Any, error: Any) -> None:
    with pytest.raises(error):
        build(with_node(*node), Imports(), TensorPool())


@pytest.mark.parametrize("name", ["a b", "x\ny", 7, None])
def test_the_class_of_a_graph_module_has_a_plain_name(name: Any) -> None:
    structure = stored(describe_tree(fx.symbolic_trace(nn.ReLU())).structure)
    structure["modules"][0]["class"]["$graph"]["name"] = name
    with pytest.raises(FormatError):
        build(structure, Imports(), TensorPool())


def test_arithmetic_between_values_is_allowed() -> None:
    class Plain(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return operator.mul(x, 2) - x // 3 % 2 + (x > 1) * (x**2)

    x = torch.arange(4.0)
    model = fx.symbolic_trace(Plain())
    assert torch.equal(rebuilt(model)(x), model(x))
