"""Makes the model that the command line names: ``package.module:factory`` and arguments as JSON."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING, Any

from tracker.errors import InvalidArgumentError

if TYPE_CHECKING:
    from torch import nn


def make_model(name: str, arguments: str | None) -> nn.Module:
    """Return what a class or function makes.

    Args:
        name: ``package.module:name``; it is imported and called, as its own user asks for.
        arguments: JSON: an object of keyword arguments or a list of positional ones, or None.

    Raises:
        InvalidArgumentError: There is no such thing, it fails, or it makes no module.
    """
    from torch import nn

    positional, keywords = _arguments(arguments)
    factory = _factory(name)
    try:
        made = factory(*positional, **keywords)
    except Exception as error:
        raise InvalidArgumentError(
            f"{name} fails with the arguments {arguments or '()'}: {type(error).__name__}: {error}"
        ) from error
    if not isinstance(made, nn.Module):
        raise InvalidArgumentError(
            f"{name} makes a {type(made).__name__}; expected a torch.nn.Module."
        )
    return made


def _factory(name: str) -> Any:
    module_name, _, path = name.partition(":")
    if not module_name or not path:
        raise InvalidArgumentError(f"{name!r}: expected package.module:Class, with a colon.")
    try:
        found: Any = importlib.import_module(module_name)
        for part in path.split("."):
            found = getattr(found, part)
    except (ImportError, AttributeError, ValueError) as error:
        raise InvalidArgumentError(
            f"{name} can't be imported: {error}. Modules are looked for in the working directory "
            "and where Python finds them."
        ) from error
    if not callable(found):
        raise InvalidArgumentError(f"{name} is a {type(found).__name__}, which can't be called.")
    return found


def _arguments(text: str | None) -> tuple[list[Any], dict[str, Any]]:
    try:
        value = json.loads(text) if text is not None else {}
    except ValueError as error:
        raise InvalidArgumentError(f"The model's arguments are no JSON: {error}.") from error
    if isinstance(value, dict):
        return [], value
    if isinstance(value, list):
        return value, {}
    raise InvalidArgumentError(
        f"The model's arguments are {text}; expected an object of keyword arguments such as "
        '{"hidden": 64}, or a list of positional ones.'
    )
