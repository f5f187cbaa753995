"""One text for everything that a value holds: equal texts, equal values, bit for bit."""

from __future__ import annotations

import hashlib
from collections import deque
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.parameter import is_lazy

from tracker.format.digests import digest as blake3

_LARGEST = 1 << 32
"""Bytes of a tensor or array that are read; of larger ones only dtype and shape count."""

_MAX_ITEMS = 100_000
_MAX_DEPTH = 12

PLAIN = (type(None), bool, int, float, complex, str, bytes)
"""Values without parts."""


def fingerprint(value: Any) -> str:
    """Return the fingerprint of a value: of tensors and arrays their bytes, of objects their class.

    Args:
        value: Any nesting of dicts, lists, tuples, sets, tensors, arrays and plain values.

    Example:
        >>> fingerprint({"a": torch.zeros(2)}) == fingerprint({"a": torch.ones(2)})
        False
    """
    digest = hashlib.blake2b(digest_size=16)
    _add(digest, value, 0)
    return digest.hexdigest()


def _add(digest: Any, value: Any, depth: int) -> None:
    digest.update(f"<{type(value).__name__}>".encode())
    if isinstance(value, Tensor):
        _add_tensor(digest, value)
    elif isinstance(value, np.ndarray):
        digest.update(f"{value.dtype}{value.shape}".encode())
        if value.dtype.hasobject or value.nbytes > _LARGEST:
            return
        digest.update(blake3(np.ascontiguousarray(value).tobytes()).encode())
    elif isinstance(value, PLAIN):
        digest.update(repr(value).encode("utf-8", "surrogatepass"))
    elif depth >= _MAX_DEPTH:
        return
    elif isinstance(value, Mapping):
        for key, each in list(value.items())[:_MAX_ITEMS]:
            _add(digest, key, depth + 1)
            _add(digest, each, depth + 1)
    elif isinstance(value, (list, tuple, deque)):
        for each in list(value)[:_MAX_ITEMS]:
            _add(digest, each, depth + 1)
    elif isinstance(value, (set, frozenset)):
        digest.update("".join(sorted(map(fingerprint, value))).encode())
    elif isinstance(value, (torch.dtype, torch.device, np.generic, np.dtype)):
        digest.update(repr(value).encode())


def _add_tensor(digest: Any, tensor: Tensor) -> None:
    if is_lazy(tensor) or tensor.is_meta:
        return
    digest.update(f"{tensor.dtype}{tuple(tensor.shape)}".encode())
    if tensor.layout != torch.strided:
        tensor = tensor.to_dense()
    if tensor.is_quantized:
        tensor = tensor.int_repr()
    if tensor.numel() * tensor.element_size() > _LARGEST:
        return
    plain = tensor.detach().as_subclass(Tensor).to("cpu").contiguous()
    digest.update(blake3(plain.reshape(-1).view(torch.uint8).numpy().data).encode())


def shown(value: Any) -> str:
    """Return a value as it is written in a report: a number, else its class.

    Example:
        >>> shown(torch.tensor(0.25)), shown(None)
        ('0.25', 'None')
    """
    if isinstance(value, Tensor) and value.numel() == 1:
        value = value.item()
    if isinstance(value, (bool, int, float, type(None))):
        return repr(value)
    return f"a {type(value).__name__}"
