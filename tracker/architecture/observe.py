"""Observes the construction of modules and keeps the arguments.

``nn.Module.__new__`` sees the exact arguments of the outermost constructor before any ``__init__``
runs, for every class and without a decorator. ``nn.Module.__init__`` then tells a construction from
a copy, which is made by ``__new__`` alone. What is kept of the arguments is in `keeping`.
"""

from __future__ import annotations

import functools
import weakref
from dataclasses import dataclass
from typing import Any

from tracker import settings
from tracker.architecture.keeping import keep_arguments, learn_torch


@dataclass(frozen=True, slots=True)
class Call:
    """A constructor call as it was made: its class and kept arguments."""

    cls: type
    args: tuple[Any, ...]
    kwargs: dict[str, Any]


class _Made(weakref.ref[Any]):
    """A weak reference to a module, with the call that made it."""

    __slots__ = ("args", "cls", "key", "kwargs")
    key: int
    cls: type
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
    entry = _Made(made, _forget)
    try:
        entry.args, entry.kwargs = keep_arguments(args, kwargs)
    except Exception:  # noqa: BLE001 - an odd argument must not break the user's constructor
        return
    entry.cls = cls
    entry.key = key = id(made)
    _made[key] = entry


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
