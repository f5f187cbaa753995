"""Classes: where they are defined, and what they override."""

from __future__ import annotations

import abc
import functools
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, ClassVar, Generic, TypeVar

import torch
from torch import Tensor, nn

from corpus.case import Case, floats
from corpus.nasty.constructors import Block

T = TypeVar("T")


class Outer:
    class Nested(Block):
        class Deeper(Block):
            pass


class Registered(type(nn.Module)):
    """A metaclass that changes what calling the class does."""

    known: ClassVar[dict[str, type]] = {}

    def __new__(mcs, name: str, bases: tuple[type, ...], body: dict[str, Any]) -> Any:
        made = super().__new__(mcs, name, bases, body)
        mcs.known[name] = made
        return made

    def __call__(cls, *args: Any, **kwargs: Any) -> Any:
        made = super().__call__(*args, **kwargs)
        made.after = len(kwargs)
        return made


class WithMetaclass(Block, metaclass=Registered):
    pass


class Abstract(nn.Module, abc.ABC):
    @abc.abstractmethod
    def size(self) -> int: ...


class Concrete(Abstract):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.layer = nn.Linear(width, self.size())

    def size(self) -> int:
        return 3

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Box(nn.Module, Generic[T]):
    def __init__(self, content: T) -> None:
        super().__init__()
        self.content = content
        self.layer = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class Mixin:
    def __init__(self, *args: Any, mixed: int = 1, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.mixed = mixed


class Mixed(Mixin, Block):
    pass


class Properties(nn.Module):
    """Attributes that are computed, checked and hidden."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate
        self.layer = nn.Linear(4, 4)

    @property
    def rate(self) -> float:
        return self._rate

    @rate.setter
    def rate(self, value: float) -> None:
        if not 0 < value < 1:
            raise ValueError("between 0 and 1")
        self._rate = value

    @property
    def broken(self) -> int:
        raise RuntimeError("not before it was fitted")

    @functools.cached_property
    def table(self) -> list[int]:
        return [1, 2, 3]

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.rate


class Delegating(nn.Module):
    """Whatever it does not have, it asks its body for."""

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body

    def __getattr__(self, name: str) -> Any:
        try:
            return super().__getattr__(name)
        except AttributeError:
            return getattr(self.body, name)

    def forward(self, x: Tensor) -> Tensor:
        return self.body(x)


class Counting(nn.Module):
    """Every assignment is counted."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.rate = 0.5

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "training":
            object.__setattr__(self, "assigned", self.__dict__.get("assigned", 0) + 1)
        super().__setattr__(name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x) * self.rate


class Frozen(nn.Module):
    """Refuses any assignment after its construction."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.sealed = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self.__dict__.get("sealed") and name != "training":
            raise AttributeError(f"{name}: this module is sealed")
        super().__setattr__(name, value)

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class GetAttribute(Block):
    def __getattribute__(self, name: str) -> Any:
        if name == "secret":
            return 42
        return super().__getattribute__(name)


class Slots(Block):
    """Slots on a module, beside its ``__dict__``."""

    __slots__ = ("fast",)

    def __init__(self) -> None:
        super().__init__()
        self.fast = [1, 2]


class Sized(nn.Module):
    """Looks empty and equal to everything; has an own state for pickle."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def __len__(self) -> int:
        return 0

    def __bool__(self) -> bool:
        raise RuntimeError("the truth of a module is nobody's business")

    def __eq__(self, other: object) -> bool:
        return True

    def __hash__(self) -> int:
        return 1

    def __getstate__(self) -> dict[str, Any]:
        raise TypeError("not to be pickled")

    def __deepcopy__(self, memo: Any) -> Any:
        raise TypeError("not to be copied")

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class ExtraState(Block):
    def __init__(self) -> None:
        super().__init__()
        self.steps: dict[str, Any] = {}

    def get_extra_state(self) -> Any:
        return {"steps": self.steps, "mean": torch.full((2,), 1.5)}

    def set_extra_state(self, state: Any) -> None:
        self.steps = state["steps"]


def extra_state() -> nn.Module:
    model = ExtraState()
    model.steps = {"seen": 7}
    return model


class OwnStateDict(Block):
    """Adds to its state_dict what is no tensor of it."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 3

    def state_dict(self, *args: Any, **kwargs: Any) -> Any:
        state = super().state_dict(*args, **kwargs)
        state[f"{kwargs.get('prefix', '')}count"] = torch.tensor(self.count)
        return state

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        self.count = int(state.pop(f"{prefix}count", self.count))
        super()._load_from_state_dict(state, prefix, *rest)


class RenamedKeys(Block):
    """Its state_dict has other keys than its parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.register_state_dict_post_hook(_rename)


def _rename(module: nn.Module, state: Any, prefix: str, metadata: Any) -> None:
    for key in [k for k in state if k.startswith(f"{prefix}first.")]:
        state[key.replace("first.", "one.")] = state.pop(key)


def local_class() -> nn.Module:
    class Local(Block):
        pass

    return Local()


def local_class_in_tree() -> nn.Module:
    class Local(Block):
        pass

    return nn.Sequential(Block(), Local())


def class_by_type() -> nn.Module:
    return type("Dynamic", (Block,), {})(4, 5)


def registry(name: str) -> Callable[[type], type]:
    def register(cls: type) -> type:
        _registry[name] = cls
        return cls

    return register


_registry: dict[str, type] = {}


@registry("hidden")
class _Hidden(Block):
    pass


_HiddenAgain = _registry.pop("hidden")
del _Hidden


def renamed_by_decorator(cls: type) -> type:
    @functools.wraps(cls, updated=())
    class Decorated(cls):  # type: ignore[misc, valid-type]
        pass

    return Decorated


@renamed_by_decorator
class ClassDecorator(Block):
    pass


class MonkeyPatched(Block):
    pass


def monkey_patched_forward() -> nn.Module:
    model = MonkeyPatched()
    model.forward = _zero_forward  # type: ignore[method-assign]
    return model


def _zero_forward(x: Tensor) -> Tensor:
    return x * 0


def bound_forward() -> nn.Module:
    """The way of diffusers, accelerate and many papers' code: a method is put on the instance."""
    model = MonkeyPatched()
    model.forward = _other_forward.__get__(model)  # type: ignore[method-assign, attr-defined]
    return model


def _other_forward(self: MonkeyPatched, x: Tensor) -> Tensor:
    return self.first(x)


def cases() -> Iterator[Case]:
    x = floats(2, 4)
    made: dict[str, Callable[[], nn.Module]] = {
        "class in a class": partial(Outer.Nested, 4, 3),
        "class in a class in a class": partial(Outer.Nested.Deeper, 4, 3),
        "metaclass": partial(WithMetaclass, 4, hidden=3),
        "abstract base": partial(Concrete, 4),
        "generic": partial(Box[int], 3),
        "generic, plain": partial(Box, [1]),
        "mixin with an own constructor": partial(Mixed, 4, mixed=2),
        "properties": partial(Properties, 0.5),
        "cached property, used": lambda: _used(Properties(0.25)),
        "__getattr__": lambda: Delegating(Block()),
        "__setattr__ that counts": Counting,
        "__setattr__ that refuses": Frozen,
        "__getattribute__": partial(GetAttribute, 4),
        "__slots__": Slots,
        "__len__, __bool__, __eq__, __getstate__": Sized,
        "get_extra_state": extra_state,
        "own state_dict": OwnStateDict,
        "state_dict hook renames keys": RenamedKeys,
        "class replaced by its decorator": partial(ClassDecorator, 4, 3),
        "forward replaced by a function": monkey_patched_forward,
        "forward replaced by a bound method": bound_forward,
    }
    for name, make in made.items():
        yield Case(name, make, x)
    # Nothing leads back to a class without a name; the message has to say so.
    nameless: dict[str, Callable[[], nn.Module]] = {
        "class in a function": local_class,
        "class in a function, as a child": local_class_in_tree,
        "class made by type()": class_by_type,
        "class whose name was deleted": partial(_HiddenAgain, 4),
    }
    for name, make in nameless.items():
        yield Case(name, make, x, refused=True)


def _used(model: Properties) -> nn.Module:
    model.table.append(4)
    return model
