"""One place of a model that holds a tensor, as JSON: which tensor, in what memory, and as what.

A tensor is stored by its elements, in C order. What is beside them in memory is in the slot: the
strides, where they are not C order, and the tensor whose memory it shares, where it is a view.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from tracker.errors import CorruptCheckpointError, FormatError
from tracker.types import Json

Fetch: TypeAlias = Callable[[str, str], Tensor]
"""``fetch(group, name)`` returns a stored tensor."""


def describe_slot(tensor: Tensor, group: str, name: str) -> dict[str, Json]:
    """Return the JSON of a place that holds ``tensor``, which is stored as ``name`` of a group."""
    slot: dict[str, Json] = {
        "group": group,
        "name": name,
        "dtype": str(tensor.dtype).removeprefix("torch."),
        "shape": list(tensor.shape),
        "parameter": isinstance(tensor, nn.Parameter),
        "requires_grad": tensor.requires_grad and tensor.is_leaf,
    }
    strided = tensor.layout == torch.strided and not tensor.is_quantized
    if (
        strided
        and not tensor.is_contiguous()
        and is_dense(*_without_repeats(tensor.shape, tensor.stride()))
    ):
        slot["stride"] = list(tensor.stride())
    return slot


def _without_repeats(shape: Any, stride: Any) -> tuple[list[int], list[int]]:
    """Return shape and strides with one element for a dimension that ``expand`` repeats."""
    sizes = [1 if step == 0 else size for size, step in zip(shape, stride, strict=True)]
    return sizes, list(stride)


def is_dense(shape: Any, stride: Any) -> bool:
    """Return whether every byte between the first and last element is of exactly one element."""
    expected = 1
    for step, size in sorted(zip(stride, shape, strict=True)):
        if size == 1:
            continue
        if step != expected:
            return False
        expected *= size
    return True


def extent(tensor: Tensor) -> tuple[int, int]:
    """Return the first and the last byte (exclusive) that a tensor uses of its storage."""
    if not tensor.numel():
        return 0, 0
    start = int(tensor.storage_offset())
    last = _last_element(tensor.shape, tensor.stride())
    return start * tensor.element_size(), (start + last + 1) * tensor.element_size()


def _last_element(shape: Any, stride: Any) -> int:
    return sum(int(size - 1) * int(step) for size, step in zip(shape, stride, strict=True))


class Views:
    """Finds tensors that are views of others which were added before."""

    def __init__(self) -> None:
        self._bases: dict[int, list[tuple[Tensor, dict[str, Json]]]] = {}

    def add(self, tensor: Tensor, slot: dict[str, Json]) -> None:
        """Add a tensor that others may be views of, if its memory will be the same once loaded."""
        if tensor.layout == torch.strided and is_dense(tensor.shape, tensor.stride()):
            bases = self._bases.setdefault(tensor.untyped_storage().data_ptr(), [])
            bases.append((tensor, slot))

    def find(self, tensor: Tensor) -> Json:
        """Return of which slot, and how, ``tensor`` is a view; None if it is not."""
        if tensor.layout != torch.strided or not tensor.numel():
            return None
        bases = self._bases.get(tensor.untyped_storage().data_ptr(), ())
        if not bases or bases[0][0] is tensor:
            return None
        start, end = extent(tensor)
        for base, slot in bases:
            if base is tensor:
                return None
            first, last = extent(base)
            inside = first <= start and end <= last and tensor.numel() <= base.numel()
            if inside and base.dtype == tensor.dtype:
                offset = (start - first) // tensor.element_size()
                return {"of": slot, "offset": offset, "stride": list(tensor.stride())}
        return None


class TensorPool:
    """Tensors by slot: a tensor named in two places is one object in both.

    Args:
        fetch: Returns a stored tensor; None makes tensors on the meta device, for a proof.
    """

    def __init__(self, fetch: Fetch | None = None) -> None:
        self._fetch = fetch
        self._made: dict[tuple[str, str], Tensor] = {}

    def get(self, slot: Json, path: str) -> Tensor:
        """Return the tensor or parameter that belongs into ``slot``."""
        if not isinstance(slot, dict) or not {"group", "name", "dtype", "shape"} <= set(slot):
            raise FormatError(f"{path}: holds no tensor that could be loaded.")
        key = (str(slot["group"]), str(slot["name"]))
        if key not in self._made:
            view = slot.get("view")
            tensor = self._stored(slot, key, path) if view is None else self._view(slot, view, path)
            self._made[key] = _as_held(tensor, slot)
        return self._made[key]

    def special(self, slot: dict[str, Any], make: Callable[[], Tensor]) -> Tensor:
        """Return the tensor of a slot that is made of parts (see `special_tensors`)."""
        key = ("special", str(slot["name"]))
        if key not in self._made:
            self._made[key] = make()
        return self._made[key]

    def _stored(self, slot: dict[str, Any], key: tuple[str, str], path: str) -> Tensor:
        dtype = _dtype(slot, path)
        if self._fetch is None:
            tensor = torch.empty(slot["shape"], dtype=dtype, device="meta")
        else:
            tensor = self._fetch(*key)
        if tensor.dtype != dtype or list(tensor.shape) != slot["shape"]:
            raise CorruptCheckpointError(
                f"{path}: the architecture expects {slot['dtype']} {slot['shape']}, but tensor "
                f"{key[1]!r} is {str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}."
            )
        if slot.get("memory_format") == "channels_last":  # of format 1.0; later it is a stride
            return tensor.contiguous(memory_format=torch.channels_last)
        return tensor if "stride" not in slot else _with_stride(tensor, slot["stride"], path)

    def _view(self, slot: dict[str, Any], view: Any, path: str) -> Tensor:
        """Return a view of another slot's tensor, kept inside of that tensor's own elements."""
        if not isinstance(view, dict) or not isinstance(view.get("of"), dict):
            raise FormatError(f"{path}: a view must say of which tensor it is.")
        if "view" in view["of"]:
            raise FormatError(f"{path}: is a view of a view.")
        base = self.get(view["of"], path).detach()
        offset, stride, shape = view["offset"], view["stride"], slot["shape"]
        numbers = [offset, *stride, *shape]
        if not all(type(number) is int and number >= 0 for number in numbers):
            raise FormatError(f"{path}: a view's offset, shape and strides must not be negative.")
        elements = math.prod(shape)  # not torch.Size.numel(), which counts modulo 2^64
        if (
            len(stride) != len(shape)
            or base.dtype != _dtype(slot, path)
            or not 0 < elements <= base.numel()
            or offset + _last_element(shape, stride) >= base.numel()
        ):
            raise FormatError(f"{path}: is no view of {view['of'].get('name')!r}.")
        return base.as_strided(shape, stride, base.storage_offset() + offset)


def _dtype(slot: dict[str, Any], path: str) -> torch.dtype:
    # Not getattr: torch imports some of its submodules when they are first asked for.
    dtype = vars(torch).get(str(slot["dtype"]))
    if not isinstance(dtype, torch.dtype):
        raise FormatError(f"{path}: torch has no dtype {slot['dtype']!r}.")
    return dtype


def _with_stride(tensor: Tensor, stride: Any, path: str) -> Tensor:
    if not isinstance(stride, list) or not all(type(step) is int and step >= 0 for step in stride):
        raise FormatError(f"{path}: strides are whole numbers, 0 or more.")
    if len(stride) != tensor.dim():
        raise FormatError(f"{path}: {len(stride)} strides for {tensor.dim()} dimensions.")
    shape = _without_repeats(tensor.shape, stride)[0]
    if not is_dense(shape, stride):
        raise FormatError(f"{path}: strides {stride} do not fit the shape {list(tensor.shape)}.")
    once = tensor[tuple(slice(size) for size in shape)]
    steps = [max(step, 1) for step in stride]
    made = torch.empty_strided(shape, steps, dtype=tensor.dtype, device=tensor.device)
    return made.copy_(once).expand(tensor.shape)


def _as_held(tensor: Tensor, slot: dict[str, Any]) -> Tensor:
    if slot.get("parameter"):
        return nn.Parameter(tensor, requires_grad=bool(slot["requires_grad"]))
    return tensor.requires_grad_() if slot.get("requires_grad") else tensor
