"""Takes what a checkpoint consists of from the live objects, as JSON and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tracker.architecture.describe import Description, describe
from tracker.architecture.wrappers import unwrapped
from tracker.errors import InvalidArgumentError
from tracker.example.recording import Example, record
from tracker.format.dtypes import stored_dtype
from tracker.types import Json
from tracker.values import TensorTable, encode


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A model and its training state, described.

    Attributes:
        description: The model.
        training: The training state as typed JSON, or None if none was given.
        training_tensors: The tensors that it names.
        example: An input and the model's output for it, or None if no input was given.
    """

    description: Description
    training: Json
    training_tensors: dict[str, Tensor]
    example: Example | None = None


def take(
    model: object,
    *,
    optimizer: object,
    scheduler: object,
    state: object,
    example_input: object = None,
) -> Snapshot:
    """Describe a model and its training state.

    Raises:
        InvalidArgumentError: The model is no ``nn.Module``, a state has no ``state_dict()``, or
            the model fails on ``example_input``.
        UnstorableError: A tensor or value can't be stored; names its path.
    """
    if not isinstance(model, nn.Module):
        raise InvalidArgumentError(
            f"model is a {type(model).__name__}; log_checkpoint expects a torch.nn.Module "
            "(not its state_dict: the module itself is needed to rebuild it)."
        )
    if any(isinstance(module, torch.jit.ScriptModule) for module in model.modules()):
        raise InvalidArgumentError(
            "The model is, or contains, a ScriptModule of torch.jit: a program of its own and no "
            "module that could be rebuilt. Log the module that it was scripted from."
        )
    table = TensorTable()
    training = _training(table, optimizer=optimizer, scheduler=scheduler, state=state)
    description = describe(unwrapped(model))
    example = None if example_input is None else _example(unwrapped(model), example_input)
    return Snapshot(description, training, table.tensors, example)


def _example(model: nn.Module, example_input: object) -> Example:
    example = record(model, example_input)
    for name, tensor in example.tensors.items():
        stored_dtype(tensor, name)
    return example


def _training(table: TensorTable, *, optimizer: object, scheduler: object, state: object) -> Json:
    parts: dict[str, Json] = {}
    for name, part in (("optimizer", optimizer), ("scheduler", scheduler)):
        if part is not None:
            parts[name] = _stateful(part, name, table)
    if state is not None:
        if not isinstance(state, Mapping) or not all(isinstance(key, str) for key in state):
            raise InvalidArgumentError(
                f"state must be a dict by name, not {type(state).__name__}; "
                'for example state={"scaler": scaler, "seed": 7}.'
            )
        parts["state"] = {
            name: _stateful(part, f"state.{name}", table)
            if has_state(part)
            else {"value": encode(part, f"state.{name}", tensor=table.add)}
            for name, part in state.items()
        }
    return parts or None


def has_state(part: object) -> bool:
    """Return whether an object keeps state in ``state_dict()`` and takes it back."""
    return not isinstance(part, type) and all(
        callable(getattr(part, name, None)) for name in ("state_dict", "load_state_dict")
    )


def _stateful(part: Any, name: str, table: TensorTable) -> Json:
    if not has_state(part):
        raise InvalidArgumentError(
            f"{name} is a {type(part).__name__}, which has no state_dict(); pass the object itself "
            '(several optimizers: state={"generator_optimizer": …, "critic_optimizer": …}).'
        )
    kind = type(part)
    return {
        "class": f"{kind.__module__}:{kind.__qualname__}",
        "state_dict": encode(part.state_dict(), name, tensor=table.add),
    }
