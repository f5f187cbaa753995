"""The constructor call of a model as people read it, and its arguments as text."""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from torch import nn

from tracker.architecture.generated import named_class
from tracker.architecture.inspection import Kept
from tracker.architecture.keeping import Held, KeptPartial, Lost
from tracker.architecture.observe import Call, observed_call

_MAX_SHOWN_DEPTH = 8
_WIDTH = 200
_UNDECLARED = object()
_COMPARED = (type(None), bool, int, float, str)


@dataclass(frozen=True, slots=True)
class Text:
    """A constructor call for people: as text, and its arguments by name."""

    call: str
    params: dict[str, str] = field(default_factory=dict)


def call_text(model: object) -> Text:
    """Return the observed call as people would write it, with the arguments' names.

    The call shows what was passed; the parameters include the defaults, so that a search for
    ``params.depth = '7'`` finds models that were built with the default too.
    """
    call = observed_call(model)
    if call is None:
        return Text(named_class(model).__qualname__ if isinstance(model, nn.Module) else "")
    bound = _bind(call)
    shown = _shown_call(call, bound, 0)
    if bound is None:
        return Text(shown, _params({f"arg{i}": v for i, v in enumerate(call.args)} | call.kwargs))
    bound.apply_defaults()
    return Text(shown, _params(_flat(bound)))


def _shown_call(call: Call, bound: inspect.BoundArguments | None, depth: int) -> str:
    name = call.cls.__qualname__
    if bound is None:
        return f"{name}({_joined(call.args, call.kwargs, depth)})"
    # With *args the ones before can't be named in a call.
    starred = any(
        p.kind is p.VAR_POSITIONAL and bound.arguments.get(n)
        for n, p in bound.signature.parameters.items()
    )
    shown = (bound.args, bound.kwargs) if starred else ((), _flat(bound))
    return f"{name}({_joined(*shown, depth)})"


def _bind(call: Call) -> inspect.BoundArguments | None:
    try:
        return inspect.signature(call.cls).bind(*call.args, **call.kwargs)
    except (TypeError, ValueError):
        return None


def _flat(bound: inspect.BoundArguments) -> dict[str, Any]:
    """Return the arguments by name; those of ``**kwargs`` under their own."""
    named: dict[str, Any] = {}
    for name, value in bound.arguments.items():
        kind = bound.signature.parameters[name].kind
        if kind is inspect.Parameter.VAR_KEYWORD:
            named.update(value)
        elif kind is not inspect.Parameter.VAR_POSITIONAL or value:
            named[name] = value
    return named


def _params(named: dict[str, Any]) -> dict[str, str]:
    return {k: _storable(v if isinstance(v, str) else _show(v)) for k, v in named.items()}


def _storable(text: str) -> str:
    """Return text with what no database holds (NUL, lone surrogates of odd file names) escaped."""
    return text.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")


def _joined(args: Sequence[Any], kwargs: dict[str, Any], depth: int) -> str:
    parts = [_brief(value, depth) for value in args]
    parts += [f"{key}={_brief(value, depth)}" for key, value in kwargs.items()]
    return ", ".join(parts)


def _brief(value: Any, depth: int) -> str:
    text = _show(value, depth)
    return text if len(text) <= _WIDTH else _shorten(_show(value, depth, whole=False), _WIDTH)


def _show(value: Any, depth: int = 0, *, whole: bool = True) -> str:
    """Return a value as text.

    Args:
        value: What is kept of it.
        depth: How deep it is nested.
        whole: Whether to show attributes of objects that are as their class declares them, and all
            in their order. Else what was chosen comes first, and plain values before others.
    """
    if depth > _MAX_SHOWN_DEPTH:
        return "…"
    if isinstance(value, Held):
        return _show_held(value.target(), depth + 1)
    if isinstance(value, np.ndarray):
        return f"array{list(value.shape)}"
    if isinstance(value, KeptPartial):
        return f"partial({_joined((value.func, *value.args), value.keywords, depth + 1)})"
    if isinstance(value, Kept):
        shown = value.attributes if whole else _told(value)
        inside = ", ".join(f"{k}={_show(v, depth + 1, whole=whole)}" for k, v in shown.items())
        return f"{value.cls.__qualname__}({inside})"
    if isinstance(value, Lost):
        return f"{value.cls.__qualname__}(…)"
    if isinstance(value, type) or inspect.isroutine(value):
        return _name(value)
    if isinstance(value, (list, tuple)):
        inside = ", ".join(_show(item, depth + 1, whole=whole) for item in value)
        return f"[{inside}]" if isinstance(value, list) else f"({inside})"
    if isinstance(value, dict):
        pairs = (f"{k!r}: {_show(v, depth + 1, whole=whole)}" for k, v in value.items())
        return "{" + ", ".join(pairs) + "}"
    return repr(value)


def _told(kept: Kept) -> dict[str, Any]:
    """Return the public attributes of an object that are not as its class declares them.

    A configuration with a hundred attributes is told from another by the few that are left.
    """
    chosen = [
        (name, value)
        for name, value in kept.attributes.items()
        if not name.startswith("_")
        and not _is_same(value, inspect.getattr_static(kept.cls, name, _UNDECLARED))
    ]
    return dict(sorted(chosen, key=lambda pair: type(pair[1]) not in _COMPARED))


def _is_same(value: Any, declared: Any) -> bool:
    return type(value) is type(declared) and type(value) in _COMPARED and value == declared


def _show_held(target: Any, depth: int) -> str:
    if target is None:
        return "…"
    if isinstance(target, np.ndarray):
        return f"array{list(target.shape)}"
    if hasattr(target, "shape"):
        return f"tensor{list(target.shape)}"
    call = observed_call(target)
    return _name(target) if call is None else _shown_call(call, _bind(call), depth)


def _name(value: Any) -> str:
    # A builtin's qualname names a class of torch's insides: _VariableFunctionsClass.relu.
    attribute = "__name__" if inspect.isbuiltin(value) else "__qualname__"
    return str(getattr(value, attribute, type(value).__qualname__))


def _shorten(text: str, width: int) -> str:
    return text if len(text) <= width else text[: width - 1] + "…"
