"""Takes what a checkpoint consists of from the live objects, as JSON and tensors."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from tracker.architecture.describe import Description, describe
from tracker.architecture.distribution import refuse_flat_parameters, reshard
from tracker.architecture.torchscript import SCRIPT_FILE, describe_script, is_script
from tracker.architecture.training_aids import taken_off
from tracker.architecture.wrappers import unwrapped
from tracker.errors import InvalidArgumentError, UnstorableError
from tracker.example.recording import Example, record
from tracker.format import Shard
from tracker.format.dtypes import stored_dtype
from tracker.training import random_state
from tracker.training.parameter_names import modules_among, parameter_names
from tracker.training.stateful import as_stateful, class_text, parts_of
from tracker.training.world import rank, world_size
from tracker.types import Json
from tracker.values import TensorTable, encode, is_spread


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A model and its training state, described.

    Attributes:
        description: The model.
        training: The training state as typed JSON, or None if none was given.
        training_tensors: The tensors that it names.
        example: An input and the model's output for it, or None if no input was given.
        files: Files by name that hold what no description can (a TorchScript program), or that the
            user lays beside the model.
        own_entries: Members of ``state=`` of which each of several processes has its own.
        boxes: What this process holds of tensors that are spread over several, each with its group.
    """

    description: Description
    training: Json
    training_tensors: dict[str, Tensor]
    example: Example | None = None
    files: Mapping[str, bytes] = field(default_factory=dict)
    own_entries: frozenset[str] = frozenset()
    boxes: tuple[tuple[str, Shard], ...] = ()

    @property
    def groups(self) -> dict[str, Mapping[str, Tensor]]:
        """The tensors of model and training by group, as a checkpoint's files hold them."""
        return {
            "model": self.description.state,
            "architecture": self.description.extra,
            "training": self.training_tensors,
        }


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
    refuse_flat_parameters(model)
    reshard(model)
    training, tensors = _training(model, optimizer=optimizer, scheduler=scheduler, state=state)
    description, files = _described(model, torchscript)
    if example_input is not None and any(map(is_spread, description.state.values())):
        raise InvalidArgumentError(
            "example_input runs the model alone, which one that is spread over processes can't "
            "be; leave it out."
        )
    example = None if example_input is None else _example(model, example_input)
    named = state.items() if isinstance(state, Mapping) else ()
    own = frozenset(name for name, part in named if is_own(part))
    return Snapshot(description, training, tensors, example, files, own)


def _described(model: nn.Module, torchscript: bool) -> tuple[Description, dict[str, bytes]]:
    try:
        if not any(map(is_script, model.modules())):
            with taken_off(model):
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
    with taken_off(model):
        example = record(model, example_input)
    for name, tensor in example.tensors.items():
        stored_dtype(tensor, name)
    return example


def _training(
    model: nn.Module, *, optimizer: object, scheduler: object, state: object
) -> tuple[Json, dict[str, Tensor]]:
    """Return the training state as typed JSON, and the tensors that it names."""
    if state is not None and not _is_by_name(state):
        raise InvalidArgumentError(
            f"state must be a dict by name, not {type(state).__name__}; "
            'for example state={"scaler": scaler, "seed": 7}.'
        )
    named: Mapping[str, Any] = state if isinstance(state, Mapping) else {}
    modules = modules_among(model, named)
    writer = _Writer(modules)
    own = _Writer(modules, own_name(rank())) if rank() else writer
    parts: dict[str, Json] = {}
    for name, part in (("optimizer", optimizer), ("scheduler", scheduler)):
        if part is not None:
            parts[name] = writer.stateful(part, name)
    if state is not None:
        parts["state"] = {
            name: (own if is_own(part) else writer).entry(part, f"state.{name}")
            for name, part in named.items()
        }
    if parts:
        # At last: what a DataLoader is asked for its state, it may draw a number for.
        parts["random"] = own.random_state()
    return parts or None, {**writer.table.tensors, **own.table.tensors}


