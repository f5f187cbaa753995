"""The state that is saved: a model of a given size, of which all or little changes."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

import torch
from torch import Tensor, nn

TRAINED = 0.01
"""The share of the head, which goes on training when the rest is frozen."""


WIDTHS = {2048: 1000, 1024: 250, 512: 25, 64: 0}
"""Of layers, and from how many megabytes on: larger models have larger tensors, not only more."""


class Net(nn.Module):
    """A stack of feed-forward blocks, and a head with one percent of the bytes."""

    def __init__(self, depth: int, width: int, classes: int) -> None:
        super().__init__()
        sizes = [width, 4 * width] * depth + [width]
        self.backbone = nn.Sequential(*(nn.Linear(a, b) for a, b in itertools.pairwise(sizes)))
        self.head = nn.Linear(width, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.backbone(x))


def make(megabytes: float) -> Net:
    """Return a model of about that size."""
    torch.manual_seed(0)
    width = next(width for width, least in WIDTHS.items() if megabytes >= least)
    depth = max(1, round(megabytes * 1e6 * (1 - TRAINED) / (4 * 8 * width * width)))
    return Net(depth, width, max(1, round(megabytes * 1e6 * TRAINED / (4 * width))))


def size_of(model: nn.Module) -> int:
    return sum(parameter.nbytes for parameter in model.parameters())


@torch.no_grad()
def change(parameters: Iterable[Tensor]) -> None:
    """Do to parameters what a step of training does: change every number, in place."""
    for parameter in parameters:
        parameter.add_(1e-3)
