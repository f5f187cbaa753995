"""Sparse tensors are stored as indices and values."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from tracker.errors import FormatError, UnstorableError
from tracker.values import TensorTable, decode, encode

pytestmark = pytest.mark.filterwarnings("ignore")

MATRIX = torch.tensor([[0.0, 2.0, 0.0, 1.0], [3.0, 0.0, 0.0, 0.0]])
TWICE = torch.sparse_coo_tensor([[0, 0], [1, 1]], [1.0, 2.0], (2, 2))


@pytest.mark.parametrize(
    "tensor",
    [
        MATRIX.to_sparse(),
        MATRIX.to_sparse(1),
        MATRIX.to_sparse_csr(),
        MATRIX.to_sparse_csc(),
        MATRIX.to_sparse_bsr((1, 2)),
        MATRIX.to_sparse_bsc((2, 2)),
        torch.sparse_coo_tensor(torch.zeros(2, 0), torch.zeros(0), (5, 5)),
        TWICE,
    ],
    ids=["coo", "hybrid", "csr", "csc", "bsr", "bsc", "empty", "not coalesced"],
)
def test_a_sparse_tensor_comes_back(tensor: Tensor) -> None:
    table = TensorTable()
    data = encode({"x": tensor}, "x", tensor=table.add)
    again = decode(data, "x", tensor=lambda name, path: table.tensors[name])["x"]
    assert again.layout == tensor.layout
    assert again.dtype == tensor.dtype
    assert torch.equal(again.to_dense(), tensor.to_dense())
    if tensor.layout == torch.sparse_coo:
        assert again.is_coalesced() == tensor.is_coalesced()


def test_other_layouts_are_refused() -> None:
    with pytest.raises(UnstorableError, match="mkldnn"):
        encode(torch.ones(2, 2).to_mkldnn(), "x", tensor=TensorTable().add)


@pytest.mark.parametrize(
    "payload",
    [
        [],
        ["sparse_coo", [2, 2], ["indices"], True],
        ["strided", [2, 2], ["indices", "values"], True],
        ["sparse_coo", [1, 1], ["indices", "values"], True],
        ["sparse_coo", [-1, 2], ["indices", "values"], True],
        ["sparse_csr", [2, 2], ["indices", "indices", "values"], True],
    ],
)
def test_what_is_no_sparse_tensor_is_malformed(payload: Any) -> None:
    parts = {"indices": torch.tensor([[0, 1], [1, 5]]), "values": torch.ones(2)}
    with pytest.raises(FormatError):
        decode({"$sparse": payload}, "x", tensor=lambda name, path: parts[str(name)])
