"""Arguments: everything that people hand to constructors."""

from __future__ import annotations

import argparse
import collections
import datetime
import decimal
import enum
import fractions
import functools
import math
import operator
import pathlib
import re
import types
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corpus.case import Case, floats


class Taking(nn.Module):
    """Keeps its arguments as they are; every module among them is a child."""

    def __init__(self, *values: Any, **named: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.values = values
        self.named = named

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Activated(nn.Module):
    def __init__(self, act: Callable[[Tensor], Tensor], norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.layer, self.act, self.norm = nn.Linear(4, 4), act, norm(4)

    def forward(self, x: Tensor) -> Tensor:
        return self.act(self.norm(self.layer(x)))


class Kind(enum.Enum):
    SMALL = "small"
    LARGE = "large"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Parts(enum.Flag):
    HEAD = 1
    BODY = 2


class Size(NamedTuple):
    height: int
    width: int = 2


Old = collections.namedtuple("Old", "a b")


@dataclass
class Options:
    width: int = 4
    names: list[str] = field(default_factory=list)
    inner: Options | None = None


@dataclass(frozen=True, slots=True)
class FrozenOptions:
    size: Size
    act: Callable[[Tensor], Tensor] = F.gelu


class Config:
    """A config object as they are written by hand."""

    def __init__(self, **values: Any) -> None:
        self.__dict__.update(values)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Config) and vars(self) == vars(other)


class AttributeDict(dict[str, Any]):
    __getattr__ = dict.__getitem__


class Slotted:
    __slots__ = ("first", "second")

    def __init__(self, first: int, second: Any) -> None:
        self.first, self.second = first, second


def squared_relu(x: Tensor) -> Tensor:
    return F.relu(x) ** 2


def scaled(factor: float, x: Tensor) -> Tensor:
    return factor * x


class Callable3:
    """An object that is called like a function."""

    def __init__(self, factor: float) -> None:
        self.factor = factor

    def __call__(self, x: Tensor) -> Tensor:
        return self.factor * x

    def method(self, x: Tensor) -> Tensor:
        return self.factor + x

    @staticmethod
    def static(x: Tensor) -> Tensor:
        return -x

    @classmethod
    def from_nothing(cls, x: Tensor) -> Tensor:
        return x.abs()


class MutatesLater(nn.Module):
    def __init__(self, sizes: list[int], options: dict[str, int]) -> None:
        super().__init__()
        self.layers = nn.Sequential(*(nn.Linear(4, 4) for _ in sizes))
        self.width = options["width"]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)


def mutated_after() -> nn.Module:
    sizes, options = [1, 2], {"width": 4}
    model = MutatesLater(sizes, options)
    sizes.append(3)
    options["width"] = 5
    return model


class Consumes(nn.Module):
    """Eats its argument while constructing."""

    def __init__(self, config: dict[str, int], numbers: Iterator[int]) -> None:
        super().__init__()
        self.layer = nn.Linear(4, config.pop("hidden"))
        self.rest = config
        self.numbers = list(numbers)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class TensorTaking(nn.Module):
    def __init__(self, weight: Tensor, table: np.ndarray[Any, Any]) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.register_buffer("table", torch.from_numpy(table))
        self.mean = float(weight.mean())

    def forward(self, x: Tensor) -> Tensor:
        return x @ self.weight + self.table


class Embedded(nn.Module):
    """Takes modules in containers, and one of them twice."""

    def __init__(self, blocks: list[nn.Module], named: dict[str, nn.Module], **more: Any) -> None:
        super().__init__()
        self.blocks, self.named, self.more = nn.ModuleList(blocks), nn.ModuleDict(named), more

    def forward(self, x: Tensor) -> Tensor:
        for block in [*self.blocks, *self.named.values()]:
            x = block(x)
        return x


def module_arguments() -> nn.Module:
    shared = nn.Linear(4, 4)
    return Embedded([shared, nn.ReLU(), shared], {"last": shared}, classes=[nn.Linear, nn.ReLU])


def omega() -> nn.Module:
    from omegaconf import OmegaConf

    config = OmegaConf.create({"width": 4, "names": ["a", "b"], "inner": {"rate": 0.1}})
    config.copy_of = "${width}"
    return Taking(config)


def transformers_config() -> nn.Module:
    from transformers import BertConfig

    return Taking(BertConfig(hidden_size=8, num_attention_heads=2))


def cyclic() -> nn.Module:
    knot: dict[str, Any] = {"name": "knot"}
    knot["self"] = [knot]
    return Taking(knot)


def shared_argument() -> nn.Module:
    inner = [1, 2]
    return Taking({"a": inner, "b": inner}, inner)


