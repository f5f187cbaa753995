"""Modules that the tests describe and rebuild: each shows one thing that real models do."""

from __future__ import annotations

import argparse
import enum
import functools
from collections import namedtuple
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils import parametrizations


class Net(nn.Module):
    """A model with parameters and defaults."""

    def __init__(self, hidden: int = 4, depth: int = 1, *, act: Any = F.relu, bias: bool = True):
        super().__init__()
        self.hidden = hidden
        self.act = act
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden, bias=bias) for _ in range(depth))
        self.head = nn.Linear(hidden, 2)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = self.act(layer(x))
        return self.head(x)


class Tied(nn.Module):
    """One weight in two places, one submodule under two names."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(10, 4, padding_idx=0)
        self.shared = nn.Linear(4, 4)
        self.again = self.shared
        self.head = nn.Linear(4, 10, bias=False)
        self.head.weight = self.embedding.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.again(self.shared(self.embedding(x))))


class Buffers(nn.Module):
    """Buffers of every kind, an empty parameter and child, a tensor and array as attributes."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("kept", torch.arange(3.0))
        self.register_buffer("dropped", torch.arange(4), persistent=False)
        self.register_buffer("nothing", None)
        self.register_parameter("no_bias", None)
        self.register_module("no_child", None)
        self.plain = torch.tensor([1.5, 2.5])
        self.table = np.arange(6, dtype=np.int16).reshape(2, 3)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.kept.sum() + self.dropped.sum() + self.plain.sum()


class Containers(nn.Module):
    """Every container of torch.nn."""

    def __init__(self) -> None:
        super().__init__()
        self.scales = nn.ParameterList([torch.ones(2), torch.zeros(2)])
        self.named = nn.ParameterDict({"b": torch.ones(1), "a": torch.zeros(1)})
        self.blocks = nn.ModuleDict({"z": nn.Linear(2, 2), "a": nn.ReLU()})
        self.steps = nn.Sequential(nn.Linear(2, 2), nn.Dropout(0.1))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks.values():
            x = block(x)
        return self.steps(x) * self.scales[0] + self.scales[1] + self.named["b"]


class Mode(enum.Enum):
    FAST = "fast"
    SLOW = "slow"


class Flags(enum.Flag):
    A = enum.auto()
    B = enum.auto()


@dataclass
class Config:
    width: int = 3
    mode: Mode = Mode.FAST
    parts: list[int] = field(default_factory=lambda: [1, 2])


@dataclass(frozen=True, slots=True)
class Frozen:
    width: int = 3


class Slotted:
    __slots__ = ("__secret", "shown")

    def __init__(self, secret: int) -> None:
        self.__secret = secret
        self.shown = 1

    def secret(self) -> int:
        return self.__secret


Point = namedtuple("Point", "x y")


class Size(NamedTuple):
    rows: int
    columns: int


class Configured(nn.Module):
    """A model that keeps its configuration."""

    def __init__(self, config: Any) -> None:
        super().__init__()
        self.config = config
        self.linear = nn.Linear(2, 2)


def double(x: Tensor) -> Tensor:
    return 2 * x


def double_output(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return 2 * output


def double_input(module: nn.Module, args: Any, kwargs: Any) -> Any:
    return (2 * args[0],), kwargs


class Doubler:
    """A callable object."""

    def __init__(self, factor: int = 2) -> None:
        self.factor = factor

    def __call__(self, x: Tensor) -> Tensor:
        return self.factor * x


class Hooked(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.linear.register_forward_hook(double_output)
        self.linear.register_forward_pre_hook(double_input, with_kwargs=True)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(x)


class Anything(nn.Module):
    """Takes any arguments and keeps none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()
        self.count = len(args) + len(kwargs)


class Signature(nn.Module):
    """Every kind of parameter a constructor can have."""

    def __init__(
        self, a: int, b: int = 2, /, c: int = 3, *rest: int, d: int, e: int = 5, **more: int
    ):
        super().__init__()
        self.seen = [a, b, c, list(rest), d, e, more]


class LateInit(nn.Module):
    """Calls super().__init__ after it has done other things."""

    def __init__(self, sizes: list[int]) -> None:
        sizes.append(9)
        total = sum(sizes)
        super().__init__()
        self.linear = nn.Linear(total, 1)


class Wrapper(nn.Module):
    """Takes modules as arguments."""

    def __init__(self, inner: nn.Module, other: nn.Module | None = None) -> None:
        super().__init__()
        self.inner = inner
        self.other = other

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class OwnNew(nn.Module):
    """Has a ``__new__`` that hands no arguments on."""

    def __new__(cls, *args: Any, **kwargs: Any) -> OwnNew:
        return super().__new__(cls)

    def __init__(self, hidden: int = 4) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, 1)


class PassingNew(OwnNew):
    """Has a ``__new__`` that hands its arguments on."""

    def __new__(cls, *args: Any, **kwargs: Any) -> PassingNew:
        return nn.Module.__new__(cls, *args, **kwargs)


class OwnCopy(nn.Module):
    """Copies itself by hand, without ``__init__``."""

    def __init__(self, hidden: int = 4) -> None:
        super().__init__()
        self.linear = nn.Linear(hidden, 1)

    def __deepcopy__(self, memo: Any) -> OwnCopy:
        copied = type(self).__new__(type(self))
        copied.__dict__ = dict(self.__dict__)
        return copied


@dataclass(eq=False)
class DataModule(nn.Module):
    hidden: int = 4

    def __post_init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(self.hidden, 1)


class Factory(nn.Module):
    """Builds itself from a class or function that it is given."""

    def __init__(self, layer: Callable[..., Any], sizes: Iterable[int] = (2,)) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layer(size) for size in sizes)


class OwnMethod(nn.Module):
    """Keeps a bound method, and a child that keeps its parent's."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.run = self.double
        self.act = Doubler(3).__call__

    def double(self, x: Tensor) -> Tensor:
        return 2 * self.linear(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.run(x))


class ExtraState(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def get_extra_state(self) -> dict[str, Any]:
        return {"seen": self.seen, "history": (1, 2)}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


class Parametrized(nn.Module):
    """Parametrizes its layers in its constructor, as people do."""

    def __init__(self, size: int = 3) -> None:
        super().__init__()
        self.new = parametrizations.weight_norm(nn.Linear(size, size))
        self.spectral = parametrizations.spectral_norm(nn.Linear(size, size))
        self.old = nn.utils.spectral_norm(nn.Linear(size, size))

    def forward(self, x: Tensor) -> Tensor:
        return self.old(self.spectral(self.new(x)))


class MyTensor(torch.Tensor):
    """A tensor subclass."""


namespace = argparse.Namespace(hidden=4, sizes=(1, 2))
gelu = functools.partial(F.gelu, approximate="tanh")
