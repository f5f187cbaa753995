"""What is kept of a constructor's arguments: a copy, a weak reference, or an object's attributes.

Arguments are kept as they are at the call: what could be mutated is copied. What is large or lives
elsewhere (modules, tensors, functions) is held weakly, so that nothing is kept alive that the user
dropped. Nothing of the user's is called, and no iterator is consumed.
"""

from __future__ import annotations

import argparse
import copy
import enum
import functools
import inspect
import logging
import types
import weakref
from collections import Counter, OrderedDict, defaultdict, deque
from dataclasses import dataclass
from typing import Any

from tracker.architecture.containers import MUTABLE
from tracker.architecture.inspection import Kept, attributes_of

MAX_KEPT_ARRAY = 1 << 16
"""Bytes up to which a NumPy argument is copied; a larger one is held weakly."""

MAX_KEPT_PARTS = 20_000
"""Containers and objects that one call's arguments are followed through, at most."""

_MAX_KEPT_DEPTH = 20
_PLAIN_MODULES = frozenset(
    {"datetime", "decimal", "fractions", "uuid", "re", "pathlib", "types", "typing"}
)


@dataclass(frozen=True, slots=True)
class Held:
    """An argument that is referred to weakly: a module, a tensor, a function."""

    target: weakref.ref[Any]
    version: int | None = None

    def get(self) -> Any:
        """Return the argument, or raise LookupError if it is gone or was changed in place."""
        value = self.target()
        if value is None:
            raise LookupError("was given to the constructor and no longer exists")
        if self.version is not None and value._version != self.version:
            raise LookupError("was changed in place after it was given to the constructor")
        return value


@dataclass(frozen=True, slots=True)
class KeptPartial:
    """A ``functools.partial``, with what is kept of its parts."""

    func: Any
    args: tuple[Any, ...]
    keywords: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Lost:
    """An argument of which nothing could be kept."""

    cls: type


_immutable: set[type] = {
    type(None),
    bool,
    int,
    float,
    complex,
    str,
    bytes,
    range,
    type(...),
}


def learn_torch() -> None:
    """Add torch's own immutable types; called once torch is there."""
    import torch

    _immutable.update((torch.dtype, torch.device, torch.Size, torch.memory_format, torch.layout))


def keep_arguments(
    args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return what is kept of a call's arguments."""
    if all(type(v) in _immutable for v in args) and all(
        type(v) in _immutable for v in kwargs.values()
    ):
        return args, kwargs
    keeping = _Keeping()
    return (
        tuple(keeping.keep(value, 0) for value in args),
        {name: keeping.keep(value, 0) for name, value in kwargs.items()},
    )


class _Keeping:
    """One call's arguments: the objects already met, and how many more are followed."""

    def __init__(self) -> None:
        self._objects: dict[int, Kept] = {}
        self._containers: dict[int, Any] = {}
        self._left = MAX_KEPT_PARTS

    def keep(self, value: Any, depth: int) -> Any:
        kind = type(value)
        if kind in _immutable:
            return value
        self._left -= 1
        if depth > _MAX_KEPT_DEPTH or self._left < 0:
            return Lost(kind)
        if kind not in MUTABLE:
            return self._kept(value, kind, depth)
        # One list in two places is one list in what is kept.
        if id(value) not in self._containers:
            self._containers[id(value)] = Lost(kind)  # of itself, it can't be a part
            self._containers[id(value)] = self._kept(value, kind, depth)
        return self._containers[id(value)]

    def _kept(self, value: Any, kind: type, depth: int) -> Any:
        if kind in (list, tuple, slice, set, frozenset, deque):
            return self._sequence(value, kind, depth + 1)
        if kind in (dict, OrderedDict, Counter):
            return kind(dict(self._pairs(value, depth + 1)))
        if kind is defaultdict:
            return defaultdict(value.default_factory, self._pairs(value, depth + 1))
        if kind in (types.SimpleNamespace, argparse.Namespace):
            return kind(**dict(self._pairs(vars(value), depth + 1)))
        return self._object(value, kind, depth + 1)

    def _sequence(self, value: Any, kind: type, depth: int) -> Any:
        if kind is slice:
            return slice(*[self.keep(v, depth) for v in (value.start, value.stop, value.step)])
        items = [v if type(v) in _immutable else self.keep(v, depth) for v in value]
        if kind is deque:
            return deque(items, value.maxlen)
        if kind in (set, frozenset) and any(
            isinstance(item, (Kept, KeptPartial)) for item in items
        ):
            return Lost(kind)  # what is kept of an object can't be hashed
        return kind(items)

    def _pairs(self, mapping: dict[Any, Any], depth: int) -> list[tuple[Any, Any]]:
        return [(key, self.keep(item, depth)) for key, item in mapping.items()]

    def _object(self, value: Any, kind: type, depth: int) -> Any:
        import numpy as np
        import torch

        if isinstance(value, torch.Tensor):
            return Held(weakref.ref(value), None if value.is_inference() else value._version)
        if isinstance(value, torch.nn.Module):
            return Held(weakref.ref(value))
        if isinstance(value, np.ndarray):
            small = value.nbytes <= MAX_KEPT_ARRAY and not value.dtype.hasobject
            return value.copy() if small else Held(weakref.ref(value))
        if kind is bytearray:
            return bytearray(value)
        if isinstance(value, (type, enum.Enum, np.generic, np.dtype, logging.Logger, weakref.ref)):
            return value
        if kind.__module__.split(".")[0] in _PLAIN_MODULES:
            return value
        if kind.__module__.split(".")[0] == "omegaconf":
            return copy.deepcopy(value)  # it holds its parents, and keeps its content to itself
        if kind is functools.partial:
            return self._partial(value, depth)
        if isinstance(value, types.ModuleType):
            return Lost(kind)
        if inspect.isroutine(value):
            return _keep_function(value)
        return self._attributes(value, kind, depth)

    def _partial(self, value: functools.partial[Any], depth: int) -> KeptPartial:
        args = tuple(self.keep(item, depth) for item in value.args)
        return KeptPartial(
            self.keep(value.func, depth), args, dict(self._pairs(value.keywords, depth))
        )

    def _attributes(self, value: Any, kind: type, depth: int) -> Kept | Lost:
        known = self._objects.get(id(value))
        if known is not None:
            return known
        state = attributes_of(value)
        if state is None:
            return Lost(kind)
        # Known before its parts are kept: an object may lead back to itself.
        kept = self._objects[id(value)] = Kept(kind, {}, None if state.items is None else [])
        kept.attributes.update(self._pairs(state.attributes, depth))
        if state.items is not None and kept.items is not None:
            kept.items.extend(self.keep(item, depth) for item in state.items)
        return kept


def _keep_function(value: Any) -> Any:
    if inspect.ismethod(value):
        # A bound method is made anew at every access; this reference lives as long as its object.
        return Held(weakref.WeakMethod(value))
    owner = getattr(value, "__self__", None)
    if inspect.isbuiltin(value):
        # Of a module (math.sqrt) or of torch's own namespaces; a bound one holds its object.
        of_module = owner is None or isinstance(owner, (types.ModuleType, type))
        return value if of_module else Lost(type(value))
    try:
        return Held(weakref.ref(value))
    except TypeError:
        return Lost(type(value))