def values() -> dict[str, tuple[Any, ...]]:
    """Return arguments by the name of their case."""
    handwritten = Config(width=4, kinds=[Kind.SMALL], inner=Config(rate=0.5))
    return {
        "plain values": (1, 2.5, -0.0, 1e400, math.nan, 3 + 4j, True, None, "text", b"bytes", ...),
        "large numbers": (2**100, -(2**63), 1e-323, 0.1 + 0.2),
        "odd texts": ("", "ünï\n\t\0", "\ud800", "$tensor", "a:b"),
        "containers": (
            [1, (2, [3, {4: {5}}])],
            frozenset({1}),
            {(1, 2): "pair", None: 0},
            range(3),
        ),
        "odd keys": ({1: "a", "1": "b", False: "c", 2.5: "d", (1, "x"): "e"}, {"$type": 1}),
        "ordered, default, counter, deque": (
            collections.OrderedDict(b=1, a=2),
            collections.defaultdict(list, a=[1]),
            collections.Counter("aab"),
            collections.deque([1, 2], maxlen=3),
        ),
        "enums": (Kind.LARGE, Level.HIGH, Parts.HEAD | Parts.BODY, [Kind.SMALL]),
        "named tuples": (Size(1), Old(1, b=Size(2, 3))),
        "dataclasses": (Options(inner=Options(width=2)), FrozenOptions(Size(3), squared_relu)),
        "dtypes, devices, layouts": (
            torch.float16,
            torch.device("cpu"),
            torch.strided,
            torch.channels_last,
            torch.Size([1, 2]),
        ),
        "tensors": (torch.ones(2), torch.arange(3), torch.tensor(2.5, dtype=torch.float64)),
        "tensor in containers": ({"a": [torch.ones(2)]}, (torch.zeros(1),)),
        "numpy": (np.arange(3), np.float32(1.5), np.int64(3), np.dtype("float32"), np.bool_(True)),
        "numpy texts and records": (np.array(["a", "bc"]), np.zeros(2, dtype=[("x", "i4")])),
        "paths": (pathlib.Path("a/b"), pathlib.PurePosixPath("/tmp/x")),
        "times and numbers": (
            datetime.date(2026, 1, 2),
            datetime.timedelta(seconds=3),
            decimal.Decimal("1.10"),
            fractions.Fraction(1, 3),
            uuid.UUID(int=5),
        ),
        "pattern and slice": (re.compile("a+", re.I), slice(1, None, 2)),
        "namespaces": (argparse.Namespace(width=4, names=["a"]), types.SimpleNamespace(a=1)),
        "handwritten config": (handwritten,),
        "attribute dict": (AttributeDict(width=4, inner=AttributeDict(a=1)),),
        "object with slots": (Slotted(1, [Slotted(2, None)]),),
        "classes": (nn.ReLU, Taking, int, dict, Kind),
        "functions": (F.relu, torch.tanh, squared_relu, math.sqrt, len, operator.add),
        "methods": (Callable3(2.0).method, Callable3.static, Callable3.from_nothing),
        "callable object": (Callable3(3.0),),
        "partials": (partial(F.leaky_relu, negative_slope=0.2), partial(scaled, 2.0)),
        "partial of a class": (partial(nn.LayerNorm, eps=1e-6), partial(partial(int, "1"), base=2)),
        "getters": (operator.itemgetter(1), operator.attrgetter("a.b")),
        "generic aliases": (list[int], dict[str, Any], int | None),
        "generator": (torch.Generator().manual_seed(3),),
    }


def cases() -> Iterator[Case]:
    x = floats(2, 4)
    for name, given in values().items():
        yield Case(f"argument: {name}", partial(Taking, *given), x)
    yield Case(
        "argument: functions that are called", partial(Activated, squared_relu, nn.LayerNorm), x
    )
    yield Case(
        "argument: partials that are called",
        partial(Activated, partial(F.elu, alpha=0.5), partial(nn.GroupNorm, 2)),
        x,
    )
    yield Case(
        "argument: lambda", partial(Activated, lambda t: t * 2, nn.Identity), x, refused=True
    )
    yield Case("argument: bound method", partial(Activated, Callable3(2.0).method, nn.LayerNorm), x)
    yield Case("argument: lru_cache", partial(Taking, functools.lru_cache(squared_relu)), x)
    yield Case("argument: mutated after the call", mutated_after, x)
    yield Case(
        "argument: consumed by the constructor",
        lambda: Consumes({"hidden": 3, "rate": 1}, iter([1, 2, 3])),
        x,
    )
    yield Case(
        "argument: tensor becomes parameter",
        lambda: TensorTaking(torch.randn(4, 3), np.arange(3, dtype=np.float32)),
        x,
    )
    yield Case("argument: modules, one of them twice", module_arguments, x)
    yield Case("argument: OmegaConf", omega, x)
    yield Case("argument: transformers config", transformers_config, x)
    yield Case("argument: cyclic dict", cyclic, x)
    yield Case("argument: one list in two places", shared_argument, x)
    yield Case("argument: the module's own class", lambda: Taking(Taking), x)
