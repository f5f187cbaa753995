"""Quantised tensors as their integers, scales and zero points.

Torch means to remove them in favour of tensor subclasses, but models that were quantised with
``torch.ao.quantization`` hold them in their state_dict.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from tracker.errors import UnstorableError
from tracker.types import Json

_PER_TENSOR = (torch.per_tensor_affine, torch.per_tensor_symmetric)
_DTYPES = {"qint8": torch.qint8, "quint8": torch.quint8, "qint32": torch.qint32}


def write_quantized(tensor: Tensor, path: str, store: Callable[[Tensor, str], Json]) -> Json:
    """Return a quantised tensor as JSON; its integers (and scales by channel) go to ``store``.

    Raises:
        UnstorableError: It is of a scheme that torch can't make again from these parts.
    """
    kind = str(tensor.dtype).removeprefix("torch.")
    if kind not in _DTYPES or tensor.qscheme() not in (*_PER_TENSOR, torch.per_channel_affine):
        raise UnstorableError(
            path,
            f"is a quantised tensor of {tensor.dtype} by {tensor.qscheme()}; only 8 and 32 bit "
            "integers by tensor or by channel can be stored.",
        )
    integers = store(tensor.int_repr(), path)
    if tensor.qscheme() in _PER_TENSOR:
        return [kind, integers, tensor.q_scale(), tensor.q_zero_point()]
    return [
        kind,
        integers,
        store(tensor.q_per_channel_scales(), f"{path}.scales"),
        store(tensor.q_per_channel_zero_points(), f"{path}.zero_points"),
        tensor.q_per_channel_axis(),
    ]


def read_quantized(payload: Any, path: str, fetch: Callable[[Json, str], Tensor]) -> Tensor:
    """Return the tensor that `write_quantized` wrote."""
    kind, integers, scale, zero_point, *axis = payload
    whole = fetch(integers, path)
    made: Tensor
    if not axis:
        made = torch._make_per_tensor_quantized_tensor(whole, scale, zero_point)
    else:
        scales, zero_points = fetch(scale, path), fetch(zero_point, path)
        # Torch compares them only when the tensor is used, and not in every place.
        if not list(scales.shape) == list(zero_points.shape) == [whole.shape[axis[0]]]:
            raise ValueError("a channel has one scale and one zero point")
        made = torch._make_per_channel_quantized_tensor(whole, scales, zero_points, axis[0])
    if made.dtype is not _DTYPES[kind]:
        raise ValueError(f"integers of {whole.dtype} make no {kind}")
    return made
