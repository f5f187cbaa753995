"""scikit-learn's handwritten digits: 1,797 real images of 8 by 8 pixels, always split the same."""

from __future__ import annotations

from typing import NamedTuple

import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.nn import functional


class Split(NamedTuple):
    """Images as float32 ``(n, 1, 8, 8)`` in 0..1, and their labels as int64 ``(n,)``."""

    images: Tensor
    labels: Tensor


def digits() -> dict[str, Split]:
    """Return the splits ``train`` (1,197 images), ``val`` (300) and ``test`` (300)."""
    data = load_digits()
    images = torch.tensor(data.images, dtype=torch.float32).unsqueeze(1) / 16
    labels = torch.tensor(data.target, dtype=torch.int64)
    order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0))
    bounds = {"train": order[:1197], "val": order[1197:1497], "test": order[1497:]}
    return {name: Split(images[chosen], labels[chosen]) for name, chosen in bounds.items()}


@torch.no_grad()
def evaluate(model: nn.Module, split: Split) -> tuple[float, float]:
    """Return mean cross-entropy and accuracy of a model in eval mode."""
    logits = model(split.images)
    loss = functional.cross_entropy(logits, split.labels).item()
    return loss, (logits.argmax(1) == split.labels).float().mean().item()
