"""Random generators as objects with a state: they have one, but each under a name of its own."""

from __future__ import annotations

import array
import random
import sys
from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from tracker.errors import InvalidArgumentError

_WORDS = 624
"""Of the Mersenne Twister: its state is so many 32-bit numbers and a position."""


class GeneratorState(Protocol):
    """Gives and takes the state of a random generator."""

    generator: Any

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put the generator into a state."""
        ...


class TorchGenerator:
    """The state of a ``torch.Generator``."""

    def __init__(self, generator: torch.Generator) -> None:
        self.generator = generator

    def state_dict(self) -> dict[str, Any]:
        """Return the state and the kind of device, whose generators have states of their own."""
        return {"device": self.generator.device.type, "state": self.generator.get_state()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put the generator into a state.

        Raises:
            ValueError: The state is that of a generator on another kind of device.
        """
        if state["device"] != self.generator.device.type:
            raise ValueError(
                f"it is a generator on {self.generator.device.type}, the state is one of "
                f"{state['device']}"
            )
        self.generator.set_state(state["state"])


class PythonGenerator:
    """The state of a ``random.Random``."""

    def __init__(self, generator: random.Random) -> None:
        self.generator = generator

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        return {"state": pack(self.generator.getstate())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put the generator into a state."""
        self.generator.setstate(unpack(state["state"]))


class NumpyGenerator:
    """The state of a ``numpy.random.Generator`` or ``RandomState``: that of its bit generator."""

    def __init__(self, generator: Any) -> None:
        self.generator = generator

    def state_dict(self) -> dict[str, Any]:
        """Return the state."""
        if hasattr(self.generator, "get_state"):
            return {"state": self.generator.get_state(legacy=False)}
        return {"state": self.generator.bit_generator.state}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Put the generator into a state."""
        if hasattr(self.generator, "set_state"):
            self.generator.set_state(state["state"])
        else:
            self.generator.bit_generator.state = state["state"]


def as_generator_state(part: object) -> GeneratorState | None:
    """Return what gives and takes the state of a random generator; None if it is none.

    Raises:
        InvalidArgumentError: It is one without a state: ``random.SystemRandom``.
    """
    if isinstance(part, torch.Generator):
        return TorchGenerator(part)
    if isinstance(part, random.SystemRandom):
        raise InvalidArgumentError(
            "A random.SystemRandom has no state that could be stored: it asks the operating "
            "system for every number. Use random.Random(seed)."
        )
    if isinstance(part, random.Random):
        return PythonGenerator(part)
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(part, (numpy.random.Generator, numpy.random.RandomState)):
        return NumpyGenerator(part)
    return None


def pack(state: Any) -> Any:
    """Return the state of a Mersenne Twister with its numbers as a tensor; another as it is.

    Example:
        >>> pack(random.getstate())["words"].shape
        torch.Size([625])
    """
    version, words, gauss = state
    if version != 3 or len(words) != _WORDS + 1:
        return state
    numbers = torch.frombuffer(array.array("I", words), dtype=torch.uint32)
    return {"gauss": gauss, "version": version, "words": numbers}


def unpack(state: Any) -> Any:
    """Return what `pack` was given."""
    if not isinstance(state, Mapping):
        return state
    words: Tensor = state["words"]
    return state["version"], tuple(words.tolist()), state["gauss"]
