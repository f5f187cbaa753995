"""Builds a model from its description, and puts tensors into the places that it names."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn
from torch.utils.hooks import RemovableHandle

from tracker.architecture.imports import Imports
from tracker.architecture.reader import Reader
from tracker.architecture.slots import TensorPool
from tracker.architecture.structure import HOOK_FLAGS, HOOKS, NOT_ATTRIBUTES
from tracker.errors import FormatError, TrackerError
from tracker.types import Json


def modules_of(structure: Json) -> list[dict[str, Any]]:
    """Return the module entries of a structure, checked to be a list of objects."""
    entries = structure.get("modules") if isinstance(structure, dict) else None
    if not isinstance(entries, list) or not entries:
        raise FormatError("structure: the manifest holds no module tree.")
    if not all(isinstance(entry, dict) for entry in entries):
        raise FormatError("structure: a module of the tree is not an object.")
    return entries  # type: ignore[return-value]


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


@contextlib.contextmanager
def malformed(what: str) -> Iterator[None]:
    """Turn what a malformed description raises into FormatError."""
    try:
        yield
    except TrackerError:
        raise
    except (TypeError, ValueError, LookupError, AttributeError, RuntimeError) as error:
        raise FormatError(
            f"{what}: the manifest's description can't be read: {type(error).__name__}: {error}"
        ) from error


def _build(structure: Json, imports: Imports, pool: TensorPool) -> nn.Module:
    entries = modules_of(structure)
    made: list[nn.Module] = []
    for index, entry in enumerate(entries):
        cls = imports.module_class(entry.get("class"), f"structure.modules.{index}.class")
        module = object.__new__(cls)
        nn.Module.__init__(module)
        made.append(module)
    reader = _reader(structure, imports, made, pool)
    for index, (module, entry) in enumerate(zip(made, entries, strict=True)):
        path = f"structure.modules.{index}"
        for name, child in entry["children"]:
            module._modules[name] = None if child is None else _module(made, child, path)
        for name, value in entry["attributes"].items():
            if name in NOT_ATTRIBUTES:
                raise FormatError(f"{path}: {name!r} is no attribute but a part of nn.Module.")
            vars(module)[name] = reader.read(value, f"{path}.attributes.{name}")
        _put_tensors(module, entry, pool, path)
        _put_hooks(module, entry.get("hooks", {}), reader, path)
        module.training = bool(entry["training"])
    return made[0]


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
    objects = _objects(structure)
    for index, (module, entry) in enumerate(zip(modules, modules_of(structure), strict=True)):
        path = f"structure.modules.{index}"
        _put_tensors(module, entry, pool, path)
        for name, value in entry["attributes"].items():
            plain = every_attribute and not holds(value, objects, ("$opaque",))
            if plain or holds(value, objects, TENSOR_TAGS):
                vars(module)[name] = reader.read(value, f"{path}.attributes.{name}")
        module.training = bool(entry["training"])


TENSOR_TAGS = ("$tensor", "$ndarray")


def holds(data: Json, objects: list[Json], tags: tuple[str, ...]) -> bool:
    """Return whether a value contains one of ``tags``, itself or in an object of the table."""
    pending: list[Json] = [data]
    seen: set[int] = set()
    while pending:
        node = pending.pop()
        if isinstance(node, list):
            pending.extend(node)
        elif isinstance(node, dict):
            if any(tag in node for tag in tags):
                return True
            index = node.get("$object")
            if type(index) is int and 0 <= index < len(objects) and index not in seen:
                seen.add(index)
                pending.append(objects[index])
            pending.extend(node.values())
    return False


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
        _objects(structure),
        imports.extended(map(type, modules)),
        module=lambda index, path: _module(modules, index, path),
        tensor=pool.get,
    )


def _objects(structure: Json) -> list[Json]:
    objects = structure.get("objects") if isinstance(structure, dict) else None
    return objects if isinstance(objects, list) else []


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


def _put_hooks(module: nn.Module, hooks: dict[str, Any], reader: Reader, path: str) -> None:
    for name, entries in hooks.items():
        if name not in HOOKS:
            raise FormatError(f"{path}: unknown kind of hook {name!r}.")
        registry = getattr(module, name)
        for value, flags in entries:
            key = RemovableHandle(registry).id
            registry[key] = reader.read(value, f"{path}.hooks.{name}")
            for flag, is_set in zip(HOOK_FLAGS.get(name, ()), flags, strict=True):
                if is_set:
                    getattr(module, flag)[key] = True
