"""Tensors as bytes and bytes as tensors, without copies where none is needed."""

from __future__ import annotations

import mmap

import torch
from torch import Tensor

from tracker.errors import FormatError, UnstorableError
from tracker.format.dtypes import StoredDtype
from tracker.format.header import ALIGNMENT


def bytes_of(tensor: Tensor, name: str) -> memoryview:
    """Return a tensor's values in C order, little endian.

    The view is of the tensor's own memory if that is contiguous and on the CPU, else of one copy.

    Args:
        tensor: Any storable tensor: strided, expanded, conjugated, on any device.
        name: Its name, for errors.

    Raises:
        UnstorableError: It has no values of its own to be read.
    """
    try:
        plain = tensor.detach().as_subclass(Tensor).resolve_conj().resolve_neg().cpu()
        # reshape would keep the odd stride that a dimension of length 1 may have.
        flat = plain.contiguous().as_strided((plain.numel(),), (1,))
        return flat.view(torch.uint8).numpy().data
    except (RuntimeError, TypeError) as error:
        raise UnstorableError(name, f"has no values that can be read: {error}") from error


def tensor_of(
    buffer: mmap.mmap, offset: int, dtype: StoredDtype, shape: tuple[int, ...], where: str
) -> Tensor:
    """Return the tensor whose bytes begin at ``offset``: a view of ``buffer`` if it is aligned.

    An unaligned one is copied, and only small ones are: on unaligned memory torch's kernels may
    add in another order, and a model would compute other last digits than the one that was logged.

    Args:
        buffer: Writable memory; the tensor keeps it alive.
        offset: Where its bytes begin.
        dtype: Its dtype.
        shape: Its shape, whose bytes are known to lie in the buffer.
        where: The file and tensor, for errors.

    Raises:
        FormatError: torch has no tensor of such a shape.
    """
    count = 1
    for length in shape:
        count *= length
    try:
        if count == 0:
            return torch.empty(shape, dtype=dtype.torch)
        flat = torch.frombuffer(buffer, dtype=dtype.torch, count=count, offset=offset)
        return (flat.clone() if offset % ALIGNMENT else flat).reshape(shape)
    except (RuntimeError, ValueError, TypeError, OverflowError) as error:
        raise FormatError(f"{where}: can't be a tensor of shape {shape}: {error}") from error
