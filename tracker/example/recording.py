"""Records what a model gives for an input, when it is logged."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor, nn

from tracker.errors import InvalidArgumentError
from tracker.example.comparison import compare
from tracker.example.outputs import copied
from tracker.example.running import Run, device_of, run
from tracker.types import Json
from tracker.values import TensorTable, encode

MAX_BYTES = 64 << 20
"""Of input and output: an example is stored with every checkpoint, and run at every load."""


@dataclass(frozen=True, slots=True)
class Example:
    """An input and a model's output for it, ready to be stored.

    Attributes:
        document: Typed JSON whose tensors are names in ``tensors``.
        tensors: Copies on the CPU that nobody else has.
    """

    document: Json
    tensors: dict[str, Tensor]


def record(model: nn.Module, example_input: object) -> Example:
    """Run a model on an input, twice, and return both.

    The model and the random generators are left as they were.

    Args:
        model: The model, unwrapped.
        example_input: A tensor or array (the one argument), a tuple (positional arguments) or a
            dict (keyword arguments).

    Raises:
        InvalidArgumentError: It is none of these, too large, or the model fails on it.
        UnstorableError: It contains what can't be stored.
    """
    table = TensorTable()
    given = checked_arguments(example_input)
    arguments = _arrays_as_tensors(encode(given, "example_input", tensor=table.add))
    tensors = {name: copied(tensor) for name, tensor in table.tensors.items()}
    _check_size(tensors.values())
    first, second = (_run(model, arguments, tensors) for _ in range(2))
    same = compare(first.output.parts, second.output.parts).verdict
    outputs = TensorTable()
    output: list[Json] = [
        [path, encode(value, path, tensor=outputs.add)] for path, value in first.output.parts
    ]
    tensors |= outputs.tensors
    _check_size(tensors.values())
    return Example(
        {
            "input": arguments,
            "output": output,
            "ignored": [[path, kind] for path, kind in first.output.ignored],
            "deterministic": same != "different",
            "random": first.random,
            "device": device_of(model).type,
            "training": False,
            **_parameters(model, given),
        },
        tensors,
    )


def checked_arguments(example_input: object) -> tuple[Any, ...] | dict[str, Any]:
    """Return an example input as the arguments of a call: a tuple, or a dict by name.

    Raises:
        InvalidArgumentError: It is nothing that a model could be called with.
    """
    if isinstance(example_input, (Tensor, np.ndarray)):
        return (example_input,)
    if type(example_input) is tuple:
        return example_input
    if isinstance(example_input, Mapping) and all(isinstance(key, str) for key in example_input):
        return dict(example_input)
    raise InvalidArgumentError(
        f"example_input is a {type(example_input).__name__}; expected a tensor or array (the one "
        "argument), a tuple (positional arguments) or a dict by name (keyword arguments). Put "
        "any other single argument into a tuple: example_input=(argument,)."
    )


def _parameters(model: nn.Module, given: tuple[Any, ...] | dict[str, Any]) -> dict[str, Json]:
    """Return the names of several positional arguments: other tools pass arguments by name."""
    if not isinstance(given, tuple) or len(given) < 2:
        return {}
    try:
        parameters = list(inspect.signature(model.forward).parameters.values())[: len(given)]
    except (TypeError, ValueError):
        return {}  # a forward that Python can't look into
    by_name = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]
    return {"parameters": [*by_name]} if len(by_name) == len(given) else {}


def _arrays_as_tensors(data: Any) -> Json:
    """Return typed JSON with arrays as tensors: models take these, on their own device."""
    if isinstance(data, list):
        return [_arrays_as_tensors(item) for item in data]
    if isinstance(data, dict):
        return {
            "$tensor" if key == "$ndarray" else key: _arrays_as_tensors(item)
            for key, item in data.items()
        }
    return data  # type: ignore[no-any-return]


def _run(model: nn.Module, arguments: Json, tensors: Mapping[str, Tensor]) -> Run:
    try:
        return run(model, arguments, lambda name, path: tensors[str(name)])
    except InvalidArgumentError:
        raise
    except Exception as error:
        raise InvalidArgumentError(
            f"The model fails on example_input, in eval mode: {type(error).__name__}: {error}. "
            "Nothing was logged. Give the arguments that its forward takes: a tensor, a tuple of "
            "positional or a dict of keyword arguments."
        ) from error


def _check_size(tensors: Iterable[Tensor]) -> None:
    size = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    if size > MAX_BYTES:
        raise InvalidArgumentError(
            f"example_input and the model's output for it are {size / 1e6:.0f} MB together; at "
            f"most {MAX_BYTES / 1e6:.0f} MB are stored with a checkpoint. Take a smaller input: "
            "one sample is enough."
        )
