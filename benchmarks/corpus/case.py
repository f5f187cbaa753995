"""One architecture of the corpus: how it is made, and what to feed it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

Inputs = tuple[Any, ...] | dict[str, Any]
InputMaker = Callable[[nn.Module], Inputs | None]


def _unchanged(model: nn.Module) -> nn.Module:
    return model


@dataclass(frozen=True, slots=True)
class Case:
    """One architecture.

    Attributes:
        name: Unique in its group.
        make: Constructs it. Where a user would write one constructor call, a ``functools.partial``
            of the class, so that contenders that need class and arguments have them.
        inputs: Makes what a forward pass takes, positional or by keyword; None if it has none.
        stored: The part of the model that should come back: a wrapper is looked through.
        observed: Whether tracker is imported before it is made.
        refused: Whether the right answer is a clear refusal.
    """

    name: str
    make: Callable[[], nn.Module]
    inputs: InputMaker | None = None
    stored: Callable[[nn.Module], nn.Module] = _unchanged
    observed: bool = True
    refused: bool = False


def floats(*shape: int) -> InputMaker:
    """Return a maker of one positional input of normally distributed numbers."""
    return lambda model: (torch.randn(shape),)


def integers(high: int, *shape: int) -> InputMaker:
    """Return a maker of one positional input of integers below ``high``."""
    return lambda model: (torch.randint(high, shape),)


def several(*makers: InputMaker) -> InputMaker:
    """Return a maker of several positional inputs, from makers of one or more each."""
    return lambda model: tuple(value for maker in makers for value in maker(model) or ())
