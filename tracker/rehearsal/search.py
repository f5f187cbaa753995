"""Finds what a training step can reach: in its variables, in globals, in attributes of objects.

Looked into are functions, methods, objects, containers and iterators of the user's own code and of
torch's data loading. Libraries are left alone, as are modules of Python: what they keep is theirs.
"""

from __future__ import annotations

import functools
import gc
import operator
import sys
import types
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn
from torch.utils.data import DataLoader

from tracker.rehearsal.loaders import is_loader_iterator
from tracker.rehearsal.places import buffer_thing, cell_thing, slot_thing
from tracker.rehearsal.things import Thing, as_thing, iterator_thing, loader_thing

_MAX_VISITED = 20_000
_MAX_ITEMS = 1_000
_FOREIGN = frozenset({"mlflow", "numpy", "sqlalchemy", "tracker", "wrapt", "torch"})
_OF_TORCH = ("torch.utils.data",)
_FIXED = (type, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, nn.Module)
"""What a step does not exchange."""

_NOT_ATTRIBUTES = frozenset({"_parameters", "_buffers", "_modules", "training"})


def reachable(step: Callable[[], Any], model: nn.Module, given: Mapping[str, Any]) -> list[Thing]:
    """Return everything with a state that a step can reach and that was not given.

    Args:
        step: The function that does one step.
        model: The model; of it those things that no state_dict has.
        given: The other objects that were given, by name.
    """
    return _Search(model, given).everything(step)


