"""Observes the construction of modules and keeps the arguments.

``nn.Module.__new__`` sees the exact arguments of the outermost constructor before any ``__init__``
runs, for every class and without a decorator. ``nn.Module.__init__`` then tells a construction from
a copy, which is made by ``__new__`` alone. What is kept of the arguments is in `keeping`.
"""

from __future__ import annotations

import functools
import weakref
from collections.abc import Callable
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from tracker import settings
from tracker.architecture.keeping import keep_arguments, learn_torch
from tracker.errors import InvalidArgumentError


@dataclass(frozen=True, slots=True)
class Call:
    """A call that made a module: the class, or the factory, and the arguments kept of it."""

    cls: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class _Made(weakref.ref[Any]):
    """A weak reference to a module, with the call that made it."""

    __slots__ = ("args", "cls", "key", "kwargs")
    key: int
    cls: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


_made: dict[int, _Made] = {}
_initialised: set[int] = set()


def install(module: Any) -> None:
    """Start observing; ``module`` is the freshly imported ``torch.nn.modules.module``."""
    base: type = module.Module
    if not settings.observe() or "__new__" in vars(base):
        return
    learn_torch()

    def __new__(cls: type, *args: Any, **kwargs: Any) -> Any:
        following = super(base, cls).__new__  # type: ignore[arg-type]
        made = (
            object.__new__(cls) if following is object.__new__ else following(cls, *args, **kwargs)
        )
        # A class whose own __new__ hands no arguments on has hidden them from us.
        if args or kwargs or cls.__new__ is __new__:
            _observe(made, cls, args, kwargs)
        return made

    original = base.__init__  # type: ignore[misc]

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        if id(self) in _made:
            _initialised.add(id(self))
        original(self, *args, **kwargs)

    base.__new__ = __new__  # type: ignore[assignment]
    base.__init__ = __init__  # type: ignore[misc]


def _observe(made: Any, cls: type, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
    try:
        kept = keep_arguments(args, kwargs)
    except Exception:  # noqa: BLE001 - an odd argument must not break the user's constructor
        return
    _enter(made, Call(cls, *kept))


def _enter(made: Any, call: Call) -> None:
    entry = _Made(made, _forget)
    entry.cls, entry.args, entry.kwargs = call.cls, call.args, call.kwargs
    entry.key = key = id(made)
    _made[key] = entry


def observe_factory(
    factory: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    """Call ``factory`` and note that its result is made by this call, not by its constructor.

    Raises:
        InvalidArgumentError: The factory is no function that another process finds by its name, or
            what it returned is no module.
    """
    from torch import nn

    from tracker.architecture.references import NotReferableError, reference

    advice = "Define a function at the top level of a module that makes the model and returns it."
    if not isinstance(factory, FunctionType):
        raise InvalidArgumentError(
            f"factory is a {type(factory).__name__}; expected a function. {advice}"
        )
    try:
        reference(factory)
    except NotReferableError as error:
        raise InvalidArgumentError(
            f"The factory {factory.__qualname__} can't be found by name: {error}. {advice}"
        ) from error
    learn_torch()
    kept = keep_arguments(args, kwargs)
    made = factory(*args, **kwargs)
    if not isinstance(made, nn.Module):
        raise InvalidArgumentError(
            f"The factory {factory.__qualname__} returned a {type(made).__name__}, not a "
            "torch.nn.Module."
        )
    _enter(made, Call(factory, *kept))
    _initialised.add(id(made))
    return made


def _forget(entry: _Made) -> None:
    _made.pop(entry.key, None)
    _initialised.discard(entry.key)


def observed_call(model: object) -> Call | None:
    """Return the call that constructed ``model``, or None if it was not observed.

    Example:
        >>> observed_call(torch.nn.Linear(3, 4)).args
        (3, 4)
    """
    found = _made.get(id(model))
    if found is None or found() is not model or id(model) not in _initialised:
        return None
    return Call(found.cls, found.args, found.kwargs)
