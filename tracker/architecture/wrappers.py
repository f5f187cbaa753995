"""Wrappers around a model, or around a part of it, that are no part of it."""

from __future__ import annotations

from torch import nn

_COMPILED = "_orig_mod"
"""The child in which ``torch.compile`` keeps the module that it was given."""


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
    """Return the module that ``torch.compile`` was given, or the module itself."""
    # Not getattr: a model may answer for any name.
    while _COMPILED in module._modules:
        inner = module._modules[_COMPILED]
        if inner is None:
            break
        module = inner
    return module


def plain_key(key: str) -> str:
    """Return a key of a state_dict as it is when no part of the model is compiled.

    Example:
        >>> plain_key("layers._orig_mod.0.weight")
        'layers.0.weight'
    """
    if _COMPILED not in key:
        return key
    return ".".join(part for part in key.split(".") if part != _COMPILED)
