"""The user's own package, from which an attacker may name anything.

Whatever must not run raises an audit event, which the laboratory notices.
"""

from __future__ import annotations

import enum
import functools
import os  # noqa: F401 - what a model's own file may well import
import subprocess  # noqa: F401
import sys
from os import system
from subprocess import run  # noqa: F401
from tempfile import TemporaryDirectory  # noqa: F401
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn


def sing(*what: Any) -> None:
    sys.audit("canary", *what)


class Net(nn.Module):
    """A model as people write them."""

    def __init__(self, hidden: int = 2, act: Any = F.relu) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(2, hidden), nn.BatchNorm1d(hidden))
        self.head = nn.Linear(hidden, 1)
        self.act = act
        self.history = [1.5, None, "x"]

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.act(self.layers(x)))

    def get_extra_state(self) -> Any:
        return {"seen": 1}

    def set_extra_state(self, state: Any) -> None:
        self.seen = state["seen"]


class Caller(nn.Module):
    """Calls what it is given, which is allowed to a model's constructor."""

    def __init__(self, call: Any = None, *args: Any) -> None:
        super().__init__()
        if call is not None:
            call(*args)


class Holder(nn.Module):
    """Holds what it is given."""

    def __init__(self, *modules: Any) -> None:
        super().__init__()
        for index, module in enumerate(modules):
            self.add_module(str(index), module)


class Trap:
    """A plain object with every way by which making it could run code."""

    def __new__(cls, *args: Any) -> Trap:
        sing("__new__")
        return super().__new__(cls)

    def __init__(self) -> None:
        sing("__init__")

    def __init_subclass__(cls) -> None:
        sing("__init_subclass__")

    def __setattr__(self, name: str, value: Any) -> None:
        sing("__setattr__")

    def __setstate__(self, state: Any) -> None:
        sing("__setstate__")

    def __reduce__(self) -> Any:
        return sing, ("__reduce__",)

    def __call__(self, *args: Any) -> None:
        sing("__call__")

    @property
    def value(self) -> int:
        sing("property")
        return 1

    @value.setter
    def value(self, value: Any) -> None:
        sing("property")


class Pair(tuple):
    """A tuple of the model's own."""


class Dropped:
    """Does something when it is dropped."""

    def __del__(self) -> None:
        sing("__del__")


class DroppedModule(nn.Module):
    def __del__(self) -> None:
        sing("__del__")


class Descriptor:
    def __get__(self, instance: Any, owner: Any) -> Any:
        sing("__get__")

    def __set__(self, instance: Any, value: Any) -> None:
        sing("__set__")


class Described(nn.Module):
    """A module with a property and a descriptor."""

    descriptor = Descriptor()

    @property
    def weight(self) -> Any:
        sing("property")

    @weight.setter
    def weight(self, value: Any) -> None:
        sing("property")

    def __setattr__(self, name: str, value: Any) -> None:
        if name != "training":  # eval() sets that
            sing("__setattr__")
        super().__setattr__(name, value)


class Answering(enum.Enum):
    ONE = 1

    @classmethod
    def _missing_(cls, value: Any) -> Any:
        sing("_missing_")


class Namespace:
    class Inner(nn.Module):
        secret = system

    method = functools.partial(sing, "partial")
