from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from tracker.errors import UnstorableError
from tracker.values import TensorTable
from tracker.values.tensors import check_storable


def test_a_tensor_is_kept_under_its_path() -> None:
    table, tensor = TensorTable(), torch.ones(2)
    assert table.add(tensor, "a.b") == "a.b"
    assert table.tensors["a.b"] is tensor


def test_the_same_tensor_has_one_name() -> None:
    table, tensor = TensorTable(), torch.ones(2)
    assert [table.add(tensor, "a"), table.add(tensor, "b")] == ["a", "a"]
    assert list(table.tensors) == ["a"]


def test_a_name_that_is_taken_is_made_unique() -> None:
    table = TensorTable()
    names = [table.add(torch.ones(1), path) for path in ("a", "a", "a#2", "a")]
    assert names == ["a", "a#2", "a#2#2", "a#3"]


class Dispatching(torch.Tensor):
    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        raise NotImplementedError


def dispatching() -> torch.Tensor:
    return torch.Tensor._make_wrapper_subclass(Dispatching, (2,))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("tensor", "message"),
    [
        (torch.ones(2).to_sparse(), "to_dense"),
        (torch.eye(2).to_sparse_csr(), "layout torch.sparse_csr"),
        (torch.ones(2, device="meta"), "meta device"),
        (torch.quantize_per_tensor(torch.ones(2), 0.1, 0, torch.qint8), "int_repr"),
        (nn.LazyLinear(2).weight, "forward pass"),
        (dispatching(), "tensor subclass"),
    ],
)
def test_tensors_without_plain_bytes_are_refused(tensor: torch.Tensor, message: str) -> None:
    with pytest.raises(UnstorableError, match=message) as refused:
        TensorTable().add(tensor, "a.b")
    assert refused.value.path == "a.b"


@pytest.mark.parametrize(
    "tensor",
    [
        torch.ones(2, requires_grad=True),
        nn.Parameter(torch.ones(2)),
        torch.ones(0),
        torch.tensor(1),
        torch.ones(2, 3).t(),
        torch.ones(1).expand(5),
        torch.ones(2).bfloat16(),
        torch.tensor([True]),
        torch.tensor([1j]),
    ],
)
def test_plain_tensors_pass(tensor: torch.Tensor) -> None:
    check_storable(tensor, "a")


def test_without_check_everything_is_taken() -> None:
    table = TensorTable(check=False)
    assert table.add(torch.ones(2, device="meta"), "a") == "a"
