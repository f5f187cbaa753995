"""Values of Python and of libraries that many models hold: a row of writing and reading for each.

Builtin types and functions, annotations (``Optional[int]``), generic types (``Box[int]``),
OmegaConf configs, and the closures that torch's recipe for averaged models gives to
`AveragedModel`.
"""

from __future__ import annotations

import enum
import functools
import inspect
import operator
import pathlib
import re
import sys
import types
import typing
from collections.abc import Callable
from typing import Any, TypeAlias

from tracker.errors import (
    ArchitectureError,
    FormatError,
    TrackerError,
    UntrustedCheckpointError,
)
from tracker.types import Json

Write: TypeAlias = Callable[[object, str], Json]
Read: TypeAlias = Callable[[Json, str], Any]

BUILTINS: dict[str, Any] = {
    thing.__name__: thing
    for thing in (
        type(None),
        *(bool, bytes, complex, dict, float, frozenset, int, list, set, slice, str, tuple, object),
        *(abs, all, any, divmod, len, max, min, pow, round, sorted, sum, zip, range, reversed),
    )
} | {"inspect.Parameter.empty": inspect.Parameter.empty}
"""Builtin types and functions that compute and do nothing else, and the sentinel of signatures."""

_NAMES: dict[Any, str] = {thing: name for name, thing in BUILTINS.items()}


_REFERENCE = re.compile(r"\$\{[\w.\[\]-]*\}")
"""An interpolation of OmegaConf that leads to another value of the config."""

_PLAIN = (str, int, float, bool, bytes, type(None), enum.Enum, pathlib.PurePath)
"""What OmegaConf holds beside dicts and lists."""

