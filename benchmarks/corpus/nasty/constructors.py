"""Constructors: how their arguments come, and what they do before, after and instead."""

from __future__ import annotations

import copy
import functools
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from corpus.case import Case, floats


class Block(nn.Module):
    """A body for all the constructors below: two layers and an activation."""

    def __init__(self, width: int = 4, hidden: int = 6) -> None:
        super().__init__()
        self.first = nn.Linear(width, hidden)
        self.second = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        return self.second(torch.relu(self.first(x)))


class Varying(Block):
    def __init__(self, *sizes: int, scale: float = 1.0, **options: Any) -> None:
        super().__init__(*sizes[:2])
        self.sizes, self.scale, self.options = sizes, scale, options


class KeywordOnly(Block):
    def __init__(self, *, hidden: int, name: str = "net", flag: bool = False) -> None:
        super().__init__(hidden=hidden)
        self.name, self.flag = name, flag


class PositionalOnly(Block):
    def __init__(self, width: int, hidden: int = 5, /, **rest: int) -> None:
        super().__init__(width, hidden)
        self.rest = rest


class MutableDefault(Block):
    def __init__(self, seen: list[int] = []) -> None:  # noqa: B006 - that is the point
        super().__init__()
        seen.append(len(seen))
        self.count = len(seen)


class LateSuper(nn.Module):
    def __init__(self, width: int) -> None:
        self.__dict__["early"] = {"width": width}
        doubled = width * 2
        super().__init__()
        self.layer = nn.Linear(width, doubled)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class OtherArguments(Block):
    """What it takes is not what it hands on."""

    def __init__(self, config: dict[str, int]) -> None:
        super().__init__(config["width"], hidden=config["width"] * config["factor"])


class Chained(nn.Module):
    """Its constructor constructs others, and itself with other arguments."""

    def __init__(self, depth: int) -> None:
        super().__init__()
        self.block = Block(hidden=depth + 1)
        self.inner = Chained(depth - 1) if depth else nn.Identity()
        _scratch = Chained(0) if depth > 1 else None  # is dropped at once

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(self.block(x))


class OwnNew(Block):
    instances: int = 0

    def __new__(cls, *args: Any, **kwargs: Any) -> OwnNew:
        made = super().__new__(cls)
        cls.instances += 1
        return made


class NewPicksSubclass(Block):
    """The class is a factory: what comes out is a subclass."""

    def __new__(cls, width: int = 4, hidden: int = 6) -> NewPicksSubclass:
        return super().__new__(Wide if hidden > 8 else cls)


class Wide(NewPicksSubclass):
    pass


class Singleton(Block):
    """The second construction returns the first's object."""

    _only: Singleton | None = None

    def __new__(cls, width: int = 4, hidden: int = 6) -> Singleton:
        if cls._only is None:
            cls._only = super().__new__(cls)
        return cls._only


def logged(init: Callable[..., None]) -> Callable[..., None]:
    @functools.wraps(init)
    def wrapper(self: Any, *args: Any, **kwargs: Any) -> None:
        self.__dict__["call"] = (len(args), sorted(kwargs))
        init(self, *args, **kwargs)

    return wrapper


class Wrapped(Block):
    @logged
    def __init__(self, width: int, hidden: int = 7) -> None:
        super().__init__(width, hidden)


@dataclass(eq=False)
class DataclassModule(nn.Module):
    width: int
    hidden: int = 6
    rates: list[float] = field(default_factory=lambda: [0.1, 0.2])

    def __post_init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(self.width, self.hidden)

    def forward(self, x: Tensor) -> Tensor:
        return self.first(x)


@dataclass(eq=False, kw_only=True)
class NewBeforeFields(nn.Module):
    """``__new__`` calls ``nn.Module.__init__``, so that the fields may be modules."""

    body: nn.Module
    width: int = 4

    def __new__(cls, *args: Any, **kwargs: Any) -> NewBeforeFields:
        made = super().__new__(cls)
        nn.Module.__init__(made)
        return made

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Random(Block):
    """Draws its size, so that no second call makes the same."""

    def __init__(self) -> None:
        super().__init__(4, int(torch.randint(3, 1000, ())))


class Noisy(Block):
    """Prints, draws numbers of every generator, and looks at real values."""

    def __init__(self) -> None:
        super().__init__()
        print("constructing")
        import random

        import numpy as np

        self.drawn = bool(torch.rand(()) > 2) or random.random() > 2 or np.random.rand() > 2
        with torch.no_grad():
            self.first.weight /= self.first.weight.norm().item()


class Files(Block):
    """Reads a file that is gone when the model is loaded."""

    def __init__(self, path: str) -> None:
        with open(path) as file:
            super().__init__(hidden=int(file.read()))
        self.path = path


def reading_a_file() -> nn.Module:
    import tempfile

    with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
        file.write("9")
        file.flush()
        return Files(file.name)


