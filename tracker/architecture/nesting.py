"""Refuses module trees that walking through would never end, or take forever.

Torch walks through a model by recursion (``train``, ``state_dict``), along every way that leads to
a module. A module inside of itself has no end, and thirty modules, each twice in the one before
it, are a billion visits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

from torch import nn

from tracker.errors import FormatError

MAX_DEPTH = 200
"""Modules inside of modules; Python nests a thousand calls, and torch takes up to three for one."""

MAX_VISITS = 500_000
"""Modules met on every way through the tree; the largest mixtures of experts have 120,000."""


def check_entries(entries: Sequence[Mapping[str, Any]]) -> None:
    """Check the entries of a structure, whose children are indices.

    Raises:
        FormatError: A child does not exist, or the tree has no reasonable end.
    """
    if len(entries) > MAX_VISITS:
        raise FormatError(f"structure: has {len(entries)} modules; {MAX_VISITS} are allowed.")
    children: dict[int, list[int]] = {}
    for index, entry in enumerate(entries):
        children[index] = [child for _, child in entry["children"] if child is not None]
        for child in children[index]:
            if type(child) is not int or not 0 <= child < len(entries):
                raise FormatError(f"structure.modules.{index}: there is no module {child!r}.")
    _check(children)


def check_model(model: nn.Module) -> None:
    """Check a model that a constructor made of the checkpoint's arguments.

    Raises:
        FormatError: The tree has no reasonable end.
    """
    # By id: a class may compare its instances by value. The list keeps them all alive.
    modules, indices = [model], {id(model): 0}
    children: dict[int, list[int]] = {}
    for index, module in enumerate(modules):
        children[index] = []
        for child in module._modules.values():
            if child is not None:
                known = indices.setdefault(id(child), len(modules))
                if known == len(modules):
                    modules.append(child)
                children[index].append(known)
    _check(children)


def _check(children: Mapping[int, Sequence[int]]) -> None:
    try:
        inside_first = list(TopologicalSorter(children).static_order())
    except CycleError as error:
        raise FormatError(f"structure: module {error.args[1][0]} is inside of itself.") from error
    depths: dict[int, int] = {}
    visits: dict[int, int] = {}
    for index in inside_first:
        depths[index] = 1 + max((depths[child] for child in children[index]), default=0)
        visits[index] = 1 + sum(visits[child] for child in children[index])
        if depths[index] > MAX_DEPTH:
            raise FormatError(f"structure: modules are more than {MAX_DEPTH} deep inside others.")
        if visits[index] > MAX_VISITS:
            raise FormatError(
                f"structure: walking through the model meets more than {MAX_VISITS} modules, "
                "because the same ones are inside of many others."
            )
