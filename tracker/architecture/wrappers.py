"""Wrappers around a model, or around a part of it, that are no part of it."""

from __future__ import annotations

from torch import nn

_WRAPPED = ("_orig_mod", "_checkpoint_wrapped_module")
"""The child in which ``torch.compile`` keeps the module that it was given, and that in which
``checkpoint_wrapper`` of torch.distributed does, by which activations are computed again."""


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside of ``torch.compile``, DataParallel and DistributedDataParallel.

    Example:
        >>> unwrapped(nn.DataParallel(nn.Linear(1, 2)))
        Linear(in_features=1, out_features=2, bias=True)
    """
    while True:
        inner = without_compiler(model)
        if isinstance(inner, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            inner = inner.module
        if inner is model:
            return model
        model = inner


def without_compiler(module: nn.Module) -> nn.Module:
    """Return the module that ``torch.compile`` was given, or the module itself.

    The same for a module whose activations are computed again.
    """
    while True:
        # Not getattr: a model may answer for any name.
        inner = next((module._modules[n] for n in _WRAPPED if n in module._modules), None)
        if inner is None:
            return module
        module = inner


def plain_key(key: str) -> str:
    """Return a key of a state_dict as it is when no part of the model is compiled or wrapped.

    Example:
        >>> plain_key("layers._orig_mod.0.weight")
        'layers.0.weight'
    """
    if not any(name in key for name in _WRAPPED):
        return key
    return ".".join(part for part in key.split(".") if part not in _WRAPPED)