class SetsItself(Block):
    """Its state after construction depends on methods called by the user."""

    def __init__(self) -> None:
        super().__init__()
        self.head: nn.Module | None = None

    def add_head(self, classes: int) -> SetsItself:
        self.head = nn.Linear(4, classes)
        return self

    def forward(self, x: Tensor) -> Tensor:
        assert self.head is not None
        return self.head(super().forward(x))


class Alternative(Block):
    @classmethod
    def from_text(cls, text: str) -> Alternative:
        made = cls(*map(int, text.split("x")))
        made.text = text
        return made


def factory(depth: int) -> nn.Module:
    return nn.Sequential(*(Block(hidden=n + 1) for n in range(depth)))


def built_in_steps() -> nn.Module:
    model = nn.Sequential()
    for index in range(4):
        model.add_module(f"block {index}", Block())
    model.append(nn.ReLU())
    model.extend([nn.Identity(), Block()])
    del model[2]
    return model


def replaced_head() -> nn.Module:
    model = Block()
    model.second = nn.Sequential(nn.Dropout(0.1), nn.Linear(6, 3))
    return model


def changed_attributes() -> nn.Module:
    model = Varying(4, 6, scale=2.0, tag="a")
    model.scale, model.options["tag"], model.extra = 0.5, "b", {"since": "later"}
    return model


def deleted_child() -> nn.Module:
    model = Chained(2)
    del model.inner.inner
    return model


def class_changed() -> nn.Module:
    model = Block()
    model.__class__ = Varying
    return model


def deep_copy() -> nn.Module:
    return copy.deepcopy(KeywordOnly(hidden=5))


def deep_copies() -> nn.Module:
    """What torch's own Transformer does: one layer, copied."""
    block = KeywordOnly(hidden=5)
    return nn.ModuleList([copy.deepcopy(block) for _ in range(3)])


def unpickled() -> nn.Module:
    return pickle.loads(pickle.dumps(KeywordOnly(hidden=5)))


def without_init() -> nn.Module:
    """An object filled by hand, as some libraries' loaders do."""
    made = Block.__new__(Block)
    nn.Module.__init__(made)
    made.first, made.second = nn.Linear(4, 3), nn.Linear(3, 4)
    return made


def constructed_twice() -> nn.Module:
    model = Block(hidden=3)
    model.__init__(hidden=8)  # type: ignore[misc]
    return model


def on_meta_then_empty() -> nn.Module:
    with torch.device("meta"):
        model = Block()
    model = model.to_empty(device="cpu")
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.25)
    return model


def skipped_init() -> nn.Module:
    model = nn.utils.skip_init(nn.Linear, 4, 3)
    nn.init.ones_(model.weight)
    nn.init.zeros_(model.bias)
    return model


def cases() -> Iterator[Case]:
    x = floats(2, 4)
    made: dict[str, Callable[[], nn.Module]] = {
        "*args and **kwargs": partial(Varying, 4, 6, 8, scale=0.5, color="red", depth=3),
        "keyword only": partial(KeywordOnly, hidden=3),
        "positional only": partial(PositionalOnly, 4, hidden=3),
        "mutable default": MutableDefault,
        "late super().__init__()": partial(LateSuper, 4),
        "other arguments to super().__init__()": partial(OtherArguments, {"width": 4, "factor": 3}),
        "constructor calls constructors": partial(Chained, 3),
        "own __new__": partial(OwnNew, 4, hidden=3),
        "__new__ picks a subclass": partial(NewPicksSubclass, hidden=9),
        "__new__ returns a singleton": partial(Singleton, hidden=3),
        "__init__ wrapped with functools.wraps": partial(Wrapped, 4, hidden=3),
        "dataclass, super().__init__() in __post_init__": partial(DataclassModule, 4, rates=[1.0]),
        "dataclass, nn.Module.__init__ in __new__": partial(NewBeforeFields, body=Block()),
        "random size": Random,
        "prints, draws, looks at values": Noisy,
        "reads a file that is gone": reading_a_file,
        "head added by a method": lambda: SetsItself().add_head(3),
        "alternative constructor": lambda: Alternative.from_text("4x8"),
        "factory function": lambda: factory(3),
        "Sequential changed step by step": built_in_steps,
        "head replaced": replaced_head,
        "attributes changed after construction": changed_attributes,
        "child deleted": deleted_child,
        "__class__ assigned": class_changed,
        "deepcopy": deep_copy,
        "deepcopies of one block": deep_copies,
        "unpickled": unpickled,
        "__new__ without __init__": without_init,
        "__init__ called twice": constructed_twice,
        "meta device, then to_empty": on_meta_then_empty,
        "skip_init": skipped_init,
    }
    for name, make in made.items():
        yield Case(name, make, None if name == "deepcopies of one block" else x)
    for name, make in (
        ("one call", partial(Varying, 4, 6, a=1)),
        ("a factory", lambda: factory(2)),
    ):
        yield Case(f"made before import tracker, by {name}", make, x, observed=False)