@dataclass(frozen=True, slots=True)
class OwnState:
    """What one of several processes has of its own in a training state.

    Attributes:
        training: ``state`` and ``random``, as typed JSON; None if it has nothing.
        tensors: The tensors that it names.
    """

    training: Json
    tensors: dict[str, Tensor]


def own_state(*, optimizer: object, scheduler: object, state: object) -> OwnState:
    """Return what this process has of its own, where another one writes all else.

    Raises:
        UnstorableError: A tensor or value can't be stored; names its path.
    """
    if optimizer is None and scheduler is None and state is None:
        return OwnState(None, {})
    writer = _Writer({}, own_name(rank()))
    named = state.items() if _is_by_name(state) and isinstance(state, Mapping) else ()
    entries = {name: writer.entry(p, f"state.{name}") for name, p in named if is_own(p)}
    own: dict[str, Json] = {"state": entries} if entries else {}
    own["random"] = writer.random_state()["ranks"][str(rank())]  # type: ignore[index,call-overload]
    return OwnState(own, writer.table.tensors)


def _is_by_name(state: object) -> bool:
    return isinstance(state, Mapping) and all(isinstance(key, str) for key in state)


def own_name(rank: int) -> str:
    """Return how the names of tensors begin that a process has of its own: rank 0 needs none."""
    return f"rank-{rank}." if rank else ""


def is_own(part: object) -> bool:
    """Return whether each process has a state of its own of a member of ``state=``.

    Modules and optimizers are the same in all, or spread over them, and so are tensors that are
    spread. What is left is small, or differs: generators, loaders, counters.
    """
    if isinstance(part, nn.Module | torch.optim.Optimizer) or is_spread(part):
        return False
    if isinstance(part, Mapping):
        return all(map(is_own, part.values()))
    return not isinstance(part, (list, tuple)) or all(map(is_own, part))


class _Writer:
    """Writes the entries of the training state; their tensors go into one table."""

    def __init__(self, modules: Mapping[str, nn.Module], prefix: str = "") -> None:
        self.table = TensorTable()
        self._modules = modules
        self._prefix = prefix

    def entry(self, part: object, name: str) -> Json:
        """Return what is kept of a member of ``state=``: an object's state, or the value."""
        if as_stateful(part) is not None:
            return self.stateful(part, name)
        if isinstance(part, DataLoader):
            raise UnstorableError(
                name,
                "is a torch.utils.data.DataLoader, which can't tell where it is: use torchdata's "
                "StatefulDataLoader, or leave it out and log at the end of an epoch.",
            )
        return {"value": self._encode(part, name)}

    def stateful(self, part: Any, name: str) -> Json:
        """Return the state of an object, and of what kind it is."""
        keeper = as_stateful(part)
        if keeper is None:
            raise InvalidArgumentError(
                f"{name} is a {type(part).__name__}, which has no state_dict(); pass the object "
                'itself (several optimizers: state={"generator_optimizer": …, '
                '"critic_optimizer": …}).'
            )
        written: dict[str, Json] = {
            "class": class_text(part),
            "state_dict": self._encode(keeper.state_dict(), name),
        }
        names = parameter_names(part, self._modules)
        if names is not None:
            written["parameters"] = [list(group) for group in names]
        if parts_of(part):
            written["parts"] = list(parts_of(part))
        if isinstance(part, DataLoader) and part.generator is not None:
            written["generator"] = self._encode(part.generator.get_state(), f"{name}.generator")
        return written

    def random_state(self) -> Json:
        """Return the state of the global random generators of this process, by its rank."""
        own = self._encode(random_state.capture(), "random")
        return {"ranks": {str(rank()): own}, "world_size": world_size()}

    def _encode(self, value: object, name: str) -> Json:
        return encode(value, self._prefix + name, tensor=self.table.add)
