"""Attribute values that are not plain, as JSON: classes, functions, enums, configs, modules.

What can't be stored becomes an opaque leaf, which still says enough to be compared (a lambda's byte
code and closure, an object's attributes), and a `Problem` that says what stands where.
"""

from __future__ import annotations

import enum
import functools
import inspect
import logging
import types
import weakref
from collections import deque
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from blake3 import blake3
from torch import Tensor

from tracker.architecture.containers import MUTABLE, Sharing
from tracker.architecture.inspection import Kept, attributes_of, code_digest, is_filled
from tracker.architecture.keeping import Held, KeptPartial, Lost
from tracker.architecture.library_values import KINDS
from tracker.architecture.references import (
    NotReferableError,
    public_module_name,
    reference,
)
from tracker.architecture.trust import Trust, check_module_name
from tracker.errors import UnstorableError, UntrustedCheckpointError
from tracker.types import Json, Problem
from tracker.values import encode

FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)
MAX_OBJECT_DEPTH = 30
"""Deepest way from a module through objects to objects; Python nests a thousand calls."""

PARTIALS = (functools.partial, KeptPartial)


class Writer:
    """Encodes the attribute values of one model.

    Attributes:
        objects: The table of objects with attributes; values refer to it by index, so that a
            config shared by a hundred layers is written once and stays shared.
        problems: What could not be stored, with its path.
    """

    def __init__(
        self,
        module: Callable[[torch.nn.Module, str], Json],
        tensor: Callable[[Tensor, str], Json],
        sharing: Sharing,
    ) -> None:
        self.objects: list[Json] = []
        self.problems: list[Problem] = []
        self._module = module
        self._store_tensor = tensor
        self._sharing = sharing
        self._entering: object = None
        self._depth = 0
        self._known: dict[int, int] = {}
        self._alive: list[object] = []

    def write(self, value: object, path: str) -> Json:
        """Return ``value`` as JSON; parts that can't be stored become opaque leaves."""
        self._depth += 1
        try:
            if self._depth > MAX_OBJECT_DEPTH:
                raise UnstorableError(path, f"is more than {MAX_OBJECT_DEPTH} objects deep.")
            return encode(
                value, path, tensor=self._tensor, special=self._special, shared=self._shared
            )
        except Exception as error:  # noqa: BLE001 - code of the user's object must not lose the weights
            refused = error if isinstance(error, UnstorableError) else _failed(path, error)
            self.problems.append(Problem(refused.path, str(refused)))
            hidden: list[Json] = [HIDDEN_TENSOR] if _may_hold_tensor(value) else []
            digest = blake3(_text_of(value).encode()).hexdigest()[:16]
            return {"$opaque": [_type_name(value), digest, *hidden]}
        finally:
            self._depth -= 1

    def _shared(self, value: object, path: str) -> Json:
        """Return the reference to a container that is met in several places, else None."""
        if value is self._entering:
            self._entering = None
            return None
        if type(value) not in MUTABLE or not self._sharing.meet(value):
            return None
        index = self._known.get(id(value))
        if index is None:
            index = self._known[id(value)] = len(self.objects)
            self._alive.append(value)
            self.objects.append(None)
            self._entering = value
            self.objects[index] = {"value": self.write(value, path)}
        return {"$object": index}

    def _tensor(self, tensor: Tensor, path: str) -> Json:
        try:
            return self._store_tensor(tensor, path)
        except UnstorableError as error:
            self.problems.append(Problem(path, str(error)))
            return opaque_tensor(tensor)

    def _special(self, value: Any, path: str) -> Json:
        if isinstance(value, Held):
            try:
                return self.write(value.get(), path)
            except LookupError as error:
                return self._opaque(value.target(), path, f"{path}: {error}.")
        if isinstance(value, Lost):
            return self._opaque(
                value,
                path,
                f"{path}: is a {value.cls.__qualname__}, of which nothing could be kept.",
            )
        if isinstance(value, torch.nn.Module):
            return self._module(value, path)
        for accepts, write_library in KINDS:
            if accepts(value):
                return write_library(value, path, self.write)
        for accepts, write in self._kinds():
            if accepts(value):
                try:
                    return write(value, path)
                except NotReferableError as error:
                    return self._opaque(value, path, _advice(value, path, error))
        return self._object(value, path)

    def _kinds(self) -> tuple[tuple[Callable[[Any], bool], Callable[[Any, str], Json]], ...]:
        return (
            (inspect.isclass, lambda v, p: {"$class": _loadable(v, p)}),
            (lambda v: isinstance(v, enum.Enum), self._enum),
            (lambda v: isinstance(v, PARTIALS), self._partial),
            (inspect.ismethod, self._method),
            (lambda v: isinstance(v, FUNCTIONS), lambda v, p: {"$function": _loadable(v, p)}),
            (lambda v: isinstance(v, weakref.ref), lambda v, p: {"$weakref": self.write(v(), p)}),
            (lambda v: isinstance(v, logging.Logger), lambda v, p: {"$logger": v.name}),
        )

    def _enum(self, value: enum.Enum, path: str) -> Json:
        return {"$enum": [_loadable(type(value), path), self.write(value.value, path)]}

    def _partial(self, value: functools.partial[Any] | KeptPartial, path: str) -> Json:
        if type(value) not in PARTIALS or getattr(value, "__dict__", None):
            raise NotReferableError("it is a partial with attributes of its own")
        parts = (value.func, list(value.args), value.keywords)
        return {"$partial": [self.write(part, path) for part in parts]}

    def _method(self, value: types.MethodType, path: str) -> Json:
        name, owner = getattr(value.__func__, "__name__", ""), value.__self__
        if isinstance(owner, type):
            own = inspect.getattr_static(owner, name, None)
            if not isinstance(own, classmethod) or own.__func__ is not value.__func__:
                raise NotReferableError("it is a classmethod that its class has not by that name")
            return {"$classmethod": [_loadable(owner, path), name]}
        if inspect.getattr_static(type(owner), name, None) is not value.__func__:
            # A function that was bound to a module: model.forward = function.__get__(model)
            return {"$bound": [self.write(value.__func__, path), self.write(owner, path)]}
        return {"$method": [self.write(owner, path), name]}

    def _object(self, value: Any, path: str) -> Json:
        if id(value) in self._known:
            return {"$object": self._known[id(value)]}
        kept = value if isinstance(value, Kept) else attributes_of(value)
        if kept is None:
            kind = type(value)
            return self._opaque(
                value,
                path,
                f"{path}: is a {kind.__module__}.{kind.__qualname__}, which has no "
                "plain attributes that could be stored.",
            )
        try:
            name = _loadable(kept.cls, path)
        except NotReferableError as error:
            return self._opaque(value, path, _advice(value, path, error))
        index = self._known[id(value)] = len(self.objects)
        self._alive.append(value)
        self.objects.append(None)
        entry: dict[str, Json] = {
            "class": name,
            "attributes": {
                # In the order in which they are read back, so that objects get the same numbers.
                key: self.write(item, f"{path}.{key}")
                for key, item in sorted(kept.attributes.items())
            },
        }
        if kept.items is not None:
            entry["items"] = self.write(list(kept.items), path)
        self.objects[index] = entry
        return {"$object": index}

    def _opaque(self, value: object, path: str, message: str) -> Json:
        self.problems.append(Problem(path, message))
        return {"$opaque": self._fingerprint(value, path)}

    def _fingerprint(self, value: Any, path: str) -> Json:
        """Return what two objects that can't be stored must have in common to count as equal."""
        if isinstance(value, types.FunctionType):
            cells = [c.cell_contents for c in value.__closure__ or () if is_filled(c)]
            inside = [list(value.__defaults__ or ()), value.__kwdefaults__, cells]
            before = len(self.problems)
            content = self._contents(value, inside, path)
            del self.problems[before:]
            home = public_module_name(str(value.__module__))
            return ["function", home, value.__qualname__, code_digest(value), content]
        name = _type_name(value)
        if isinstance(value, type | types.ModuleType):
            return [name, value.__name__]
        if isinstance(value, Tensor):
            return [name, HIDDEN_TENSOR]
        if isinstance(value, torch.nn.Module):
            return [name]
        kept = attributes_of(value)
        inside = _plain_part(value) if kept is None else [kept.attributes, kept.items]
        before = len(self.problems)
        content = self._contents(value, inside, path)
        del self.problems[before:]
        return [name, content]

    def _contents(self, owner: object, value: object, path: str) -> Json:
        if id(owner) in self._known:
            return "seen"
        self._known[id(owner)] = -1
        self._alive.append(owner)
        try:
            return self.write(value, path)
        finally:
            del self._known[id(owner)]


