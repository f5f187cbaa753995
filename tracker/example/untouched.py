"""Leaves a model as it was, whatever a forward pass writes into it.

Covered is what forward passes write to: attributes, buffers, tensors and arrays in attributes, and
lists, dicts, sets and deques of these, however nested. Parameters are too large to be copied: a
forward pass that writes into one is noticed. Other objects are left alone, since threads and
loggers may be at work in them.
"""

from __future__ import annotations

import contextlib
import operator
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Collection, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tracker.errors import InvalidArgumentError

_MAPPINGS = (dict, OrderedDict, defaultdict, Counter)
_SEQUENCES = (list, deque)


@contextlib.contextmanager
def untouched(model: nn.Module) -> Iterator[None]:
    """Put back what the block changes in a model.

    Raises:
        InvalidArgumentError: The block wrote into a parameter, which can't be put back.
    """
    versions = [(name, value, _version(value)) for name, value in model.named_parameters()]
    undo = _ways_back(model)
    try:
        yield
    finally:
        for put_back in undo:
            put_back()
    for name, value, version in versions:
        if _version(value) != version:
            raise InvalidArgumentError(
                f"The model's forward wrote into its parameter {name!r} in eval mode, which can't "
                "be undone; log it without example_input."
            )


def _ways_back(model: nn.Module) -> list[Callable[[], None]]:
    """Return what puts everything back that is reachable from a model, outermost first."""
    undo: list[Callable[[], None]] = []
    seen: set[int] = set()
    pending: list[Any] = [model]
    while pending:
        value = pending.pop()
        if isinstance(value, nn.Module):
            value = vars(value)
        if id(value) in seen:
            continue
        seen.add(id(value))
        if type(value) in _MAPPINGS:
            undo.append(_mapping_back(value))
            pending.extend(value.values())
        elif type(value) in _SEQUENCES:
            undo.append(_sequence_back(value))
            pending.extend(value)
        elif type(value) is tuple:
            pending.extend(value)
        elif type(value) is set:
            undo.append(_set_back(value))
        elif isinstance(value, Tensor):
            undo.extend(_tensor_back(value))
        elif isinstance(value, np.ndarray):
            undo.append(_array_back(value))
    return undo


def _mapping_back(mapping: dict[Any, Any]) -> Callable[[], None]:
    before = dict(mapping)

    def put_back() -> None:
        if not (_same(before, mapping) and _same(before.values(), mapping.values())):
            mapping.clear()
            mapping.update(before)

    return put_back


def _sequence_back(sequence: Any) -> Callable[[], None]:
    before = list(sequence)

    def put_back() -> None:
        if not _same(before, sequence):
            sequence.clear()
            sequence.extend(before)

    return put_back


def _set_back(members: set[Any]) -> Callable[[], None]:
    before = set(members)

    def put_back() -> None:
        if members != before:
            members.clear()
            members.update(before)

    return put_back


def _same(before: Collection[Any], now: Collection[Any]) -> bool:
    return len(before) == len(now) and all(map(operator.is_, before, now))


def _tensor_back(tensor: Tensor) -> Iterator[Callable[[], None]]:
    if isinstance(tensor, nn.Parameter) or tensor.layout != torch.strided or tensor.is_meta:
        return
    before, version = tensor.detach().clone(), _version(tensor)

    def put_back() -> None:
        with torch.no_grad():
            if tensor.shape != before.shape or tensor.dtype != before.dtype:
                tensor.data = before
            # What is written through .data leaves the version as it was.
            elif _version(tensor) != version or not torch.equal(tensor, before):
                tensor.copy_(before)

    yield put_back


def _array_back(array: np.ndarray[Any, Any]) -> Callable[[], None]:
    before = array.copy()

    def put_back() -> None:
        if array.flags.writeable:
            array[...] = before

    return put_back


def _version(tensor: Tensor) -> int:
    # Tensors made in inference mode keep no count.
    return 0 if tensor.is_inference() else tensor._version