_CLOSURES = ("get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "get_swa_multi_avg_fn")
"""Functions of ``torch.optim.swa_utils`` that return a function which averages weights."""

_FORMS: dict[str, Any] = {
    name: form
    for name, form in vars(typing).items()
    if name in typing.__all__ and type(form).__module__ == "typing" and hasattr(form, "__getitem__")
} | {"Any": typing.Any}
"""``Optional``, ``List``, ``Callable`` and their like, which annotations are made of."""


def _is_builtin(value: Any) -> bool:
    return isinstance(value, (type, types.BuiltinFunctionType)) and value in _NAMES


def _write_builtin(value: Any, path: str, write: Write) -> Json:
    return {"$builtin": _NAMES[value]}


def _read_builtin(payload: Any, path: str, read: Read) -> Any:
    if not isinstance(payload, str) or payload not in BUILTINS:
        raise FormatError(f"{path}: {payload!r} is no builtin that a model may hold.")
    return BUILTINS[payload]


def _is_annotation(value: Any) -> bool:
    return _form(value) is not None or isinstance(value, types.UnionType)


def _form(value: Any) -> str | None:
    """Return the name in typing of an annotation's outermost part."""
    if type(value).__module__ != "typing" and value is not typing.Any:
        return None
    for name, form in _FORMS.items():
        if value is form or typing.get_origin(value) is form:
            return name
    alias = getattr(value, "_name", None)
    return alias if isinstance(alias, str) and alias in _FORMS else None


def _write_annotation(value: Any, path: str, write: Write) -> Json:
    name = _form(value) or "|"
    whole = value is _FORMS.get(name)
    return {"$annotation": [name, None if whole else write(tuple(value.__args__), path)]}


def _read_annotation(payload: Any, path: str, read: Read) -> Any:
    name, written = payload
    if name != "|" and name not in _FORMS:
        raise FormatError(f"{path}: typing has no {name!r}.")
    arguments = read(written, path)
    if arguments is None and name != "|":
        return _FORMS[name]
    if not isinstance(arguments, tuple):
        raise FormatError(f"{path}: an annotation has a tuple of arguments.")
    if name == "|":
        return functools.reduce(operator.or_, arguments)
    if name == "Callable":
        given, result = arguments[:-1], arguments[-1]
        return typing.Callable[... if given == (...,) else list(given), result]
    if name == "Optional":
        name = "Union"
    return _FORMS[name][arguments]


def _is_generic(value: Any) -> bool:
    alias = isinstance(value, types.GenericAlias) or type(value).__module__ == "typing"
    return alias and isinstance(getattr(value, "__origin__", None), type)


def _write_generic(value: Any, path: str, write: Write) -> Json:
    return {"$generic": [write(value.__origin__, path), write(tuple(value.__args__), path)]}


def _read_generic(payload: Any, path: str, read: Read) -> Any:
    origin, arguments = (read(part, path) for part in payload)
    if not isinstance(origin, type) or not isinstance(arguments, tuple):
        raise FormatError(f"{path}: a generic type is of a class and a tuple.")
    if origin in BUILTINS.values():
        return types.GenericAlias(origin, arguments)
    subscribe = getattr(origin, "__class_getitem__", None)
    if getattr(subscribe, "__func__", None) is not typing.Generic.__class_getitem__.__func__:  # type: ignore[attr-defined]
        raise FormatError(f"{path}: {origin.__qualname__} is not generic as typing.Generic is.")
    return origin[arguments]  # type: ignore[index]


def _is_closure(value: Any) -> bool:
    return _closure_factory(value) is not None


def _closure_factory(value: Any) -> str | None:
    if not isinstance(value, types.FunctionType) or value.__module__ != "torch.optim.swa_utils":
        return None
    factory = value.__qualname__.partition(".<locals>.")[0]
    return factory if factory in _CLOSURES and factory != value.__qualname__ else None


def _write_closure(value: Any, path: str, write: Write) -> Json:
    inner = inspect.unwrap(value)  # some are decorated with torch.no_grad()
    cells = [cell.cell_contents for cell in inner.__closure__ or ()]
    given = dict(zip(inner.__code__.co_freevars, cells, strict=True))
    return {"$torch_closure": [_closure_factory(value), write(given, path)]}


def _read_closure(payload: Any, path: str, read: Read) -> Any:
    from torch.optim import swa_utils

    factory, given = payload
    if factory not in _CLOSURES:
        raise FormatError(f"{path}: {factory!r} is no function that makes functions of torch.")
    return getattr(swa_utils, factory)(**read(given, path))


def _omegaconf() -> Any:
    """Return the class OmegaConf if it was imported: without it no value can be of it."""
    return getattr(sys.modules.get("omegaconf"), "OmegaConf", None)


def _is_omegaconf(value: Any) -> bool:
    library = _omegaconf()
    return library is not None and bool(library.is_config(value))


def _write_omegaconf(value: Any, path: str, write: Write) -> Json:
    library = _omegaconf()
    content = library.to_container(value, resolve=False)
    flags: list[Json] = [name for name in ("readonly", "struct") if value._get_node_flag(name)]
    return {"$omegaconf": [write(content, path), flags]}


def _read_omegaconf(payload: Any, path: str, read: Read) -> Any:
    try:
        from omegaconf import OmegaConf
    except ImportError as error:
        raise ArchitectureError(
            f"{path}: is an OmegaConf config, and omegaconf is not installed: pip install omegaconf"
        ) from error
    content, flags = payload
    values = read(content, path)
    _check_config(values, path)
    made = OmegaConf.create(values)
    setters = {"readonly": OmegaConf.set_readonly, "struct": OmegaConf.set_struct}
    for flag in flags:
        setters[flag](made, True)
    return made


def _check_config(values: Any, path: str) -> None:
    """Refuse what is more than values: text would be YAML, and a resolver is a call.

    ``${width}`` leads to another value. ``${eval:…}`` calls what the program has registered under
    that name, which is often Python's own eval, as soon as the value is read.
    """
    if not isinstance(values, (dict, list)):
        raise FormatError(f"{path}: a config is a dict or a list.")
    pending: list[Any] = [values]
    while pending:
        value = pending.pop()
        if isinstance(value, dict):
            pending.extend((*value.keys(), *value.values()))
        elif isinstance(value, list):
            pending.extend(value)
        elif isinstance(value, str) and "${" in _REFERENCE.sub("", value):
            raise UntrustedCheckpointError(
                f"{path}: {value[:100]!r} of an OmegaConf config would call a resolver, which a "
                "checkpoint may not. Resolve the config (OmegaConf.resolve) before the model is "
                "made."
            )
        elif isinstance(value, type) or not isinstance(value, _PLAIN):
            raise FormatError(f"{path}: a config holds no {type(value).__qualname__}.")


KINDS: tuple[tuple[Callable[[Any], bool], Callable[[Any, str, Write], Json]], ...] = (
    (_is_annotation, _write_annotation),
    (_is_generic, _write_generic),
    (_is_builtin, _write_builtin),
    (_is_closure, _write_closure),
    (_is_omegaconf, _write_omegaconf),
)
"""Which values a row is for, and how they are written."""

READERS: dict[str, Callable[[Any, str, Read], Any]] = {
    "$annotation": _read_annotation,
    "$generic": _read_generic,
    "$builtin": _read_builtin,
    "$torch_closure": _read_closure,
    "$omegaconf": _read_omegaconf,
}


def read_library_value(tag: str, payload: Any, path: str, read: Read) -> Any:
    """Return the value of one of `READERS`' tags.

    Raises:
        FormatError: It is not what the row writes.
        ArchitectureError: A library is missing here.
    """
    try:
        return READERS[tag](payload, path, read)
    except TrackerError:
        raise
    except Exception as error:
        raise FormatError(f"{path}: {tag} can't be read: {error}") from error