HIDDEN_TENSOR: Json = {"$tensor": None}
"""Marks an opaque leaf that holds a tensor: no description can give it its values back."""


def opaque_tensor(tensor: Tensor) -> Json:
    """Return what stands for a tensor that can't be rebuilt."""
    return {
        "$opaque": [type(tensor).__qualname__, str(tensor.dtype), list(tensor.shape), HIDDEN_TENSOR]
    }


def _text_of(value: object) -> str:
    try:
        return repr(value)
    except Exception as error:  # noqa: BLE001 - the user's __repr__, or a chain without end
        return type(error).__name__


def _loadable(thing: Any, path: str) -> str:
    """Return the name of a class or function, if loading could ever be allowed to go by it.

    Otherwise what was proven when it was logged would be refused when it is loaded.
    """
    name = reference(thing)
    try:
        check_module_name(name, path, Trust())
    except UntrustedCheckpointError as error:
        raise NotReferableError(f"{name} is nothing that a checkpoint may refer to") from error
    return name


def _failed(path: str, error: Exception) -> UnstorableError:
    return UnstorableError(path, f"can't be looked at: {type(error).__name__}: {error}.")


def _type_name(value: object) -> str:
    return f"{public_module_name(type(value).__module__)}.{type(value).__qualname__}"


def _may_hold_tensor(value: object) -> bool:
    """Return whether a tensor or array of numbers is somewhere in nested containers."""
    pending, seen = [value], set[int]()
    while pending:
        part = pending.pop()
        if id(part) in seen:
            continue
        seen.add(id(part))
        if isinstance(part, Tensor) or (isinstance(part, np.ndarray) and part.dtype.kind != "O"):
            return True
        if isinstance(part, dict):
            pending.extend(part.values())
        elif isinstance(part, (list, tuple, set, frozenset, deque)):
            pending.extend(part)
        elif isinstance(part, np.ndarray):
            pending.extend(part.ravel().tolist())
    return False


def _plain_part(value: Any) -> Any:
    """Return the number, text or items inside an object of a class that extends a builtin one."""
    if isinstance(value, dict):
        return [dict.copy(value), getattr(value, "__dict__", None)]
    bases: tuple[Any, ...] = (int, float, complex, str, bytes, list, tuple, set, frozenset)
    for base in bases:
        if isinstance(value, base):
            return [base(value), getattr(value, "__dict__", None)]
    return getattr(value, "__dict__", None)


def _advice(value: object, path: str, error: NotReferableError) -> str:
    what = "a function" if callable(value) and not isinstance(value, type) else "of a class"
    return (
        f"{path}: is {what} that can't be found by name: {error}. You can: define it at the top "
        "level of a module; make the model with tracker.reconstruct_with(factory, …); or load the "
        "weights into an instance, with checkpoint.load_state_dict()."
    )
