"""What can be seen of an object from outside: its attributes, or enough to compare it by."""

from __future__ import annotations

import contextlib
import types
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from blake3 import blake3

_STATE_METHODS = ("__reduce__", "__reduce_ex__", "__getstate__")


@dataclass(frozen=True, slots=True)
class Kept:
    """An object of some class as its attributes were when it was looked at.

    Attributes:
        cls: Its class.
        attributes: Its attributes, those in slots included.
        items: What it holds as a list or tuple, its pairs as a dict; None if it is none of these.
    """

    cls: type
    attributes: dict[str, Any]
    items: list[Any] | None = None


def attributes_of(value: Any) -> Kept | None:
    """Return an object's whole state as attributes and items, or None if it keeps more inside."""
    kind = type(value)
    base: Any = container_base(kind)
    if not _is_plain_class(kind, base):
        return None
    names = _slots(kind)
    own = _dict_of(value)
    if own is None and base is object and not names:
        return None
    attributes = dict(own or {})
    for name, place in names.items():
        # An empty slot raises.
        with contextlib.suppress(AttributeError):
            attributes[name] = place.__get__(value)
    items: list[Any] | None = None
    if base is not object:
        # Of the base, not of the class: what it answers itself may differ from what it holds.
        holds = base.items(value) if issubclass(base, dict) else base.__iter__(value)
        items = list(holds)
    return Kept(kind, attributes, items)


def container_base(kind: type) -> type:
    """Return the builtin container that a class extends, or object."""
    bases: tuple[type, ...] = (tuple, list, OrderedDict, dict)
    return next((base for base in bases if issubclass(kind, base)), object)


def set_attribute(thing: object, name: str, value: object) -> None:
    """Set one attribute without running any code of the object's class.

    ``object.__setattr__`` would call properties, and would change the class of the object if the
    name is ``__class__``.

    Raises:
        AttributeError: The object has no place for it.
    """
    for cls in type(thing).__mro__:
        place = vars(cls).get(name)
        if isinstance(place, types.MemberDescriptorType):
            place.__set__(thing, value)
            return
    vars(thing)[name] = value


def _is_plain_class(kind: type, base: type) -> bool:
    """Return whether the attributes and items of an instance are all that it consists of."""
    for name in _STATE_METHODS:
        method = getattr(kind, name, None)
        # Frozen dataclasses with slots have a __getstate__ that adds nothing.
        if method is not getattr(base, name, None) and (
            getattr(method, "__module__", None) != "dataclasses"
        ):
            return False
    return base is tuple or kind.__new__ in (base.__new__, object.__new__) or _is_generic(kind)


def _is_generic(kind: type) -> bool:
    """Return whether ``__new__`` is only that of typing.Generic or Protocol."""
    return getattr(kind.__new__, "__module__", None) == "typing"


def _dict_of(value: Any) -> dict[str, Any] | None:
    """Return an object's ``__dict__`` without running any code of its class."""
    try:
        found: dict[str, Any] = object.__getattribute__(value, "__dict__")
    except AttributeError:
        return None
    return found


def _slots(kind: type) -> dict[str, types.MemberDescriptorType]:
    """Return the attributes that live in slots, by their real (mangled) names."""
    return {
        name: place
        for cls in kind.__mro__
        if "__slots__" in vars(cls)
        for name, place in vars(cls).items()
        if isinstance(place, types.MemberDescriptorType)
    }


def is_filled(cell: types.CellType) -> bool:
    """Return whether a closure's variable has a value."""
    try:
        cell.cell_contents  # noqa: B018 - an empty cell raises
    except ValueError:
        return False
    return True


def code_digest(function: types.FunctionType) -> str:
    """Return a short digest of what a function does, wherever in a file it stands."""
    return blake3(_code_bytes(function.__code__)).hexdigest()[:16]


def _code_bytes(code: types.CodeType) -> bytes:
    constants = [_code_bytes(c) if isinstance(c, types.CodeType) else c for c in code.co_consts]
    return repr((code.co_code, constants, code.co_names, code.co_varnames)).encode()
