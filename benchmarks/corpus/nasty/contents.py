"""Contents: what modules hold beside tensors and children."""

from __future__ import annotations

import functools
import itertools
import logging
import threading
import weakref
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from corpus.case import Case, floats
from corpus.nasty.constructors import Block


class Lambda(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def doubled(x: Tensor) -> Tensor:
    return x * 2


class LambdaInside(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.steps = nn.Sequential(nn.Linear(4, 4), Lambda(lambda x: x * factor), nn.ReLU())

    def forward(self, x: Tensor) -> Tensor:
        return self.steps(x)


class Closure(nn.Module):
    def __init__(self, rate: float) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

        def scale(x: Tensor) -> Tensor:
            return self.layer(x) * rate

        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale(x)


class BoundMethods(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.run = self._fast
        self.table = {"fast": self._fast, "slow": self._slow, "layer": self.layer.forward}

    def _fast(self, x: Tensor) -> Tensor:
        return self.layer(x)

    def _slow(self, x: Tensor) -> Tensor:
        return -self.layer(x)

    def forward(self, x: Tensor) -> Tensor:
        return self.run(x)


class Registry(nn.Module):
    """Holds modules where torch does not see them, and refers back to its parent."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = [nn.Linear(4, 4)]
        self.child = Block()
        self.child.__dict__["parent"] = self
        self.order = {"first": self.child, "list": [self.child.first]}
        self.weak = weakref.ref(self.child)

    def forward(self, x: Tensor) -> Tensor:
        return self.hidden[0](self.order["first"](x))


class Tensors(nn.Module):
    """Tensors in plain attributes, alone and in containers, and names for weights."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.mean = torch.randn(4)
        self.tables = {"a": [torch.randn(2), torch.arange(3)], "b": (torch.ones(1),)}
        self.weights = [self.layer.weight]
        self.by_name = {"w": self.layer.weight}
        self.__dict__["alias"] = self.layer.bias
        self.transposed = self.layer.weight.detach().T

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) + self.mean + self.alias + x @ self.transposed


class Helper:
    __slots__ = ("owner", "rate", "state")

    def __init__(self, owner: nn.Module, rate: float) -> None:
        self.owner, self.rate, self.state = owner, rate, {"steps": [1]}


class WithHelper(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.helper = Helper(self.layer, 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return self.helper.owner(x) * self.helper.rate


class Resources(nn.Module):
    """Things that no checkpoint can hold."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.lock = threading.Lock()
        self.log = logging.getLogger("corpus")
        self.cache = functools.lru_cache(doubled)
        self.counter = itertools.count(3)
        self.numbers = (n for n in range(3))

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Callables(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.steps: list[Any] = [F.relu, doubled, partial(F.pad, pad=(0, 1)), torch.sigmoid]
        self.kinds = {"linear": nn.Linear, "act": nn.ReLU}

    def forward(self, x: Tensor) -> Tensor:
        for step in self.steps:
            x = step(x)
        return x


class OddKeys(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        names = ["", "a b", "ключ", "weight", "_parameter", "0", "forward_", "x" * 300]
        self.blocks = nn.ModuleDict({name or "empty": nn.Linear(4, 4) for name in names})
        self.scales = nn.ParameterDict({"ä/ö": torch.ones(4), "1": torch.zeros(4)})

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks.values():
            x = block(x)
        return x * self.scales["ä/ö"]


class Grown(nn.Module):
    """Parameters in nested containers, a list that is no list, children that are None."""

    def __init__(self) -> None:
        super().__init__()
        self.lists = nn.ModuleList([nn.ModuleList([Block()]), nn.ModuleDict({"a": Block()})])
        self.values = nn.ParameterList([torch.ones(4), torch.zeros(4), "text", 3])
        self.nested = nn.ParameterDict({"inner": nn.ParameterDict({"x": torch.ones(4)})})
        self.nothing: nn.Module | None = None
        self.register_module("absent", None)
        self.register_parameter("missing", None)

    def forward(self, x: Tensor) -> Tensor:
        return self.lists[1]["a"](self.lists[0][0](x)) + self.values[0] * self.nested["inner"]["x"]


def scale_output(module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output * 3


def shift_input(module: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    return (args[0] + 1,)


def with_keywords(module: nn.Module, args: Any, kwargs: Any, output: Tensor) -> Tensor:
    return output - 1


def backward_hook(module: nn.Module, grad_input: Any, grad_output: Any) -> None:
    return None


def hooked() -> nn.Module:
    model = Block()
    model.first.register_forward_hook(scale_output)
    model.register_forward_pre_hook(shift_input)
    model.second.register_forward_hook(with_keywords, with_kwargs=True)
    model.second.register_forward_hook(scale_output, prepend=True, always_call=True)
    model.second.register_full_backward_hook(backward_hook)
    return model


def hooked_by_partial() -> nn.Module:
    model = Block()
    model.first.register_forward_hook(partial(_scale_by, 0.5))
    return model


def _scale_by(factor: float, module: nn.Module, args: Any, output: Tensor) -> Tensor:
    return output * factor


def hooked_by_method() -> nn.Module:
    model = HookedByMethod()
    return model


class HookedByMethod(Block):
    def __init__(self) -> None:
        super().__init__()
        self.seen: dict[str, int] = {}
        self.first.register_forward_hook(self._count)

    def _count(self, module: nn.Module, args: Any, output: Tensor) -> None:
        self.seen["calls"] = self.seen.get("calls", 0) + 1


def hooked_by_lambda() -> nn.Module:
    model = Block()
    model.first.register_forward_hook(lambda module, args, output: output + 1)
    return model


class HookInside(Block):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.first.register_forward_hook(lambda module, args, output: output * factor)


def shared_blocks() -> nn.Module:
    block = Block()
    return nn.Sequential(block, nn.ReLU(), block, nn.Sequential(block))


def deep() -> nn.Module:
    return nn.Sequential(*(nn.Identity() for _ in range(3000)), nn.Linear(4, 4))


def nested_deep() -> nn.Module:
    model: nn.Module = nn.Linear(4, 4)
    for _ in range(150):
        model = nn.Sequential(model)
    return model


def cases() -> Iterator[Case]:
    x = floats(2, 4)
    made: dict[str, Callable[[], nn.Module]] = {
        "Lambda module with a function": lambda: nn.Sequential(nn.Linear(4, 4), Lambda(doubled)),
        "Lambda module with F.relu": lambda: nn.Sequential(nn.Linear(4, 4), Lambda(F.relu)),
        "lambda made in __init__": partial(LambdaInside, 0.5),
        "closure over self": partial(Closure, 0.5),
        "bound methods": BoundMethods,
        "modules in lists, reference to the parent": Registry,
        "tensors in attributes": Tensors,
        "helper object with slots": WithHelper,
        "locks, loggers, generators": Resources,
        "functions in lists": Callables,
        "odd keys in containers": OddKeys,
        "nested containers": Grown,
        "hooks: functions of a module": hooked,
        "hooks: partial": hooked_by_partial,
        "hooks: bound method": hooked_by_method,
        "hooks: lambda made in __init__": partial(HookInside, 2.0),
        "one block in three places": shared_blocks,
        "3000 layers": deep,
        "nested 150 deep": nested_deep,
    }
    for name, make in made.items():
        yield Case(name, make, x)
    outside = lambda: nn.Sequential(nn.Linear(4, 4), Lambda(lambda t: -t))  # noqa: E731
    yield Case("Lambda module with a lambda", outside, x, refused=True)
    yield Case("hooks: lambda", hooked_by_lambda, x, refused=True)
