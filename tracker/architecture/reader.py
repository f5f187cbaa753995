"""Turns the JSON of attribute values back into values, within what `trust` allows."""

from __future__ import annotations

import contextlib
import enum
import functools
import logging
import types
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from tracker.architecture.containers import empty_container, fill_container
from tracker.architecture.imports import GIVEN, Imports, own_reference
from tracker.architecture.inspection import container_base, set_attribute
from tracker.architecture.library_values import READERS, read_library_value
from tracker.architecture.references import public_module_name
from tracker.architecture.trust import (
    MAX_REFERENCE,
    Trust,
    check_module_name,
    check_narrowed,
    is_fixed_function,
    is_trusted_function,
    is_trusted_object,
    refuse,
)
from tracker.errors import FormatError, TrackerError
from tracker.types import Json
from tracker.values import decode

_MALFORMED = (
    TypeError,
    ValueError,
    LookupError,
    AttributeError,
    ArithmeticError,
    AssertionError,
    SyntaxError,
    RuntimeError,
    MemoryError,
)
"""What a description raises that `Writer` did not write."""

_FUNCTIONS = (types.FunctionType, types.BuiltinFunctionType)


class Reader:
    """Turns the JSON of a `Writer` back into values, within what `Imports.trust` allows."""

    def __init__(
        self,
        objects: list[Json],
        imports: Imports,
        module: Callable[[Json, str], torch.nn.Module],
        tensor: Callable[[Json, str], Tensor],
    ) -> None:
        self._objects = objects
        self._imports = imports
        self._module = module
        self._tensor = tensor
        self._built: dict[int, Any] = {}
        self._readers: dict[str, Callable[[Any, str], Any]] = {
            "$module": self._module,
            "$class": self._class,
            "$function": self.function,
            "$enum": self._enum,
            "$partial": self._partial,
            "$method": self._method,
            "$classmethod": self._classmethod,
            "$bound": self._bound,
            "$weakref": lambda payload, path: weakref.ref(self.read(payload, path)),
            "$logger": self._logger,
            "$object": self._object,
        }

    def read(self, data: Json, path: str) -> Any:
        """Return the value that was written as ``data``.

        Raises:
            UntrustedCheckpointError: It refers to something that loading must not touch.
            ClassNotFoundError: A class is not importable here.
            FormatError: It is not what `Writer` writes.
        """
        return decode(data, path, tensor=self._tensor, special=self._special)

    def _special(self, tag: str, payload: Any, path: str) -> Any:
        if tag in READERS:
            return read_library_value(tag, payload, path, self.read)
        reader = self._readers.get(tag)
        if reader is None:
            raise FormatError(f"{path}: the manifest holds a value of the unknown kind {tag!r}.")
        return reader(payload, path)

    def _logger(self, name: Any, path: str) -> logging.Logger:
        return logging.getLogger(_text(name, path))

    def _class(self, name: Any, path: str) -> type:
        found = self._imports.find(_text(name, path), path)
        if not isinstance(found, type):
            refuse(path, name, "it is not a class")
        # A constructor may call what it is given, so a class is trusted like a function.
        if issubclass(found, torch.nn.Module | Tensor):
            self._check_own(found, name, path, lambda own, trust: True)
        else:
            self._check_own(found, name, path, is_trusted_function)
        return found

    def tensor_class(self, name: Any, path: str) -> type[Tensor]:
        """Return a subclass of Tensor, of a package that may make objects of its own."""
        if not is_trusted_object(_text(name, path), self._imports.trust):
            refuse(path, name, "it is not of the model's own package")
        found = self._imports.find(name, path)
        if not isinstance(found, type) or not issubclass(found, Tensor):
            refuse(path, name, "it is not a class of tensors")
        self._check_own(found, name, path, is_trusted_object)
        return found

    def function(self, name: Any, path: str) -> Any:
        """Return the function of a name, if a model may refer to it."""
        if not is_trusted_function(_text(name, path), self._imports.trust):
            refuse(path, name, "it is not in the list of functions that a model may refer to")
        found = self._imports.find(name, path, function=True)
        if not isinstance(found, _FUNCTIONS):
            refuse(path, name, "it is not a function")
        if isinstance(found, types.FunctionType) or not is_fixed_function(name):
            self._check_own(found, name, path, is_trusted_function)
        return found

    def _check_own(
        self, found: Any, name: str, path: str, trusted: Callable[[str, Trust], bool]
    ) -> None:
        """Refuse what is not trusted under the name of the module that it is really of."""
        if self._imports.found.get(name) == GIVEN:
            return
        own = own_reference(found, name)
        check_module_name(own, path, self._imports.trust)
        if not trusted(own, self._imports.trust):
            refuse(path, name, f"{own!r} is not of the model's own modules")

    def _enum(self, payload: Any, path: str) -> Any:
        name, value = payload
        cls = self._plain_class(name, path)
        if not issubclass(cls, enum.Enum):
            refuse(path, name, "it is not an enum")
        return _member(cls, self.read(value, path), path)

    def _partial(self, payload: Any, path: str) -> Any:
        function, args, keywords = (self.read(part, path) for part in payload)
        if not callable(function):
            raise FormatError(f"{path}: a partial of {type(function).__name__}, not a function.")
        return functools.partial(function, *args, **keywords)

    def _method(self, payload: Any, path: str) -> Any:
        tag = next(iter(payload[0]), None) if isinstance(payload[0], dict) else None
        if tag not in ("$module", "$object"):
            raise FormatError(f"{path}: a method must be of a module or object, not of {tag}.")
        owner, name = self.read(payload[0], path), _text(payload[1], path)
        found = (vars(cls)[name] for cls in type(owner).__mro__ if name in vars(cls))
        method = next(found, None)
        if not isinstance(method, types.FunctionType):
            raise FormatError(f"{path}: {type(owner).__qualname__} has no method {name!r}.")
        self._check_method(method, path)
        return types.MethodType(method, owner)

    def _check_method(self, method: Any, path: str) -> None:
        own = f"{public_module_name(str(method.__module__))}:{method.__qualname__}"
        check_narrowed(own, path, self._imports.trust)
        if not is_trusted_function(own, self._imports.trust):
            refuse(path, own, "a method of another module than the model's own is no part of it")

    def _classmethod(self, payload: Any, path: str) -> Any:
        owner, name = self._class(payload[0], path), _text(payload[1], path)
        found = (vars(cls)[name] for cls in owner.__mro__ if name in vars(cls))
        method = next(found, None)
        if not isinstance(method, classmethod):
            raise FormatError(f"{path}: {owner.__qualname__} has no classmethod {name!r}.")
        self._check_method(method.__func__, path)
        return types.MethodType(method.__func__, owner)

    def _bound(self, payload: Any, path: str) -> Any:
        tag = next(iter(payload[1]), None) if isinstance(payload[1], dict) else None
        if tag not in ("$module", "$object"):
            raise FormatError(f"{path}: a method must be of a module or object, not of {tag}.")
        function = self.read(payload[0], path)
        if not isinstance(function, (types.FunctionType, functools.partial)):
            raise FormatError(f"{path}: a {type(function).__name__} can't be bound as a method.")
        return types.MethodType(function, self.read(payload[1], path))

    def _plain_class(self, name: Any, path: str) -> type:
        if not is_trusted_object(_text(name, path), self._imports.trust):
            refuse(path, name, "it is not of the model's own package")
        found = self._imports.find(name, path)
        if not isinstance(found, type):
            refuse(path, name, "it is not a class")
        if issubclass(found, torch.nn.Module | Tensor):
            refuse(path, name, "a module or tensor is no plain object")
        self._check_own(found, name, path, is_trusted_object)
        if hasattr(found, "__del__"):
            refuse(path, name, "its objects do something when they are dropped")
        return found

    def _object(self, index: Any, path: str) -> Any:
        if type(index) is not int or not 0 <= index < len(self._objects):
            raise FormatError(f"{path}: refers to object {index!r} of {len(self._objects)}.")
        if index in self._built:
            return self._built[index]
        entry = self._objects[index]
        if isinstance(entry, dict) and "value" in entry:
            return self._container(index, entry["value"], path)
        if not isinstance(entry, dict) or not isinstance(entry.get("attributes"), dict):
            raise FormatError(f"{path}: object {index} has no attributes.")
        cls = self._plain_class(entry.get("class"), path)
        return self._fill(index, cls, entry, path)

    def _container(self, index: int, value: Json, path: str) -> Any:
        made = empty_container(value)
        if made is None:
            raise FormatError(f"{path}: object {index} is no container.")
        self._built[index] = made
        made = self._built[index] = fill_container(made, self.read(value, path))
        return made

    def _fill(self, index: int, cls: type, entry: dict[str, Any], path: str) -> Any:
        """Make the object without calling anything of its class, then set its attributes."""
        base: Any = container_base(cls)
        made: Any
        if base is tuple:
            items = self.read(entry.get("items"), path)
            made = self._built[index] = tuple.__new__(cls, items)
        else:
            made = self._built[index] = base.__new__(cls)
            items = self.read(entry.get("items"), path)
            if base is list:
                list.extend(made, items)
            elif issubclass(base, dict):
                for key, item in items:
                    base.__setitem__(made, key, item)
        for key, value in entry["attributes"].items():
            set_attribute(made, key, self.read(value, f"{path}.{key}"))
        return made


def _member(cls: type[enum.Enum], value: Any, path: str) -> enum.Enum:
    """Return the member of an enum that has a value, without calling ``_missing_`` of its class."""
    for member in cls._member_map_.values():
        if member._value_ == value:
            return member
    if issubclass(cls, enum.Flag) and "_missing_" not in _own_names(cls):
        return cls(value)  # several flags in one
    raise FormatError(f"{path}: {cls.__qualname__} has no member of the stored value.")


def _own_names(cls: type) -> set[str]:
    """Return what a class has beside that which Python's own enums have."""
    own = (base for base in cls.__mro__ if base.__module__ not in ("enum", "builtins"))
    return {name for base in own for name in vars(base)}


def _text(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise FormatError(f"{path}: a name must be text, not {type(value).__name__}.")
    if len(value) > MAX_REFERENCE:
        raise FormatError(f"{path}: a name of {len(value)} characters is no name.")
    return value


@contextlib.contextmanager
def malformed(what: str) -> Iterator[None]:
    """Turn what a malformed description raises into FormatError."""
    try:
        yield
    except TrackerError:
        raise
    except _MALFORMED as error:
        raise FormatError(
            f"{what}: the manifest's description can't be read: {type(error).__name__}: {error}"
        ) from error
