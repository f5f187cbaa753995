"""Describes a model when it is logged: what is stored of it, and how it will be rebuilt."""

from __future__ import annotations

import weakref
from dataclasses import dataclass
from typing import cast

from torch import Tensor, nn

from tracker.architecture.call_text import call_text
from tracker.architecture.constructor import describe_call
from tracker.architecture.donors import add_calls
from tracker.architecture.generated import named_class
from tracker.architecture.observe import observed_call
from tracker.architecture.proof import canonical, prove, told
from tracker.architecture.references import public_module_name
from tracker.architecture.structure import Tree, describe_tree
from tracker.architecture.unchanged import Stamp, take_stamp
from tracker.types import Architecture, Json


@dataclass(frozen=True, slots=True)
class Description:
    """A model as it is stored.

    Attributes:
        architecture: How it is rebuilt.
        state: Tensors of its state_dict, by key; the live ones.
        extra: Tensors outside the state_dict that rebuilding needs, by name; the live ones.
        state_values: The state_dict's entries that are not tensors, as typed JSON by key.
        modules: Names of the Python modules that its classes come from.
    """

    architecture: Architecture
    state: dict[str, Tensor]
    extra: dict[str, Tensor]
    state_values: dict[str, Json]
    modules: frozenset[str]


def describe(model: nn.Module) -> Description:
    """Return the description of a live model, with the way to rebuild it that was proven.

    The model is not changed, nor is any random generator. A second call for the same architecture
    only describes; the proof is kept.

    Raises:
        UnstorableError: A tensor of the state_dict can't be stored; names it.
    """
    known = _recalled(model)
    if known is not None:
        return known
    tree = describe_tree(model)
    own = set(tree.extra)
    constructor, problems = describe_call(model, tree)
    constructor, structure = canonical(constructor), canonical(tree.structure)
    verdict = prove(constructor, problems, structure, tree)
    chosen = verdict.rebuild == "constructor"
    with_calls = verdict.rebuild == "structure" and bool(tree.problems)
    if with_calls:
        add_calls(tree)
        structure = told(canonical(tree.structure), verdict.how)
    text = call_text(model)
    kind = named_class(model)
    architecture = Architecture(
        rebuild=verdict.rebuild,
        model_class=f"{public_module_name(kind.__module__)}:{kind.__qualname__}",
        model_text=text.call,
        params=text.params,
        constructor={**constructor, **verdict.how}
        if chosen and isinstance(constructor, dict)
        else None,
        structure=structure,
        problems=verdict.problems,
    )
    extra = {n: t for n, t in tree.extra.items() if chosen or with_calls or n in own}
    modules = _modules_of(model, tree)
    if tree.extra.keys() == own:
        _remember(model, tree, architecture, modules)
    return Description(architecture, tree.state, extra, tree.state_values, modules)


@dataclass(frozen=True, slots=True)
class _Remembered:
    """A description without its tensors, and the stamp that tells whether it still holds."""

    model: weakref.ref[nn.Module]
    stamp: Stamp
    architecture: Architecture
    state: dict[str, weakref.ref[Tensor]]
    extra: dict[str, weakref.ref[Tensor]]
    modules: frozenset[str]


_remembered: dict[int, _Remembered] = {}
"""By the id of the model: a class may say of two models that they are equal."""


def _remember(
    model: nn.Module, tree: Tree, architecture: Architecture, modules: frozenset[str]
) -> None:
    key = id(model)
    _remembered.pop(key, None)
    stamp = take_stamp(tree)
    if stamp is not None:
        state, extra = (
            {name: weakref.ref(tensor) for name, tensor in tensors.items()}
            for tensors in (tree.state, tree.extra)
        )
        alive = weakref.ref(model, lambda _: _remembered.pop(key, None))
        _remembered[key] = _Remembered(alive, stamp, architecture, state, extra, modules)


def _recalled(model: nn.Module) -> Description | None:
    """Return the description of a model that is as it was when it was described."""
    known = _remembered.get(id(model))
    if known is None or known.model() is not model or not known.stamp.is_current():
        return None
    # Of a model that is as it was, no tensor is gone.
    state = {name: cast(Tensor, ref()) for name, ref in known.state.items()}
    extra = {name: cast(Tensor, ref()) for name, ref in known.extra.items()}
    return Description(known.architecture, state, extra, {}, known.modules)


def _modules_of(model: nn.Module, tree: Tree) -> frozenset[str]:
    """Return the Python modules that the model's code is in."""
    classes = {cls for module in tree.modules for cls in type(module).__mro__}
    call = observed_call(model)
    makers = {*classes, *([] if call is None else [call.cls])}
    return frozenset(public_module_name(maker.__module__) for maker in makers)
