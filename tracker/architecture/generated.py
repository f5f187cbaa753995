"""Modules of classes that torch makes at run time, which no name leads to.

``torch.nn.utils.parametrize`` puts a property for every parametrized tensor into a class of its
own; ``torch.fx`` gives every graph module one. They are described by what they were made of: the
class that was parametrized, and the graph (see `graphs`).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize

from tracker.architecture.distribution import plain_class
from tracker.architecture.graphs import describe_graph, empty_graph_module
from tracker.architecture.imports import Imports
from tracker.architecture.references import reference
from tracker.architecture.trust import refuse
from tracker.errors import FormatError
from tracker.types import Json


def named_class(model: nn.Module) -> type[nn.Module]:
    """Return the class of a module as people name it.

    That is without what parametrizing made of it, and without what ``fully_shard`` made of that.

    Example:
        >>> named_class(torch.nn.utils.parametrizations.weight_norm(torch.nn.Linear(1, 1)))
        <class 'torch.nn.modules.linear.Linear'>
    """
    if isinstance(model, torch.fx.GraphModule):
        return torch.fx.GraphModule
    found = plain_class(model)
    return found.__bases__[0] if parametrize.is_parametrized(model) else found


def describe_class(module: nn.Module) -> Json:
    """Return how a module's class is found or made again.

    Raises:
        NotReferableError: Another process could not find it by name.
    """
    if isinstance(module, torch.fx.GraphModule):
        return {"$graph": describe_graph(module)}
    name = reference(named_class(module))
    return {"$parametrized": name} if parametrize.is_parametrized(module) else name


def empty_module(
    entry: dict[str, Any], entries: list[dict[str, Any]], imports: Imports, path: str
) -> nn.Module:
    """Return a module of the class that an entry names, with nothing in it.

    Args:
        entry: The module's entry in the description of the tree.
        entries: All of them, in which its children are found by index.
        imports: Where classes are found, and what is trusted.
        path: Where the entry's class is in the manifest, for errors.

    Raises:
        UntrustedCheckpointError: The class is refused.
        ClassNotFoundError: It is not importable here.
    """
    described: Json = entry.get("class")
    made_of = described if isinstance(described, dict) else {}
    if "$graph" in made_of:
        return empty_graph_module(made_of["$graph"], path)
    cls = imports.module_class(made_of.get("$parametrized", described), path)
    if hasattr(cls, "__del__"):
        refuse(path, str(described), "its objects do something when they are dropped")
    module: nn.Module = object.__new__(cls)
    nn.Module.__init__(module)
    if "$parametrized" in made_of:
        _parametrize(module, _parametrized_names(entry, entries, path), path)
    return module


def _parametrized_names(
    entry: dict[str, Any], entries: list[dict[str, Any]], path: str
) -> list[str]:
    """Return the tensors that were parametrized: the keys of the child ``parametrizations``."""
    index = dict(entry["children"]).get("parametrizations")
    if type(index) is not int or not 0 <= index < len(entries):
        raise FormatError(f"{path}: a parametrized module must have parametrizations.")
    return [name for name, _ in entries[index]["children"]]


def _parametrize(module: nn.Module, names: list[str], path: str) -> None:
    """Give a module its class with a property for each name; torch itself makes it."""
    for name in names:
        # Not hasattr of the module: a property of its class would run.
        taken = not isinstance(name, str) or hasattr(type(module), name) or name in vars(module)
        if taken or not name.isidentifier() or name.startswith("__"):
            raise FormatError(f"{path}: {name!r} can't be the name of a parametrized tensor.")
        module._parameters[name] = nn.Parameter(torch.empty(1, device="meta"))
        parametrize.register_parametrization(module, name, nn.Identity(), unsafe=True)
    module._modules.clear()
