"""What a training step may depend on beside the objects given: how each is read and put back."""

from __future__ import annotations

import copy
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim.lr_scheduler import LRScheduler

from tracker.loading.optimizer_state import load_optimizer
from tracker.rehearsal.fingerprint import fingerprint
from tracker.rehearsal.report import Kind
from tracker.training import random_state
from tracker.training.generators import as_generator_state
from tracker.training.stateful import has_state

PutBack = Callable[[], object]

STATEFUL: frozenset[Kind] = frozenset(
    {"random", "generator", "loader", "optimizer", "scheduler", "buffer", "module", "object"}
)
"""Kinds that are the state of a training, whether or not a few steps show it."""


@dataclass(frozen=True, slots=True)
class Thing:
    """Something whose state may change.

    Attributes:
        name: What it is called, for people.
        kind: What it is.
        label: Its class, with an article.
        read: Returns the fingerprint of its state.
        keep: Returns what puts it back to where it is now; None if nothing can.
        subject: The object itself.
    """

    name: str
    kind: Kind
    label: str
    read: Callable[[], str]
    keep: Callable[[], PutBack | None]
    subject: Any


def as_thing(value: Any, name: str, shared: frozenset[int]) -> Thing | None:
    """Return how an object with a state is read and put back; None if it is none.

    Args:
        value: The object.
        name: What it is called.
        shared: The ids of tensors that belong to others.
    """
    label = label_of(value)
    if isinstance(value, nn.Module):
        return _module(value, name, label, shared)
    if isinstance(value, torch.optim.Optimizer):
        return Thing(
            name, "optimizer", label, lambda: _read(value), lambda: _keep_optimizer(value), value
        )
    if isinstance(value, random.SystemRandom):
        return None
    generator = as_generator_state(value)
    if generator is not None:
        return Thing(
            name, "generator", label, lambda: _read(generator), lambda: _keep(generator), value
        )
    if isinstance(value, torch.utils.data.DataLoader) or not has_state(value):
        return None
    kind: Kind = "scheduler" if isinstance(value, LRScheduler) else "object"
    return Thing(name, kind, label, lambda: _read(value), lambda: _keep(value), value)


def label_of(value: Any) -> str:
    """Return the class of a value with its article: ``an Adam``."""
    name = type(value).__name__
    return f"{'an' if name[:1].lower() in 'aeiou' else 'a'} {name}"


def _read(part: Any) -> str:
    return fingerprint(part.state_dict())


def _keep(part: Any) -> PutBack | None:
    state = copy.deepcopy(part.state_dict())
    return lambda: part.load_state_dict(copy.deepcopy(state))


def _keep_optimizer(optimizer: Any) -> PutBack | None:
    state = copy.deepcopy(optimizer.state_dict())
    return lambda: load_optimizer(optimizer, copy.deepcopy(state))


def _module(module: nn.Module, name: str, label: str, shared: frozenset[int]) -> Thing | None:
    tensors = {
        key: each
        for key, each in (*module.named_parameters(), *module.named_buffers())
        if id(each) not in shared
    }
    if not tensors:
        return None
    return Thing(
        name, "module", label, lambda: fingerprint(tensors), lambda: keep_tensors(tensors), module
    )


def keep_tensors(tensors: dict[str, Tensor]) -> PutBack:
    """Return what puts the values of tensors back, into the same tensors."""
    before = {name: tensor.detach().clone() for name, tensor in tensors.items()}

    def put_back() -> None:
        with torch.no_grad():
            for name, tensor in tensors.items():
                tensor.copy_(before[name])

    return put_back


def gradients_thing(model: nn.Module) -> Thing:
    """Return the gradients that wait in a model's parameters."""
    return Thing(
        "the model's gradients",
        "gradients",
        "the gradients in .grad",
        lambda: fingerprint([each.grad for each in model.parameters()]),
        lambda: _keep_gradients(model),
        model,
    )


def _keep_gradients(model: nn.Module) -> PutBack:
    before = [
        (each, each.grad, None if each.grad is None else each.grad.detach().clone())
        for each in model.parameters()
    ]

    def put_back() -> None:
        for parameter, gradient, value in before:
            parameter.grad = gradient
            if gradient is not None and value is not None:
                with torch.no_grad():
                    gradient.copy_(value)

    return put_back


def iterator_thing(iterator: Any, name: str, read: Callable[[], str]) -> Thing:
    """Return an iterator; those over lists, tuples and ranges can be put back."""
    label = label_of(iterator)
    return Thing(name, "iterator", label, read, lambda: _keep_position(iterator), iterator)


def loader_thing(iterator: Any, name: str) -> Thing:
    """Return the name of a DataLoader's iterator; its position is watched elsewhere."""
    return Thing(name, "loader", "an iterator of a DataLoader", str, lambda: None, iterator)


def _keep_position(iterator: Any) -> PutBack | None:
    if type(iterator) not in _WITH_POSITION:
        return None
    reduced = iterator.__reduce__()
    return partial(iterator.__setstate__, reduced[2]) if len(reduced) > 2 else None


_WITH_POSITION: tuple[type, ...] = (type(iter([])), type(iter(())), type(iter(range(0))))


def random_things() -> list[Thing]:
    """Return the global random generators, each by its source."""
    return [_random_thing(source) for source in random_state.capture()]


def _random_thing(source: str) -> Thing:
    def keep() -> PutBack:
        state = random_state.capture()[source]
        return lambda: random_state.restore({source: state})

    name = _SOURCES.get(source, source)
    label = "a global random generator"
    return Thing(
        name, "random", label, lambda: fingerprint(random_state.capture().get(source)), keep, source
    )


_SOURCES = {
    "python": "Python's random",
    "numpy": "NumPy's np.random",
    "torch": "torch's generator on the CPU",
    "cuda": "torch's generators on CUDA",
}
