"""What trainers put onto a model while it trains, and that is no part of it.

Hugging Face's Accelerate replaces ``forward`` for mixed precision, Transformers and PEFT switch
activation checkpointing on and let embeddings require gradients: as attributes and hooks that are
closures, which nothing could rebuild, and which whoever trains the model again puts on again.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import nn

from tracker.architecture import lightning_ties

_CHECKPOINTING = "gradient_checkpointing"
_CHECKPOINTING_FUNCTION = "_gradient_checkpointing_func"
_MIXED_PRECISION = ("forward", "_original_forward")
_HANDLES = ("_require_grads_hooks", "_require_grads_hook")
_HOOKS = ("make_inputs_require_grad", "make_inputs_require_grads")
_LIBRARIES = ("transformers", "peft")

_PutBack = Callable[[], object]


@contextmanager
def taken_off(model: nn.Module) -> Iterator[None]:
    """Take them off a model while the block runs; then the model is as it was.

    Example:
        >>> model.gradient_checkpointing_enable()
        >>> with taken_off(model):
        ...     description = describe(model)
    """
    undo: list[_PutBack] = []
    try:
        for module in model.modules():
            if _has_aid(module):
                _take_off(module, undo)
        yield
    finally:
        for put_back in reversed(undo):
            put_back()


def _has_aid(module: nn.Module) -> bool:
    known = module.__dict__
    return (
        lightning_ties.has_ties(module)
        or _CHECKPOINTING_FUNCTION in known
        or "_original_forward" in known
        or any(name in known for name in _HANDLES)
        or any(map(_is_aid, module._forward_hooks.values()))
    )


def _take_off(module: nn.Module, undo: list[_PutBack]) -> None:
    attributes = module.__dict__
    undo.append(functools.partial(_replace, attributes, dict(attributes)))
    if lightning_ties.has_ties(module):
        lightning_ties.cut(attributes)
    if "_original_forward" in attributes:
        for name in _MIXED_PRECISION:
            attributes.pop(name, None)
    if attributes.pop(_CHECKPOINTING_FUNCTION, None) is not None:
        _switch_off(module)
    for name in _HANDLES:
        attributes.pop(name, None)
    hooks = module._forward_hooks
    if any(map(_is_aid, hooks.values())):
        undo.append(functools.partial(_replace, hooks, dict(hooks)))
        for number in [number for number, hook in hooks.items() if _is_aid(hook)]:
            del hooks[number]


def _switch_off(module: nn.Module) -> None:
    """Leave the switch as the constructor leaves it: off, and where the class has it, there."""
    if hasattr(type(module), _CHECKPOINTING):
        module.__dict__.pop(_CHECKPOINTING, None)
    elif _CHECKPOINTING in module.__dict__:
        module.__dict__[_CHECKPOINTING] = False


def _is_aid(hook: object) -> bool:
    name = getattr(hook, "__qualname__", "").rpartition(".")[2]
    library = (getattr(hook, "__module__", None) or "").partition(".")[0]
    return name in _HOOKS and library in _LIBRARIES


def _replace(mapping: dict[Any, Any], before: dict[Any, Any]) -> None:
    # In place, and in the order that it had: others hold this very mapping.
    mapping.clear()
    mapping.update(before)
