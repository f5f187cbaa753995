"""A tiny training run, and the comparison of everything that it changes."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import tracker
from tracker import Checkpoint

from .models import Net


def log(model: nn.Module | None = None, **arguments: Any) -> Checkpoint:
    """Log a checkpoint and return it."""
    return tracker.log_checkpoint(model or Net(hidden=4, depth=2), **arguments).result()


def train_epoch(model: nn.Module, optimizer: Any, epoch: int) -> float:
    """Train on data that depends on the epoch alone; return the loss."""
    generator = torch.Generator().manual_seed(epoch)
    x = torch.randn(8, 4, generator=generator)
    y = torch.randn(8, 2, generator=generator)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(model(x), y)
        loss.backward()
        return loss

    return float(optimizer.step(closure))


def state_of(*objects: Any) -> list[Any]:
    """Return a copy of the states of live objects."""
    return [copy.deepcopy(each.state_dict()) for each in objects]


def same(a: Any, b: Any) -> bool:
    """Return whether two nestings are equal, bit for bit, tensors and arrays included."""
    if isinstance(a, Tensor) or isinstance(b, Tensor):
        return (
            isinstance(a, Tensor)
            and isinstance(b, Tensor)
            and a.dtype == b.dtype
            and torch.equal(torch.nan_to_num(a.detach()), torch.nan_to_num(b.detach()))
        )
    if isinstance(a, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b)
    if isinstance(a, dict):
        return type(a) is type(b) and list(a) == list(b) and all(same(a[k], b[k]) for k in a)
    if isinstance(a, (list, tuple)):
        return (
            type(a) is type(b)
            and len(a) == len(b)
            and all(same(x, y) for x, y in zip(a, b, strict=True))
        )
    return type(a) is type(b) and bool(a == b or a != a)
