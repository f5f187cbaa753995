"""Notices that a model is as it was when it was last described: then it need not be again.

Between two epochs only the values of tensors change. Looking whether that is so is a matter of
microseconds a module; describing it anew would be twenty times that. Only models are remembered of
which every part can be compared; the others are described each time. Nothing is kept alive: modules
and tensors are referred to weakly.
"""

from __future__ import annotations

import enum
import operator
import pathlib
import types
import weakref
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from tracker.architecture.containers import MUTABLE
from tracker.architecture.distribution import is_of_distribution
from tracker.architecture.generated import named_class
from tracker.architecture.hooks import HOOKS, has_lasting
from tracker.architecture.inspection import attributes_of
from tracker.architecture.references import NotReferableError, reference
from tracker.architecture.structure import NOT_ATTRIBUTES, Tree

_ATOMS: frozenset[type] = frozenset(
    {
        type(None),
        bool,
        int,
        float,
        complex,
        str,
        bytes,
        type(...),
        torch.dtype,
        torch.device,
        torch.layout,
        torch.memory_format,
        torch.Size,
        types.BuiltinFunctionType,
    }
)
_MAX_DEPTH = 20
_MAX_ARRAY = 4096
_hooks_of = operator.itemgetter(*HOOKS)


class _NotComparableError(Exception):
    """A part of the model has no stamp that would change with it."""


@dataclass(frozen=True, slots=True)
class _Module:
    """What one module's description depends on, beside its children and tensors.

    Attributes:
        cls: Its class.
        named: The class that it is known by, see `generated.named_class`.
        count: How many entries its ``__dict__`` has.
        atoms_of: Returns the attributes that can't be changed but replaced.
        atoms: What they were.
        others: The stamps of the other attributes, by name.
        training: Whether it was in training mode.
        transient: Names of its buffers outside the state_dict.
    """

    cls: type
    named: type
    count: int
    atoms_of: Callable[[dict[str, Any]], tuple[Any, ...]]
    atoms: tuple[Any, ...]
    others: dict[str, Any]
    training: bool
    transient: frozenset[str]


class Stamp:
    """What the description of a model depends on, as it was when it was made."""

    def __init__(self, tree: Tree) -> None:
        self._refs = [weakref.ref(module) for module in tree.modules]
        self._modules = [_stamp(module) for module in tree.modules]
        self._names_of = {cls: _name_of(cls) for cls in {s.named for s in self._modules}}
        names, held = _contents(tree.modules)
        self._names = names
        self._held = [None if part is None else weakref.ref(part) for part in held]
        self._tensors = _looks(held)

    def is_current(self) -> bool:
        """Return whether the model is still as it was, but for the values of its tensors."""
        modules = [ref() for ref in self._refs]
        if not all(map(_is_as_stamped, modules, self._modules)) or not self._are_found():
            return False
        names, held = _contents(modules)
        before = [None if ref is None else ref() for ref in self._held]
        return (
            names == self._names
            and all(map(operator.is_, held, before))
            and _looks(held) == self._tensors
        )

    def _are_found(self) -> bool:
        """Return whether the classes are still found by their names."""
        try:
            return all(_name_of(cls) == name for cls, name in self._names_of.items())
        except _NotComparableError:
            return False


def take_stamp(tree: Tree) -> Stamp | None:
    """Return the stamp of a model that was just described, or None if it can't have one."""
    own = {id(part) for part in _contents(tree.modules)[1]}
    plain = (
        not tree.problems
        and not tree.state_values
        and all(id(tensor) in own for tensor in tree.state.values())
        and all(_saves_itself(type(module)) for module in tree.modules)
    )
    try:
        return Stamp(tree) if plain else None
    except (_NotComparableError, RecursionError):
        return None


def _saves_itself(cls: type[nn.Module]) -> bool:
    """Return whether the state_dict is what ``nn.Module`` makes of parameters and buffers."""
    names = ("state_dict", "_save_to_state_dict", "get_extra_state")
    return all(getattr(cls, name) is getattr(nn.Module, name) for name in names)


def _contents(modules: list[Any]) -> tuple[list[str], list[Any]]:
    """Return the names and the objects of all parameters, buffers and children, in order."""
    names: list[str] = []
    held: list[Any] = []
    for module in modules:
        inside = vars(module)
        for part in (inside["_parameters"], inside["_buffers"], inside["_modules"]):
            names += part
            held += part.values()
        names.append("")
    return names, held


def _looks(held: list[Any]) -> list[tuple[Any, ...]]:
    """Return what is described of tensors beside their values."""
    return [
        (t.dtype, t.shape, t.stride(), t.requires_grad, t.data_ptr())
        for t in held
        if isinstance(t, Tensor)
    ]


