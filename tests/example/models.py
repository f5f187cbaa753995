"""Models whose forward does what a recording has to cope with."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


class Restless(nn.Module):
    """Writes into everything it has, in eval mode too."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 2)
        self.register_buffer("seen", torch.zeros(2))
        self.register_buffer("behind", torch.zeros(2))
        self.register_buffer("grown", torch.zeros(2))
        self.plain = torch.zeros(2)
        self.array = np.zeros(2)
        self.calls = 0
        self.history: list[Any] = [[]]
        self.cache: dict[str, Any] = {"last": None}
        self.names = {"start"}

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.seen += 1
        self.behind.data.add_(1)
        self.grown = torch.cat([self.grown, torch.ones(1)])
        self.plain.mul_(2).add_(1)
        self.array += 1
        self.history[0].append(x)
        self.history.append(self.calls)
        self.cache["last"], self.cache["new"] = x, self.calls
        self.names.add("end")
        self.late = x
        x.zero_()
        return self.linear(x) + self.calls


class Failing(nn.Module):
    """Changes itself and fails."""

    def __init__(self) -> None:
        super().__init__()
        self.dropout = nn.Dropout()
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        raise RuntimeError("the lights went out")


class Random(nn.Module):
    """Drops out in eval mode too, with torch's generator, or with one of others."""

    def __init__(self, source: str = "torch") -> None:
        super().__init__()
        self.source = source

    def forward(self, x: Tensor) -> Tensor:
        if self.source == "torch":
            return nn.functional.dropout(x, 0.5, training=True)
        import random

        return x * random.random() + np.random.rand()


class Unrepeatable(nn.Module):
    """Gives another output each time, whatever is seeded."""

    calls = 0

    def forward(self, x: Tensor) -> Tensor:
        Unrepeatable.calls += 1
        return x + Unrepeatable.calls
