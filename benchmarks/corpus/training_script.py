"""A training script as people write them: its classes live in ``__main__``.

The corpus runs it as a program, in a directory of its own. Loading happens in another program.
"""

from __future__ import annotations

import enum
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

WIDTH = 4
ACTIVATIONS = {"relu": F.relu, "tanh": torch.tanh}


class Kind(enum.Enum):
    PLAIN = 1
    RESIDUAL = 2


class Shape(NamedTuple):
    width: int = WIDTH
    hidden: int = 6


@dataclass
class Config:
    shape: Shape
    kind: Kind = Kind.PLAIN
    act: str = "relu"


def squared(x: Tensor) -> Tensor:
    return F.relu(x) ** 2


class Block(nn.Module):
    def __init__(self, width: int = WIDTH, act: Callable[[Tensor], Tensor] = squared) -> None:
        super().__init__()
        self.layer, self.act = nn.Linear(width, width), act

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.layer(x))


class Configured(nn.Module):
    def __init__(self, config: Config) -> None:
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(Block(config.shape.width) for _ in range(2))
        self.act = ACTIVATIONS[config.act]

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            y = self.act(block(x))
            x = x + y if self.config.kind is Kind.RESIDUAL else y
        return x


class WithLambda(Block):
    def __init__(self, factor: float) -> None:
        super().__init__(act=lambda x: x * factor)


class Derived(Configured):
    class Head(nn.Linear):
        pass

    def __init__(self, classes: int, **options: int) -> None:
        super().__init__(Config(Shape(), Kind.RESIDUAL))
        self.head = self.Head(WIDTH, classes)
        self.options = options

    def forward(self, x: Tensor) -> Tensor:
        return self.head(super().forward(x))


def main() -> None:
    from corpus import worker

    worker.main(sys.argv[1:])


if __name__ == "__main__":
    main()
