"""Wrappers around a model that are no part of it."""

from __future__ import annotations

from torch import nn


def unwrapped(model: nn.Module) -> nn.Module:
    """Return the model inside of ``torch.compile``, DataParallel and DistributedDataParallel.

    Example:
        >>> unwrapped(nn.DataParallel(nn.Linear(1, 2)))
        Linear(in_features=1, out_features=2, bias=True)
    """
    while True:
        # Not getattr: a model may answer for any name.
        compiled = model._modules.get("_orig_mod")
        if isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        elif isinstance(compiled, nn.Module):
            model = compiled
        else:
            return model
