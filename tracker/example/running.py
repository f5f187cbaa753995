"""Runs a model once as everybody runs it later: in eval mode, without gradients, seeded."""

from __future__ import annotations

import contextlib
import itertools
import random
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from tracker.errors import FormatError
from tracker.example.outputs import Output, copied, taken_apart
from tracker.example.untouched import untouched
from tracker.types import Json
from tracker.values import decode

SEED = 0
"""Of every generator. A model that draws random numbers draws the same ones each time."""


@dataclass(frozen=True, slots=True)
class Run:
    """What a model gave.

    Attributes:
        output: Its parts.
        random: Whether random numbers were drawn from torch's generators.
    """

    output: Output
    random: bool


def run(model: nn.Module, arguments: Json, fetch: Callable[[Json, str], Tensor]) -> Run:
    """Call a model; it is left as it was, and so are the random generators.

    Args:
        model: The model. It gets copies of the tensors, on its device.
        arguments: Typed JSON: a tuple of positional arguments, or a dict of keyword arguments.
        fetch: Returns a tensor of the arguments.

    Raises:
        FormatError: The arguments are not what `recording.record` writes.
        InvalidArgumentError: The model wrote into a parameter.
        Exception: Whatever the model raises.
    """
    device = device_of(model)
    moved: dict[int, Tensor] = {}

    def fetch_copy(name: Json, path: str) -> Tensor:
        tensor = fetch(name, path)
        if id(tensor) not in moved:
            moved[id(tensor)] = copied(tensor, device)
        return moved[id(tensor)]

    positional, keywords = split_arguments(decode(arguments, "example.input", tensor=fetch_copy))
    with untouched(model), _in_eval_mode(model), _seeded(device) as drawn, _plain_torch(device):
        output = taken_apart(model(*positional, **keywords))
        return Run(output, drawn())


def device_of(model: nn.Module) -> torch.device:
    """Return the device that a model's input has to be on: that of its first tensor."""
    first = next(itertools.chain(model.parameters(), model.buffers()), None)
    return torch.device("cpu") if first is None else first.device


def split_arguments(arguments: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and the keyword arguments that a tuple or a dict is.

    Raises:
        FormatError: It is neither.
    """
    if type(arguments) is tuple:
        return arguments, {}
    if type(arguments) is dict and all(isinstance(name, str) for name in arguments):
        return (), arguments
    raise FormatError("example.input: expected a tuple, or a dict by keyword.")


@contextlib.contextmanager
def _in_eval_mode(model: nn.Module) -> Iterator[None]:
    # The flags and not eval(): where that is overridden, going back may not lead back.
    flags = [(module, module.training) for module in model.modules()]
    try:
        for module, was_training in flags:
            if was_training:
                module.training = False
        yield
    finally:
        for module, was_training in flags:
            if was_training:
                module.training = True


@contextlib.contextmanager
def _seeded(device: torch.device) -> Iterator[Callable[[], bool]]:
    """Seed all generators that count on a device, put them back at the end.

    Yields:
        Tells whether random numbers were drawn from torch's since.
    """
    python_state, numpy_state = random.getstate(), np.random.get_state()
    kind = device.type if device.type != "cpu" else "cuda"
    module = torch.get_device_module(kind)
    indices = range(module.device_count() if device.type != "cpu" else 0)
    try:
        with torch.random.fork_rng(indices, device_type=kind):
            random.seed(SEED)
            np.random.seed(SEED)
            # Not torch.manual_seed, which seeds devices that are not put back.
            torch.default_generator.manual_seed(SEED)
            if indices:
                getattr(module, "manual_seed_all", module.manual_seed)(SEED)

            def states() -> list[Tensor]:
                return [torch.get_rng_state(), *(module.get_rng_state(i) for i in indices)]

            before = states()
            yield lambda: not all(map(torch.equal, before, states()))
    finally:
        random.setstate(python_state)
        np.random.set_state(numpy_state)


@contextlib.contextmanager
def _plain_torch(device: torch.device) -> Iterator[None]:
    """Switch off gradients, autocast, and compiled code, which adds in another order."""
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.no_grad())
        for kind in {"cpu", device.type}:
            stack.enter_context(torch.autocast(kind, enabled=False))
        if "torch._dynamo" in sys.modules:  # importing it takes a second
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        yield
