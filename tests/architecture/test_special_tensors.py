"""Parameters and buffers that are sparse or of a subclass come back as what they are."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.architecture.test_proof import rebuilt
from tracker.architecture.describe import describe
from tracker.architecture.trust import parse_trust
from tracker.errors import UntrustedCheckpointError


class Graph(nn.Module):
    """Holds its graph as people who work with graphs do."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.layer = nn.Linear(size, size)
        self.register_buffer("adjacency", torch.eye(size).to_sparse())
        self.register_buffer("hops", torch.eye(size).to_sparse_csr(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        return torch.sparse.mm(self.adjacency, self.layer(x)) + self.hops @ x


class Scaled(Tensor):
    """A tensor that is kept as integers and a scale, made as torch wants such subclasses made."""

    @staticmethod
    def __new__(cls, integers: Tensor, scale: Tensor) -> Any:
        return Tensor._make_wrapper_subclass(cls, integers.shape, dtype=scale.dtype)

    def __init__(self, integers: Tensor, scale: Tensor) -> None:
        self.integers, self.scale = integers, scale

    def __tensor_flatten__(self) -> tuple[list[str], dict[str, Any]]:
        return ["integers", "scale"], {"kind": "scaled"}

    @classmethod
    def __tensor_unflatten__(cls, inner: Any, context: Any, size: Any, stride: Any) -> Any:
        assert context == {"kind": "scaled"}
        return cls(inner["integers"], inner["scale"])

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        def plain(value: Any) -> Any:
            return value.integers * value.scale if isinstance(value, Scaled) else value

        if func is torch.ops.aten.detach.default:
            return cls(args[0].integers, args[0].scale)
        return func(*map(plain, args), **(kwargs or {}))


def scaled_model() -> Any:
    model = nn.Linear(3, 2)
    parts = torch.randint(-9, 9, (2, 3)), torch.tensor(0.5)
    model.weight = nn.Parameter(Scaled(*parts), requires_grad=False)
    return model


@pytest.mark.filterwarnings("ignore:Sparse")
def test_a_model_with_sparse_buffers_computes_the_same_again() -> None:
    model = Graph()
    model.adjacency = torch.tensor([[0, 1.0, 0], [0, 0, 2.0], [1, 0, 0]]).to_sparse()
    description = describe(model)
    assert description.architecture.rebuild == "constructor"
    again: Any = rebuilt(description)
    x = torch.randn(3, 3)
    assert torch.equal(again(x), model(x))
    assert again.hops.layout == torch.sparse_csr


@pytest.mark.filterwarnings("ignore:Sparse")
def test_a_sparse_tensor_that_two_modules_share_is_shared_again() -> None:
    model = nn.Sequential(Graph(), Graph())
    model[1].adjacency = model[0].adjacency
    again: Any = rebuilt(describe(model))
    assert again[1].adjacency is again[0].adjacency


def test_a_subclass_that_says_what_it_consists_of_is_made_again() -> None:
    model = scaled_model()
    description = describe(model)
    assert description.architecture.rebuild == "structure", description.architecture.problems
    again: Any = rebuilt(description, trust=parse_trust("tests"))
    assert type(again.weight) is type(model.weight)
    assert torch.equal(again.weight.integers, model.weight.integers)
    x = torch.randn(1, 3)
    assert torch.equal(again(x), model(x))


def test_a_subclass_of_another_package_must_be_trusted() -> None:
    with pytest.raises(UntrustedCheckpointError, match="trust='tests'"):
        rebuilt(describe(scaled_model()))
