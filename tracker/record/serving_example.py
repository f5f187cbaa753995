"""A checkpoint's example as MLflow has it: arrays in, arrays out, a signature, a JSON file.

MLflow knows one array, or arrays by name, each with a dtype of NumPy's; a model that takes or gives
something else has no signature, or none of its output.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import torch
from mlflow.models import ModelSignature
from mlflow.types import Schema, TensorSpec
from torch import Tensor

from tracker.types import Json
from tracker.values import decode

Arrays: TypeAlias = "np.ndarray[Any, Any] | dict[str, np.ndarray[Any, Any]]"

INPUT_FILE, SERVING_FILE = "input_example.json", "serving_input_example.json"
_MOST_NUMBERS = 10_000
"""What an example has in its JSON file at most; a larger one only gives the signature."""

_NOT_IN_NUMPY = frozenset({torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2})


@dataclass(frozen=True, slots=True)
class ServingExample:
    """An input that MLflow's ``predict`` takes, and what it gives.

    Attributes:
        inputs: One array, or arrays by the name of the argument.
        outputs: The same of the output, or None if that is something else.
    """

    inputs: Arrays
    outputs: Arrays | None

    def signature(self) -> ModelSignature:
        """Return dtypes and shapes; the first dimension, the batch, is left open."""
        outputs = None if self.outputs is None else _schema(self.outputs)
        return ModelSignature(inputs=_schema(self.inputs), outputs=outputs)

    def files(self) -> dict[str, bytes]:
        """Return the files of MLflow's input example, if it is small and JSON can hold it."""
        named = self.inputs if isinstance(self.inputs, dict) else {"": self.inputs}
        if sum(array.size for array in named.values()) > _MOST_NUMBERS:
            return {}
        plain: Any = {name: array.tolist() for name, array in named.items()}
        plain = plain if isinstance(self.inputs, dict) else plain[""]
        try:
            own = json.dumps(plain, allow_nan=False)
            served = json.dumps({"inputs": plain}, indent=2, allow_nan=False)
        except (ValueError, TypeError):
            return {}  # NaN, infinities and complex numbers
        return {INPUT_FILE: own.encode(), SERVING_FILE: served.encode()}


def serving_example(document: Json, fetch: Callable[[str], Tensor]) -> ServingExample | None:
    """Return a checkpoint's example as MLflow has it, or None if MLflow can't express it.

    Args:
        document: The example as `tracker.example` records it, or None.
        fetch: Returns one of its tensors by name.
    """

    def tensor(name: Json, path: str) -> Tensor:
        return fetch(str(name))

    if not isinstance(document, dict) or not isinstance(document.get("output"), list):
        return None
    arguments = decode(document.get("input"), "example.input", tensor=tensor)
    inputs = _inputs(arguments, document.get("parameters"))
    if inputs is None:
        return None
    ignored = document.get("ignored")
    outputs = None if ignored else _outputs(document["output"], tensor)
    return ServingExample(inputs, outputs)


def _inputs(arguments: Any, parameters: Any) -> Arrays | None:
    if isinstance(arguments, tuple):
        if len(arguments) == 1:
            return _array(arguments[0])
        if not isinstance(parameters, list) or len(parameters) != len(arguments):
            return None
        arguments = dict(zip(map(str, parameters), arguments, strict=True))
    return _arrays(arguments) if isinstance(arguments, Mapping) and arguments else None


def _outputs(parts: Any, fetch: Callable[[Json, str], Tensor]) -> Arrays | None:
    """Return the output from its parts: of a tensor one, and of a flat mapping one for each key."""
    named = {str(path): decode(value, str(path), tensor=fetch) for path, value in parts}
    if set(named) == {"output"}:
        return _array(named["output"])
    members = {path.removeprefix("output."): value for path, value in named.items()}
    # Whatever has numbers for keys is a sequence, which MLflow has no schema for.
    if not members or any("." in name or name.isdecimal() for name in members):
        return None
    return _arrays(members)


def _arrays(values: Mapping[str, Any]) -> dict[str, np.ndarray[Any, Any]] | None:
    found = {name: _array(value) for name, value in values.items()}
    arrays = {name: array for name, array in found.items() if array is not None}
    return arrays if len(arrays) == len(values) else None


def _array(value: Any) -> np.ndarray[Any, Any] | None:
    """Return a tensor as the array that stands for it in MLflow, or None for all else."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_quantized:
        return None
    plain = value.detach().cpu().resolve_conj().resolve_neg()
    try:
        return (plain.float() if plain.dtype in _NOT_IN_NUMPY else plain).numpy()
    except TypeError:
        return None  # a dtype that NumPy lacks


def _schema(arrays: Arrays) -> Schema:
    if isinstance(arrays, dict):
        return Schema([_spec(array, name) for name, array in arrays.items()])
    return Schema([_spec(arrays, None)])


def _spec(array: np.ndarray[Any, Any], name: str | None) -> TensorSpec:
    shape = (-1, *array.shape[1:]) if array.ndim else ()
    return TensorSpec(array.dtype, shape, name)
