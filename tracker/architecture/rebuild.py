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
from tracker.architecture.donors import EmptyTree, remove_attributes
from tracker.architecture.graphs import put_graph
from tracker.architecture.hooks import put_hooks
from tracker.architecture.imports import Imports
from tracker.architecture.nesting import check_entries
from tracker.architecture.reader import Reader, malformed
from tracker.architecture.slots import TensorPool
from tracker.architecture.special_tensors import read_parts, read_special
from tracker.architecture.structure import NOT_ATTRIBUTES
from tracker.errors import FormatError, UntrustedCheckpointError
from tracker.types import Json

_OF_EVERY_MODULE = frozenset(dir(nn.Module))
_CALLED_BY_LOADING = frozenset(
    name
    for name in _OF_EVERY_MODULE - {"forward", "extra_repr"}
    if callable(getattr(nn.Module, name))
)
"""Methods that other code than the user's calls. A model may well bring a forward of its own, and
libraries that quantise replace what it prints."""


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
    check_entries(modules_of(structure))
    empty = EmptyTree(structure, imports, pool)
    objects = objects_of(structure)
    reader = _reader(structure, imports, empty.modules, pool)
    for index, (module, entry) in enumerate(zip(empty.modules, modules_of(structure), strict=True)):
        path = f"structure.modules.{index}"
        donated = index in empty.donated
        _check_names(entry, path)
        for name, child in entry["children"]:
            module._modules[name] = None if child is None else _module(empty.modules, child, path)
        for name, value in entry["attributes"].items():
            if not (donated and holds(value, objects, OPAQUE_TAGS)):
                _put_attribute(module, name, reader.read(value, f"{path}.attributes.{name}"), path)
        _put_tensors(module, entry, pool, reader, path)
        if not (donated and holds(entry.get("hooks"), objects, OPAQUE_TAGS)):
            put_hooks(module, entry.get("hooks", {}), reader, path)
        _set_training(module, entry)
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
    built: Json = None,
) -> None:
    """Put tensors into a constructed model whose tree is known to equal ``structure``.

    Plain attributes that hold tensors are read from the description as well: those of a model
    constructed on the meta device have no values.

    Args:
        modules: The constructed modules, in the order of the description.
        structure: The description.
        imports: Where classes are found, and what is trusted.
        pool: Gives the tensors.
        built: The description of the constructed model, if plain attributes of it differ. They are
            replaced, except what can't be stored; those that ``structure`` does not have go.
    """
    reader = _reader(structure, imports, modules, pool)
    objects = objects_of(structure)
    for index, (module, entry) in enumerate(zip(modules, modules_of(structure), strict=True)):
        path = f"structure.modules.{index}"
        _put_tensors(module, entry, pool, reader, path)
        # What an object does when it is dropped must go by what its own constructor set.
        wanted = built is not None and not hasattr(type(module), "__del__")
        if wanted:
            remove_attributes(module, entry)
        same = _same_attributes(entry, built, index, objects) if wanted else frozenset()
        for name, value in entry["attributes"].items():
            plain = wanted and name not in same and not holds(value, objects, OPAQUE_TAGS)
            if plain or holds(value, objects, TENSOR_TAGS):
                _put_attribute(module, name, reader.read(value, f"{path}.attributes.{name}"), path)
        _set_training(module, entry)


def _same_attributes(
    entry: dict[str, Any], built: Json, index: int, objects: list[Json]
) -> frozenset[str]:
    """Return the attributes that the constructed module has already as they are described."""
    own = modules_of(built)[index]["attributes"]
    same_objects = objects_of(built) == objects
    return frozenset(
        name
        for name, value in entry["attributes"].items()
        if name in own
        and own[name] == value
        and (same_objects or not holds(value, objects, ("$object",)))
    )


def read_state_values(
    values: Json, structure: Json, imports: Imports, model: nn.Module, pool: TensorPool
) -> dict[str, Any]:
    """Return the state_dict entries that are no plain tensors, by key."""
    if not isinstance(values, dict):
        raise FormatError("state_values: expected an object of state_dict keys.")
    modules = list(model.modules())
    held = [type(tensor) for tensor in (*model.parameters(), *model.buffers())]
    reader = _reader(structure, imports.extended(held), modules, pool)
    return {key: read_parts(value, reader, f"model.{key}") for key, value in values.items()}


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


def _check_names(entry: dict[str, Any], path: str) -> None:
    """Refuse names of children and tensors that torch itself refuses."""
    for kind in ("children", "parameters", "buffers"):
        for name, *_ in entry[kind]:
            if not isinstance(name, str) or not name or "." in name or name in _OF_EVERY_MODULE:
                raise FormatError(f"{path}.{kind}: {name!r} can't be the name of one.")


def _put_attribute(module: nn.Module, name: str, value: Any, path: str) -> None:
    """Set a plain attribute without running code of the module's class, now or later."""
    if name in NOT_ATTRIBUTES or (name in _OF_EVERY_MODULE and name.startswith("__")):
        raise FormatError(f"{path}: {name!r} is no attribute but a part of nn.Module.")
    if name in _CALLED_BY_LOADING and callable(value):
        raise UntrustedCheckpointError(
            f"{path}: a method of nn.Module, {name!r}, would be another function, which loading "
            "or saving the model would call."
        )
    vars(module)[name] = value


def _set_training(module: nn.Module, entry: dict[str, Any]) -> None:
    vars(module)["training"] = bool(entry["training"])  # __setattr__ may be of the module's class


def _put_tensors(
    module: nn.Module, entry: dict[str, Any], pool: TensorPool, reader: Reader, path: str
) -> None:
    def tensor(slot: Json, name: str) -> Any:
        if isinstance(slot, dict) and "value" in slot:
            return pool.special(slot, lambda: read_special(slot, reader, name))
        return None if slot is None else pool.get(slot, name)

    # The dictionaries are written directly: __setattr__ of some classes (RNNs) has side effects.
    for name, slot in entry["parameters"]:
        module._parameters[name] = tensor(slot, f"{path}.parameters.{name}")
    for name, slot, persistent in entry["buffers"]:
        module._buffers[name] = tensor(slot, f"{path}.buffers.{name}")
        (set.discard if persistent else set.add)(module._non_persistent_buffers_set, name)
