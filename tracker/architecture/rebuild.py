"""Builds a model from its description, and puts tensors into the places that it names."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from tracker.architecture.description import (
    OPAQUE_TAGS,
    TENSOR_TAGS,
    holds,
    modules_of,
    objects_of,
)
from tracker.architecture.donors import EmptyTree
from tracker.architecture.graphs import put_graph
from tracker.architecture.hooks import put_hooks
from tracker.architecture.imports import Imports
from tracker.architecture.reader import Reader, malformed
from tracker.architecture.slots import TensorPool
from tracker.architecture.structure import NOT_ATTRIBUTES
from tracker.errors import FormatError
from tracker.types import Json


def build(structure: Json, imports: Imports, pool: TensorPool) -> nn.Module:
    """Build the module tree from its structure, without calling any constructor.

    Args:
        structure: What `structure.describe_tree` wrote.
        imports: Where classes are found, and what is trusted.
        pool: Gives the tensors.

    Raises:
        UntrustedCheckpointError: It refers to something that is refused.
        ClassNotFoundError: A class is not importable here.
    """
    with malformed("structure"):
        return _build(structure, imports, pool)


def _build(structure: Json, imports: Imports, pool: TensorPool) -> nn.Module:
    empty = EmptyTree(structure, imports, pool)
    objects = objects_of(structure)
    reader = _reader(structure, imports, empty.modules, pool)
    for index, (module, entry) in enumerate(zip(empty.modules, modules_of(structure), strict=True)):
        path = f"structure.modules.{index}"
        donated = index in empty.donated
        for name, child in entry["children"]:
            module._modules[name] = None if child is None else _module(empty.modules, child, path)
        for name, value in entry["attributes"].items():
            if name in NOT_ATTRIBUTES:
                raise FormatError(f"{path}: {name!r} is no attribute but a part of nn.Module.")
            if not (donated and holds(value, objects, OPAQUE_TAGS)):
                vars(module)[name] = reader.read(value, f"{path}.attributes.{name}")
        _put_tensors(module, entry, pool, path)
        if not (donated and holds(entry.get("hooks"), objects, OPAQUE_TAGS)):
            put_hooks(module, entry.get("hooks", {}), reader, path)
        module.training = bool(entry["training"])
    for module, entry in zip(empty.modules, modules_of(structure), strict=True):
        if isinstance(module, fx.GraphModule):
            put_graph(module, entry["class"]["$graph"], reader.function, "structure")
    return empty.modules[0]


def fill(
    modules: list[nn.Module],
    structure: Json,
    imports: Imports,
    pool: TensorPool,
    *,
    every_attribute: bool = False,
) -> None:
    """Put tensors into a constructed model whose tree is known to equal ``structure``.

    Plain attributes that hold tensors are read from the description as well: those of a model
    constructed on the meta device have no values.

    Args:
        modules: The constructed modules, in the order of the description.
        structure: The description.
        imports: Where classes are found, and what is trusted.
        pool: Gives the tensors.
        every_attribute: Also read the attributes without tensors, except what can't be stored.
    """
    reader = _reader(structure, imports, modules, pool)
    objects = objects_of(structure)
    for index, (module, entry) in enumerate(zip(modules, modules_of(structure), strict=True)):
        path = f"structure.modules.{index}"
        _put_tensors(module, entry, pool, path)
        for name, value in entry["attributes"].items():
            plain = every_attribute and not holds(value, objects, OPAQUE_TAGS)
            if plain or holds(value, objects, TENSOR_TAGS):
                vars(module)[name] = reader.read(value, f"{path}.attributes.{name}")
        module.training = bool(entry["training"])


def read_state_values(
    values: Json, structure: Json, imports: Imports, model: nn.Module, pool: TensorPool
) -> dict[str, Any]:
    """Return the state_dict entries that are no tensors (``get_extra_state``)."""
    if not isinstance(values, dict):
        raise FormatError("state_values: expected an object of state_dict keys.")
    modules = list(model.modules())
    reader = _reader(structure, imports.extended(map(type, modules)), modules, pool)
    return {key: reader.read(value, f"model.{key}") for key, value in values.items()}


def _reader(
    structure: Json, imports: Imports, modules: list[nn.Module], pool: TensorPool
) -> Reader:
    return Reader(
        objects_of(structure),
        imports.extended(map(type, modules)),
        module=lambda index, path: _module(modules, index, path),
        tensor=pool.get,
    )


def _module(modules: list[nn.Module], index: Json, path: str) -> nn.Module:
    if type(index) is not int or not 0 <= index < len(modules):
        raise FormatError(f"{path}: refers to module {index!r} of {len(modules)}.")
    return modules[index]


def _put_tensors(module: nn.Module, entry: dict[str, Any], pool: TensorPool, path: str) -> None:
    # The dictionaries are written directly: __setattr__ of some classes (RNNs) has side effects.
    for name, slot in entry["parameters"]:
        parameter = None if slot is None else pool.get(slot, f"{path}.parameters.{name}")
        module._parameters[name] = parameter  # type: ignore[assignment]
    for name, slot, persistent in entry["buffers"]:
        module._buffers[name] = None if slot is None else pool.get(slot, f"{path}.buffers.{name}")
        (set.discard if persistent else set.add)(module._non_persistent_buffers_set, name)
