"""Modules with attributes that can't be stored, inside of a tree that is built as it stands.

A lambda or a compiled object has no JSON, but the constructor that made it can make it again. So
such a module is not made empty but by its own constructor call, or that of the nearest module
around it whose call can be stored. What the call makes beside is kept where it is of the same
class (a closure may refer to it) and then filled from the description like everything else.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from tracker.architecture.constructor import construct, describe_call, proven_device
from tracker.architecture.description import (
    OPAQUE_TAGS,
    hides_tensor,
    holds,
    modules_of,
    objects_of,
    parents_of,
)
from tracker.architecture.generated import empty_module
from tracker.architecture.graphs import is_made_with_graph
from tracker.architecture.imports import Imports
from tracker.architecture.slots import TensorPool
from tracker.architecture.structure import NOT_ATTRIBUTES, Tree
from tracker.errors import ArchitectureError, FormatError
from tracker.types import Json


def add_calls(tree: Tree) -> bool:
    """Put constructor calls into the tree's description where attributes can't be stored.

    Returns:
        Whether the tree can be built now: every part that can't be stored is made by a call.
    """
    entries, objects = modules_of(tree.structure), objects_of(tree.structure)
    parents = parents_of(entries)
    for index, entry in enumerate(entries):
        unstored = [entry["attributes"], entry.get("hooks")]
        if any(holds(entry[key], [], OPAQUE_TAGS) for key in ("class", "parameters", "buffers")):
            return False
        if not holds(unstored, objects, OPAQUE_TAGS):
            continue
        if hides_tensor(unstored, objects) or not _give_call(index, tree, parents):
            return False
    return True


def _give_call(index: int, tree: Tree, parents: dict[int, int]) -> bool:
    """Give the module, or the nearest around it of which this is possible, its call."""
    entries = modules_of(tree.structure)
    around: int | None = index
    while around is not None:
        entry = entries[around]
        if "call" not in entry and isinstance(entry["class"], str):
            call, problems = describe_call(tree.modules[around], tree)
            if call is not None and not problems:
                entry["call"] = call
        if "call" in entry:
            return True
        around = parents.get(around)
    return False


class EmptyTree:
    """The modules of a description, made but not yet filled.

    Attributes:
        modules: The modules, in the order of the description.
        donated: Indices of those that a constructor call made: what their entries can't say of
            them, they have already.
    """

    def __init__(self, structure: Json, imports: Imports, pool: TensorPool) -> None:
        self._entries = modules_of(structure)
        self._imports = imports
        self._pool = pool
        self._made: dict[int, nn.Module] = {}
        self.donated: set[int] = set()
        for index, entry in enumerate(self._entries):
            if index not in self._made:
                self._make(index, entry, f"structure.modules.{index}")
        self.modules = [self._made[index] for index in range(len(self._entries))]

    def _make(self, index: int, entry: dict[str, Any], path: str) -> None:
        if "call" not in entry:
            self._made[index] = empty_module(entry, self._entries, self._imports, f"{path}.class")
            return
        device = proven_device(entry["call"])
        arguments = TensorPool() if device == "meta" else self._pool
        donor = construct(entry["call"], self._imports, arguments.get, device)
        if type(donor) is not self._imports.module_class(entry["class"], f"{path}.class"):
            raise ArchitectureError(f"{path}: its constructor made a {type(donor).__qualname__}.")
        self._adopt(index, donor)

    def _adopt(self, index: int, module: nn.Module) -> None:
        """Take a module that a call made, and those inside of it that are where they belong."""
        self._made[index] = module
        self.donated.add(index)
        for name, child in self._entries[index]["children"]:
            if child is None:
                continue
            if type(child) is not int or not 0 <= child < len(self._entries):
                raise FormatError(f"structure.modules.{index}: has no child {child!r}.")
            inner, entry = module._modules.get(name), self._entries[child]
            if child in self._made or inner is None or "call" in entry:
                continue
            if isinstance(entry["class"], str) and type(inner) is self._imports.module_class(
                entry["class"], f"structure.modules.{child}.class"
            ):
                self._adopt(child, inner)
        _empty(module, self._entries[index])


def _empty(module: nn.Module, entry: dict[str, Any]) -> None:
    """Remove from a constructed module what its entry will put there, or does not know."""
    remove_attributes(module, entry)
    module._parameters.clear()
    module._buffers.clear()
    module._non_persistent_buffers_set.clear()
    module._modules.clear()


def remove_attributes(module: nn.Module, entry: dict[str, Any]) -> None:
    """Remove from a constructed module the plain attributes that its entry does not have."""
    for name in [n for n in vars(module) if n not in NOT_ATTRIBUTES]:
        if name not in entry["attributes"] and not is_made_with_graph(module, name):
            del vars(module)[name]