def _name_of(thing: Any) -> str:
    """Return the name that another process finds a class or function by.

    It is asked for each time: in a notebook, a name may have come to mean something else.
    """
    try:
        return reference(thing)
    except NotReferableError as error:
        raise _NotComparableError from error


def _stamp(module: nn.Module) -> _Module:
    inside = vars(module)
    if _has_hooks(inside) or isinstance(module, fx.GraphModule):
        raise _NotComparableError
    own = {
        name: value
        for name, value in inside.items()
        if name not in NOT_ATTRIBUTES and not is_of_distribution(name, value)
    }
    atoms = {name: value for name, value in own.items() if type(value) in _ATOMS}
    others = {n: _frozen(v, 0, {}) for n, v in own.items() if n not in atoms}
    names = ("training", *atoms)
    atoms_of = operator.itemgetter(*names, "training")  # two at least, so that it is a tuple
    return _Module(
        type(module),
        named_class(module),
        len(inside),
        atoms_of,
        atoms_of(inside),
        others,
        module.training,
        frozenset(module._non_persistent_buffers_set),
    )


def _has_hooks(inside: dict[str, Any]) -> bool:
    # Mostly there are none at all, which takes one look.
    return any(_hooks_of(inside)) and has_lasting(inside)


def _is_as_stamped(module: Any, stamp: _Module) -> bool:
    if type(module) is not stamp.cls:
        return False
    inside = vars(module)
    try:
        same = all(map(operator.is_, stamp.atoms_of(inside), stamp.atoms))
    except KeyError:
        return False
    return (
        same
        and len(inside) == stamp.count
        and not _has_hooks(inside)
        and inside["_non_persistent_buffers_set"] == stamp.transient
        and (not stamp.others or _others_are_same(inside, stamp.others))
    )


def _others_are_same(inside: dict[str, Any], others: dict[str, Any]) -> bool:
    try:
        return all(_frozen(inside[name], 0, {}) == stamp for name, stamp in others.items())
    except (_NotComparableError, KeyError):
        return False


class _Same:
    """A weak reference that equals another only if both lead to the same living object."""

    __slots__ = ("_ref",)

    def __init__(self, target: Any) -> None:
        self._ref = weakref.ref(target)

    def __eq__(self, other: object) -> bool:
        target = self._ref()
        return isinstance(other, _Same) and target is not None and other._ref() is target

    __hash__ = None  # type: ignore[assignment]


def _frozen(value: Any, depth: int, seen: dict[int, int]) -> Any:
    """Return what is equal later only if the value is still described in the same way."""
    kind = type(value)
    if kind is float:
        return repr(value)  # 0.0 equals -0.0, but is written otherwise
    if kind in _ATOMS or isinstance(value, (enum.Enum, np.generic, np.dtype, pathlib.PurePath)):
        return (kind, value)
    if isinstance(value, type):
        return _name_of(value)
    if isinstance(value, weakref.ref):
        return (kind, _frozen(value(), depth, seen))
    if isinstance(value, nn.Module):
        return _Same(value)
    if isinstance(value, Tensor):
        return (_Same(value), *_looks([value]), value.is_leaf)
    if isinstance(value, types.FunctionType):
        return _name_of(value)
    if kind.__module__ in ("types", "typing"):
        return (kind, repr(value))  # an annotation, or a generic type
    if depth > _MAX_DEPTH:
        raise _NotComparableError
    if id(value) in seen:
        return seen[id(value)]
    seen[id(value)] = len(seen)
    if kind in MUTABLE:
        return (kind, id(value), _content(value, kind, depth, seen))
    if kind is tuple:
        return (kind, [_frozen(item, depth + 1, seen) for item in value])
    if kind is frozenset:
        return (kind, sorted(repr(_frozen(item, depth + 1, seen)) for item in value))
    if kind is np.ndarray and value.nbytes <= _MAX_ARRAY and not value.dtype.hasobject:
        return (value.dtype, value.shape, value.tobytes())
    state = attributes_of(value)
    if state is None:
        raise _NotComparableError
    inside = [*chain(*state.attributes.items()), *(state.items or ())]
    # Its identity too: what two modules share is written once.
    return (kind, id(value), [_frozen(item, depth + 1, seen) for item in inside])


def _content(value: Any, kind: type, depth: int, seen: dict[int, int]) -> Any:
    if kind is set:
        return sorted(repr(_frozen(item, depth + 1, seen)) for item in value)
    if kind in (list, deque):
        return [_frozen(item, depth + 1, seen) for item in value]
    mapping = value if isinstance(value, dict) else vars(value)
    return [_frozen(item, depth + 1, seen) for item in chain(*mapping.items())]
