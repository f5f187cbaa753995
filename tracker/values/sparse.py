"""Sparse tensors as their indices and values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tracker.errors import UnstorableError
from tracker.types import Json

_BY_ROW = (torch.sparse_csr, torch.sparse_bsr)
_LAYOUTS = {
    str(layout).removeprefix("torch."): layout
    for layout in (torch.sparse_coo, *_BY_ROW, torch.sparse_csc, torch.sparse_bsc)
}


def write_sparse(tensor: Tensor, path: str, store: Callable[[Tensor, str], Json]) -> Json:
    """Return a sparse tensor as JSON; its indices and values go to ``store``.

    Raises:
        UnstorableError: It is of a layout that torch can't make again from these parts.
    """
    name = str(tensor.layout).removeprefix("torch.")
    if name not in _LAYOUTS:
        raise UnstorableError(
            path,
            f"is a tensor of layout {tensor.layout}; a checkpoint holds dense and sparse ones. "
            "Keep it as dense: tensor.to_dense().",
        )
    tensor = tensor.detach()
    parts: tuple[Tensor, ...]
    if tensor.layout == torch.sparse_coo:
        parts = (tensor._indices(), tensor._values())
    elif tensor.layout in _BY_ROW:
        parts = (tensor.crow_indices(), tensor.col_indices(), tensor.values())
    else:
        parts = (tensor.ccol_indices(), tensor.row_indices(), tensor.values())
    coalesced = tensor.is_coalesced() if tensor.layout == torch.sparse_coo else True
    stored = [store(part, f"{path}.{index}") for index, part in enumerate(parts)]
    return [name, list(tensor.shape), stored, coalesced]


def read_sparse(payload: Any, path: str, fetch: Callable[[Json, str], Tensor]) -> Tensor:
    """Return the tensor that `write_sparse` wrote; indices beyond its shape are refused."""
    name, shape, stored, coalesced = payload
    layout = _LAYOUTS[name]
    *indices, values = (fetch(part, path) for part in stored)
    check = not values.is_meta
    if layout == torch.sparse_coo:
        return torch.sparse_coo_tensor(
            indices[0], values, shape, is_coalesced=coalesced, check_invariants=check
        )
    return torch.sparse_compressed_tensor(
        indices[0], indices[1], values, shape, layout=layout, check_invariants=check
    )
