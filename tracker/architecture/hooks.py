"""The hooks of a module as JSON, and back."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrizations
from torch.utils.hooks import RemovableHandle

from tracker.architecture.distribution import is_function_of_distribution
from tracker.architecture.reader import Reader
from tracker.architecture.writer import Writer
from tracker.errors import FormatError
from tracker.types import Json

HOOKS = (
    "_forward_hooks",
    "_forward_pre_hooks",
    "_backward_hooks",
    "_backward_pre_hooks",
    "_state_dict_hooks",
    "_state_dict_pre_hooks",
    "_load_state_dict_pre_hooks",
    "_load_state_dict_post_hooks",
)
_FLAGS = {
    "_forward_hooks": ("_forward_hooks_with_kwargs", "_forward_hooks_always_called"),
    "_forward_pre_hooks": ("_forward_pre_hooks_with_kwargs",),
}
_WRAPPED = "_load_state_dict_pre_hooks"
"""Torch wraps hooks of this kind in an object that may bind the module."""

REINSTALLED = {"transformers.utils.output_capturing": "_output_capturing_hooks_installed"}
"""Modules of libraries that hang hooks on a model when it first runs, and by which attribute they
know that they did. Without either the model is as it was constructed, and they do it again."""

_WEIGHT_NORM_HOOK = "weight_norm.<locals>._weight_norm_compat_hook"


def describe_hooks(module: nn.Module, writer: Writer, path: str) -> dict[str, Json]:
    """Return the hooks by the attribute that holds them, each ``[value, flags]``."""
    found: dict[str, Json] = {}
    for name in HOOKS:
        hooks = {k: hook for k, hook in vars(module).get(name, {}).items() if _is_lasting(hook)}
        if not hooks:
            continue
        where = f"{path}.{name}" if path else name
        if name == _WRAPPED:
            found[name] = [
                [_function(hook.__wrapped__, writer, where), [hook.with_module]]
                for hook in hooks.values()
            ]
        else:
            flags = [getattr(module, flag) for flag in _FLAGS.get(name, ())]
            found[name] = [
                [writer.write(hook, where), [key in flag for flag in flags]]
                for key, hook in hooks.items()
            ]
    return found


def has_lasting(attributes: dict[str, Any]) -> bool:
    """Return whether a module, of which these are the attributes, has hooks to be described."""
    return any(_is_lasting(hook) for name in HOOKS for hook in attributes[name].values())


def _is_lasting(hook: Any) -> bool:
    function = getattr(hook, "hook", hook)  # of those that torch wraps
    return getattr(hook, "__module__", None) not in REINSTALLED and not (
        is_function_of_distribution(function)
    )


def _function(hook: Any, writer: Writer, path: str) -> Json:
    if (
        getattr(hook, "__module__", None) == parametrizations.__name__
        and getattr(hook, "__qualname__", None) == _WEIGHT_NORM_HOOK
    ):
        # The function that lets old checkpoints of weight_norm be loaded; only torch can make it.
        return {"$weight_norm_hook": hook.__closure__[0].cell_contents}
    return writer.write(hook, path)


def put_hooks(module: nn.Module, hooks: dict[str, Any], reader: Reader, path: str) -> None:
    """Give a module the hooks that were described, and no others.

    Raises:
        FormatError: It is not what `describe_hooks` writes.
        UntrustedCheckpointError: A function is none that a model may refer to.
    """
    for name in HOOKS:
        getattr(module, name).clear()
    for name, entries in hooks.items():
        if name not in HOOKS:
            raise FormatError(f"{path}: unknown kind of hook {name!r}.")
        for value, flags in entries:
            if name == _WRAPPED:
                _put_wrapped(module, value, flags, reader, f"{path}.hooks.{name}")
                continue
            registry = getattr(module, name)
            key = RemovableHandle(registry).id
            registry[key] = reader.read(value, f"{path}.hooks.{name}")
            for flag, is_set in zip(_FLAGS.get(name, ()), flags, strict=True):
                if is_set:
                    getattr(module, flag)[key] = True


def _put_wrapped(
    module: nn.Module, value: Json, flags: list[Any], reader: Reader, path: str
) -> None:
    if isinstance(value, dict) and "$weight_norm_hook" in value:
        hook = _weight_norm_hook(value["$weight_norm_hook"], path)
    else:
        hook = reader.read(value, path)
    register: Any = module._register_load_state_dict_pre_hook
    register(hook, with_module=flags == [True])


def _weight_norm_hook(name: Json, path: str) -> Any:
    if not isinstance(name, str) or not name.isidentifier():
        raise FormatError(f"{path}: {name!r} can't be the name of a tensor with weight norm.")
    other = nn.Module()
    other.register_parameter(name, nn.Parameter(torch.ones(1, 1)))
    parametrizations.weight_norm(other, name)
    wrapped: Any = next(iter(other._load_state_dict_pre_hooks.values()))
    return wrapped.__wrapped__
