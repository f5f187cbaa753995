"""Parameters and buffers that are more than plain memory: quantised, sparse, or of a subclass.

They are described as what they consist of. A subclass must say that itself, as those of torchao do,
with ``__tensor_flatten__`` and ``__tensor_unflatten__``.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from tracker.architecture.description import modules_of
from tracker.architecture.reader import Reader
from tracker.architecture.references import NotReferableError, reference
from tracker.architecture.slots import describe_slot
from tracker.architecture.writer import Writer
from tracker.errors import FormatError, UnstorableError
from tracker.types import Json
from tracker.values import decode


def is_special(value: object) -> bool:
    """Return whether a tensor has no plain bytes of its own, but parts that have."""
    return isinstance(value, Tensor) and (
        value.is_quantized or value.layout != torch.strided or _is_subclass(value)
    )


def _is_subclass(tensor: Tensor) -> bool:
    # Those of torch.distributed hold a part of a tensor that is spread over processes.
    return hasattr(type(tensor), "__tensor_flatten__") and not type(tensor).__module__.startswith(
        "torch.distributed"
    )


def special_slot(tensor: Tensor, name: str, value: Json) -> dict[str, Json]:
    """Return the slot of a special tensor whose parts are ``value``; see `slots`."""
    return {**describe_slot(tensor, "special", name), "value": value}


def write_special(tensor: Tensor, path: str, writer: Writer) -> Json:
    """Return what a special tensor consists of.

    Raises:
        UnstorableError: It consists of something that can't be stored.
    """
    if not _is_subclass(tensor):
        return writer.write(tensor, path)
    names, context = tensor.__tensor_flatten__()  # type: ignore[attr-defined]
    try:
        cls = reference(type(tensor))
    except NotReferableError as error:
        raise UnstorableError(path, f"its class can't be found by name: {error}.") from error
    parts = {name: _part(getattr(tensor, name), f"{path}.{name}", writer) for name in names}
    return {
        "$subclass": [
            cls,
            [[name, part] for name, part in parts.items()],
            writer.write(context, f"{path} (its context)"),
            list(tensor.shape),
            list(tensor.stride()),
        ]
    }


def _part(tensor: Tensor, path: str, writer: Writer) -> Json:
    return write_special(tensor, path, writer) if is_special(tensor) else writer.write(tensor, path)


def read_special(slot: dict[str, Any], reader: Reader, path: str) -> Tensor:
    """Return the tensor of a slot that `special_slot` made.

    Raises:
        UntrustedCheckpointError: Its class is of a package that is not trusted.
    """
    made = read_parts(slot["value"], reader, path)
    if not isinstance(made, Tensor):
        raise FormatError(f"{path}: holds a {type(made).__name__}, not a tensor.")
    if slot.get("parameter"):
        return nn.Parameter(made, requires_grad=bool(slot["requires_grad"]))
    return made


def read_parts(value: Json, reader: Reader, path: str) -> Any:
    """Return the tensor that `write_special` wrote, or the value that is none."""
    if not isinstance(value, dict) or "$subclass" not in value:
        return reader.read(value, path)
    payload: Any = value["$subclass"]
    name, parts, context, shape, stride = payload
    cls = reader.tensor_class(name, path)
    inner = {key: read_parts(part, reader, f"{path}.{key}") for key, part in parts}
    made = cls.__tensor_unflatten__(  # type: ignore[attr-defined]
        inner, reader.read(context, path), torch.Size(shape), tuple(stride)
    )
    if type(made) is not cls or list(made.shape) != shape:
        raise FormatError(f"{path}: {name} made something else of its parts.")
    return made


def without_slot(values: Json, structure: Json) -> Json:
    """Return the values of a state_dict without those that the slots of the structure hold."""
    if not isinstance(values, dict):
        return values
    held = {
        slot["name"]
        for entry in modules_of(structure)
        for _, slot, *_ in (*entry["parameters"], *entry["buffers"])
        if isinstance(slot, dict) and "value" in slot
    }
    return {key: value for key, value in values.items() if key not in held}


def tensors_among(values: Json, tensor: Callable[[Json, str], Tensor]) -> dict[str, Tensor]:
    """Return the sparse and quantised tensors of a state_dict's other values, by key.

    Those of subclasses need their class, and so a model, to be made.
    """
    entries = values.items() if isinstance(values, dict) else ()
    return {
        key: decode(value, key, tensor=tensor)
        for key, value in entries
        if isinstance(value, dict) and ("$sparse" in value or "$quantized" in value)
    }
