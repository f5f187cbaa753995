"""Places that hold values: variables, attributes, buffers, and what containers in them hold."""

from __future__ import annotations

from collections import deque
from collections.abc import MutableMapping
from typing import Any

import numpy as np
from torch import Tensor, nn

from tracker.rehearsal.fingerprint import PLAIN, fingerprint
from tracker.rehearsal.things import PutBack, Thing, label_of


def buffer_thing(module: nn.Module, key: str, name: str) -> Thing:
    """Return a buffer that is in no state_dict, by its place: it may be replaced."""
    return Thing(
        name,
        "buffer",
        "a buffer that is not persistent",
        lambda: fingerprint(module._buffers.get(key)),
        lambda: _keep_slot(module._buffers, key),
        module,
    )


def slot_thing(holder: MutableMapping[str, Any], key: str, name: str) -> Thing:
    """Return a plain value, tensor or container, by the place that holds it."""
    value = holder.get(key)
    label = label_of(value)
    return Thing(
        name,
        "variable",
        label,
        lambda: _read_content(holder.get(key)),
        lambda: _keep_slot(holder, key),
        value,
    )


def cell_thing(cell: Any, name: str) -> Thing:
    """Return the variable of a closure."""
    return slot_thing(_Cell(cell), "", name)


class _Cell(MutableMapping[str, Any]):
    """A variable of a closure as a dict with one place."""

    def __init__(self, cell: Any) -> None:
        self._cell = cell

    def __getitem__(self, key: str) -> Any:
        try:
            return self._cell.cell_contents
        except ValueError as error:
            raise KeyError(key) from error

    def __setitem__(self, key: str, value: Any) -> None:
        self._cell.cell_contents = value

    def __delitem__(self, key: str) -> None:
        del self._cell.cell_contents

    def __iter__(self) -> Any:
        return iter(("",))

    def __len__(self) -> int:
        return 1


_CONTENT = (Tensor, np.ndarray, np.generic, list, tuple, dict, set, frozenset, deque, *PLAIN)


def is_content(value: Any) -> bool:
    """Return whether a value is plain, a tensor, an array, or a container."""
    return isinstance(value, _CONTENT)


def _read_content(value: Any) -> str:
    return fingerprint(value) if is_content(value) else f"{type(value).__name__} {id(value)}"


def _keep_slot(holder: MutableMapping[str, Any], key: str) -> PutBack:
    there, value = key in holder, holder.get(key)
    fill = _keep_content(value)

    def put_back() -> None:
        if there:
            holder[key] = value
            fill()
        else:
            holder.pop(key, None)

    return put_back


_LARGEST_KEPT = 1 << 26
"""Bytes; larger tensors and arrays in variables are data sets, which no step changes."""


def _is_kept(array: np.ndarray[Any, Any]) -> bool:
    return array.flags.writeable and not array.dtype.hasobject and array.nbytes <= _LARGEST_KEPT


def _keep_content(value: Any) -> PutBack:
    """Return what puts the content of a container, tensor or array back, in place."""
    if isinstance(value, Tensor) and not value.is_meta and value.nbytes <= _LARGEST_KEPT:
        before = value.detach().clone()
        version = value._version
        return lambda: None if value._version == version else value.detach().copy_(before)
    if isinstance(value, np.ndarray) and _is_kept(value):
        array = value.copy()
        return lambda: np.copyto(value, array)
    if isinstance(value, (list, deque)):
        inner, items = [_keep_content(each) for each in value], list(value)

        def refill() -> None:
            value.clear()
            value.extend(items)
            for each in inner:
                each()

        return refill
    if isinstance(value, dict):
        inner, pairs = [_keep_content(each) for each in value.values()], dict(value)

        def refill_dict() -> None:
            value.clear()
            value.update(pairs)
            for each in inner:
                each()

        return refill_dict
    if isinstance(value, set):
        members = set(value)

        def refill_set() -> None:
            value.clear()
            value.update(members)

        return refill_set
    return lambda: None
