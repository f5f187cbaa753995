"""Takes a model's output apart: tensors and plain values with the path to each."""

from __future__ import annotations

import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from tracker.errors import UnstorableError
from tracker.values import MAX_DEPTH
from tracker.values.tensors import check_storable

_PLAIN = (type(None), bool, int, float, complex, str)


@dataclass(frozen=True, slots=True)
class Output:
    """The parts of a model's output.

    Attributes:
        parts: Paths, and tensors (copies on the CPU) or plain values.
        ignored: Paths and classes of what is neither, and is not compared.
    """

    parts: tuple[tuple[str, Any], ...]
    ignored: tuple[tuple[str, str], ...]


def taken_apart(output: object) -> Output:
    """Return the parts of any nesting of tensors: tuples, lists, dicts, named tuples, dataclasses.

    The order is that of the nesting. A tensor that stands there twice is copied once.

    Example:
        >>> taken_apart({"loss": 0.5, "cache": object()})
        Output(parts=(('output.loss', 0.5),), ignored=(('output.cache', 'builtins:object'),))
    """
    parts: list[tuple[str, Any]] = []
    ignored: list[tuple[str, str]] = []
    copies: dict[int, Tensor] = {}
    for path, value in _leaves(output, "output", 0):
        if isinstance(value, Tensor) and _is_storable(value, path):
            if id(value) not in copies:
                copies[id(value)] = copied(value)
            parts.append((path, copies[id(value)]))
        elif type(value) in _PLAIN:
            parts.append((path, value))
        else:
            kind = type(value)
            ignored.append((path, f"{kind.__module__}:{kind.__qualname__}"))
    return Output(tuple(parts), tuple(ignored))


def copied(tensor: Tensor, device: str | torch.device = "cpu") -> Tensor:
    """Return a copy of its own, dense and in C order, on a device."""
    plain = tensor.detach().as_subclass(Tensor).resolve_conj().resolve_neg()
    return plain.to(device, copy=True, memory_format=torch.contiguous_format)


def _leaves(value: Any, path: str, depth: int) -> Iterator[tuple[str, Any]]:
    members = None if depth >= MAX_DEPTH else _members(value)
    if members is None:
        yield path, _from_numpy(value)
    else:
        for name, member in members:
            yield from _leaves(member, f"{path}.{name}", depth + 1)


def _members(value: Any) -> Iterable[tuple[object, Any]] | None:
    """Return the members of a container with their names; None for what is none."""
    if isinstance(value, Mapping):
        return list(value.items())
    names = getattr(value, "_fields", None)
    if isinstance(value, tuple) and isinstance(names, tuple):
        return list(zip(names, value, strict=True))
    if isinstance(value, (list, tuple, deque)):
        return list(enumerate(value))
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return [(field.name, getattr(value, field.name)) for field in dataclasses.fields(value)]
    return None


def _from_numpy(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    if not isinstance(value, np.ndarray) or value.dtype.kind not in "biufc":
        return value
    try:
        return torch.from_numpy(np.array(value, order="C"))
    except TypeError:
        return value  # of a dtype that torch lacks


def _is_storable(tensor: Tensor, path: str) -> bool:
    try:
        check_storable(tensor, path)
    except UnstorableError:
        return False
    return True
