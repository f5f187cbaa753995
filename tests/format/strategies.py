"""Tensors of every dtype, shape and layout that the format knows, with any bits."""

from __future__ import annotations

from collections.abc import Callable
from math import prod

import torch
from hypothesis import strategies as st
from torch import Tensor

from tracker.format.dtypes import DTYPES


def _identity(tensor: Tensor) -> Tensor:
    return tensor


def _expanded(tensor: Tensor) -> Tensor:
    return tensor.unsqueeze(0).expand(3, *tensor.shape)


def _every_second(tensor: Tensor) -> Tensor:
    return tensor[..., ::2] if tensor.dim() else tensor


def _part_of_a_bigger_storage(tensor: Tensor) -> Tensor:
    return tensor[1:] if tensor.dim() else tensor


def _transposed(tensor: Tensor) -> Tensor:
    return tensor.permute(list(reversed(range(tensor.dim()))))


def _channels_last(tensor: Tensor) -> Tensor:
    if tensor.dim() != 4:
        return tensor
    return tensor.contiguous(memory_format=torch.channels_last)


def _conjugated(tensor: Tensor) -> Tensor:
    return tensor.conj()


def _negated(tensor: Tensor) -> Tensor:
    # The imaginary part of a conjugate is a view whose sign is turned lazily.
    return tensor.conj().imag if tensor.dtype in (torch.complex64, torch.complex128) else tensor


def _differentiable(tensor: Tensor) -> Tensor:
    floating = tensor.is_floating_point() or tensor.is_complex()
    return tensor.detach().requires_grad_() if floating else tensor


VIEWS: tuple[Callable[[Tensor], Tensor], ...] = (
    _identity,
    _expanded,
    _every_second,
    _part_of_a_bigger_storage,
    _transposed,
    _channels_last,
    _conjugated,
    _negated,
    _differentiable,
)


@st.composite
def tensors(draw: st.DrawFn) -> Tensor:
    dtype = DTYPES[draw(st.sampled_from(sorted(DTYPES)))]
    shape = draw(st.lists(st.integers(0, 4), max_size=4))
    size = prod(shape) * dtype.item_size
    data = bytearray(draw(st.binary(min_size=size, max_size=size)))
    if dtype.torch == torch.bool:
        data = bytearray(byte % 2 for byte in data)
    if not data:
        return torch.empty(shape, dtype=dtype.torch)
    tensor = torch.frombuffer(data, dtype=dtype.torch).reshape(shape)
    for view in draw(st.lists(st.sampled_from(VIEWS), max_size=2)):
        tensor = view(tensor)
    return tensor


names = st.text(min_size=1, max_size=12).filter(lambda name: name != "__metadata__")
tensor_tables = st.dictionaries(names, tensors(), max_size=5)