class _Search:
    """What was found so far, and what is still to be looked into."""

    def __init__(self, model: nn.Module, given: Mapping[str, Any]) -> None:
        self._model = model
        self._given = given
        own = [*model.parameters(), *model.buffers()]
        self._shared = frozenset(map(id, own))
        self._persistent = model.state_dict().keys()
        self._seen: set[int] = {id(model), *map(id, given.values()), *self._shared}
        self._pending: deque[tuple[Any, str]] = deque()
        self._found: list[Thing] = []

    def everything(self, step: Callable[[], Any]) -> list[Thing]:
        """Look into the model, then into the step."""
        for path, module in self._model.named_modules():
            self._seen.add(id(module))
            self._look_into_module(module, path)
        for name, part in self._given.items():
            if not isinstance(part, nn.Module):  # whose state is all that it has
                self._look_into_object(part, name)
        self._push(step, "step")
        while self._pending and len(self._seen) < _MAX_VISITED:
            value, name = self._pending.popleft()
            self._visit(value, name)
        return self._found

    def _look_into_module(self, module: nn.Module, path: str) -> None:
        start = f"model.{path}." if path else "model."
        inside = f"{path}." if path else ""
        for key, buffer in module._buffers.items():
            if inside + key not in self._persistent and (
                buffer is None or id(buffer) in self._shared
            ):
                self._found.append(buffer_thing(module, key, start + key))
        for key, value in vars(module).items():
            if key not in _NOT_ATTRIBUTES and not _is_of_hooks(key):
                self._slot(vars(module), key, value, start + key)

    def _push(self, value: Any, name: str) -> None:
        if id(value) not in self._seen:
            self._seen.add(id(value))
            self._pending.append((value, name))

    def _slot(self, holder: Any, key: str, value: Any, name: str) -> None:
        """Note a place that may come to hold another value; look into what it holds."""
        if id(value) not in self._shared and not isinstance(value, _FIXED):
            self._found.append(slot_thing(holder, key, name))
        self._push(value, name)

    def _visit(self, value: Any, name: str) -> None:
        if isinstance(value, (type, types.ModuleType, str, bytes, int, float, Tensor)):
            return
        thing = None if is_loader_iterator(value) else as_thing(value, name, self._shared)
        if thing is not None:
            self._found.append(thing)
        if isinstance(value, nn.Module):
            self._look_into_other_module(value, name)
        elif isinstance(value, types.FunctionType):
            self._look_into_function(value)
        elif isinstance(value, types.MethodType):
            self._push(value.__func__, name)
            self._push(value.__self__, getattr(value.__self__, "__name__", "self"))
        elif isinstance(value, functools.partial):
            self._push(value.func, name)
            self._look_into_items(value.args, name)
            self._look_into_items(value.keywords, name)
        elif isinstance(value, (dict, list, tuple, set, frozenset, deque)):
            self._look_into_items(value, name)
        elif thing is None:
            self._look_into_object(value, name)

    def _look_into_other_module(self, module: nn.Module, name: str) -> None:
        for key, value in vars(module).items():
            if key not in _NOT_ATTRIBUTES and not _is_of_hooks(key):
                self._slot(vars(module), key, value, f"{name}.{key}")

    def _look_into_function(self, function: types.FunctionType) -> None:
        if _is_foreign(function.__module__):
            return
        code = function.__code__
        for key, cell in zip(code.co_freevars, function.__closure__ or (), strict=True):
            try:
                value = cell.cell_contents
            except ValueError:  # a variable that has no value yet
                continue
            if id(value) not in self._shared and not isinstance(value, _FIXED):
                self._found.append(cell_thing(cell, key))
            self._push(value, key)
        for key in _names_used(code):
            if key in function.__globals__:
                value = function.__globals__[key]
                if not isinstance(value, types.ModuleType):
                    self._slot(function.__globals__, key, value, key)
                elif not _is_foreign(value.__name__):
                    self._look_into_home(value, code)
        for value in (*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()):
            self._push(value, f"a default of {function.__name__}")

    def _look_into_home(self, module: types.ModuleType, code: types.CodeType) -> None:
        """Look into what a function uses of a module: ``helpers.generator``."""
        for key in _names_used(code):
            if key in vars(module) and not isinstance(vars(module)[key], types.ModuleType):
                self._slot(vars(module), key, vars(module)[key], f"{module.__name__}.{key}")

    def _look_into_items(self, value: Any, name: str) -> None:
        if len(value) > _MAX_ITEMS:
            return
        items: Iterable[tuple[Any, Any]] = (
            list(value.items()) if isinstance(value, dict) else enumerate(value)
        )
        for key, each in items:
            self._push(each, f"{name}[{key!r}]")

    def _look_into_object(self, value: Any, name: str) -> None:
        if isinstance(value, Iterator):
            self._look_into_iterator(value, name)
            return
        kind = type(value).__module__
        if _is_foreign(kind) and not kind.startswith(_OF_TORCH):
            return
        attributes = getattr(value, "__dict__", None)
        if isinstance(attributes, dict):
            of_loader = isinstance(value, DataLoader) or kind.startswith(_OF_TORCH)
            for key, each in list(attributes.items()):
                if of_loader:
                    self._push(each, f"{name}.{key}")
                else:
                    self._slot(attributes, key, each, f"{name}.{key}")

    def _look_into_iterator(self, iterator: Any, name: str) -> None:
        """Look for what an iterator draws from: ``enumerate``, ``cycle``, a generator function."""
        if is_loader_iterator(iterator):
            self._found.append(loader_thing(iterator, name))
            self._push(getattr(iterator, "_dataset", None), f"{name}.dataset")
            return
        self._found.append(iterator_thing(iterator, name, functools.partial(_position, iterator)))
        for each in gc.get_referents(iterator):
            if isinstance(each, (Iterator, DataLoader)) or hasattr(each, "state_dict"):
                self._push(each, name)


def _position(iterator: Any) -> str:
    """Return what can be told of where an iterator is."""
    frame = getattr(iterator, "gi_frame", None)
    if frame is not None:
        plain = {k: v for k, v in frame.f_locals.items() if isinstance(v, (int, float, str))}
        return f"{frame.f_lasti} {plain!r}"
    inner = [each for each in gc.get_referents(iterator) if isinstance(each, int)]
    return f"{operator.length_hint(iterator, -1)} {inner!r} {iterator!r}"


def _names_used(code: types.CodeType) -> set[str]:
    """Return the names of globals and attributes that a function uses, and functions within it."""
    inner = (each for each in code.co_consts if isinstance(each, types.CodeType))
    return {*code.co_names, *(name for each in inner for name in _names_used(each))}


def _is_foreign(module: str | None) -> bool:
    top = (module or "").partition(".")[0]
    if top in _FOREIGN or top in sys.stdlib_module_names - {"__main__"}:
        return True
    file = getattr(sys.modules.get(top), "__file__", None) or ""
    return "site-packages" in file


def _is_of_hooks(key: str) -> bool:
    return key.endswith("_hooks") or "_hooks_" in key or key == "_non_persistent_buffers_set"
