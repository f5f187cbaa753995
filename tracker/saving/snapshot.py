"""Takes what a checkpoint consists of from the live objects, as JSON and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from tracker.architecture.describe import Description, describe
from tracker.architecture.torchscript import SCRIPT_FILE, describe_script, is_script
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
        files: Files by name that hold what no description can: a TorchScript program.
    """

    description: Description
    training: Json
    training_tensors: dict[str, Tensor]
    example: Example | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)


def take(
    model: object,
    *,
    optimizer: object,
    scheduler: object,
    state: object,
    example_input: object = None,
    torchscript: bool = False,
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
    model = unwrapped(model)
    table = TensorTable()
    training = _training(table, optimizer=optimizer, scheduler=scheduler, state=state)
    description, files = _described(model, torchscript)
    example = None if example_input is None else _example(model, example_input)
    return Snapshot(description, training, table.tensors, example, files)


def _described(model: nn.Module, torchscript: bool) -> tuple[Description, dict[str, bytes]]:
    try:
        if not any(map(is_script, model.modules())):
            return describe(model), {}
    except RecursionError as error:
        raise InvalidArgumentError(
            "The model is nested without end: a module contains itself, or a proxy of one around "
            "it. Keep references to outer modules out of the tree: in a list, or as weakref.ref."
        ) from error
    if not is_script(model):
        raise InvalidArgumentError(
            "The model contains a ScriptModule of torch.jit: a program of its own and no module "
            "that could be rebuilt. Keep the module that it was scripted from there, or script the "
            "whole model."
        )
    if not torchscript:
        raise InvalidArgumentError(
            "The model is a ScriptModule of torch.jit: a program of its own and no module that "
            "could be rebuilt. Log the module that it was scripted from; or pass torchscript=True "
            "to keep the program in torch's own format, which whoever loads it must trust."
        )
    description, program = describe_script(model)
    return description, {SCRIPT_FILE: program}


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
