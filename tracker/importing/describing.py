"""What is to be stored of imported weights: of a model that is known, or of the weights alone."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from tracker.architecture.describe import Description, describe
from tracker.architecture.wrappers import plain_key, unwrapped
from tracker.errors import MismatchError, UnstorableError
from tracker.format.dtypes import stored_dtype
from tracker.importing.contents import Contents
from tracker.loading.fitting import compare_weights, refusal
from tracker.saving.snapshot import Snapshot
from tracker.types import Architecture, Json, Problem
from tracker.values import TensorTable, encode

UNKNOWN = "unknown"
"""The class of weights that came without one."""


def snapshot_of(
    contents: Contents, model: nn.Module | None, source: str
) -> tuple[Snapshot, list[str]]:
    """Return what is stored of a checkpoint, and what could not be kept of it.

    Args:
        contents: The checkpoint.
        model: The model whose weights they are, or None if it is not known. It is not changed.
        source: Where it came from, for messages.

    Raises:
        MismatchError: The weights do not fit into the model.
        UnstorableError: A tensor of the weights has no place in the format.
    """
    described = _alone(contents, source) if model is None else _fitted(contents, unwrapped(model))
    for key, tensor in described.state.items():
        stored_dtype(tensor, key)
    table = TensorTable()
    training, notes = _training(contents, table)
    params = {**contents.params, **described.architecture.params}
    architecture = replace(described.architecture, params=params)
    return Snapshot(replace(described, architecture=architecture), training, table.tensors), notes


def _alone(contents: Contents, source: str) -> Description:
    """Return weights without a model: everything can be loaded, into an instance."""
    state: dict[str, Tensor] = {}
    values: dict[str, Json] = {}
    extra: dict[str, Tensor] = {}

    def keep(tensor: Tensor, path: str) -> Json:
        extra[path] = tensor
        dtype = stored_dtype(tensor, path).name
        return {"group": "architecture", "name": path, "dtype": dtype, "shape": [*tensor.shape]}

    for key, value in contents.weights.items():
        plain = isinstance(value, Tensor) and value.layout == torch.strided
        if plain and not value.is_quantized:
            state[key] = value
        else:
            values[key] = encode(value, key, tensor=keep)
    name = contents.architecture or UNKNOWN
    problem = Problem(
        "the model",
        f"the weights were imported from {source}, which does not say how their model is made. "
        "Import them again with a model (--model package.module:Class, or model= from Python)",
    )
    text = contents.architecture or f"imported weights ({contents.layout})"
    architecture = Architecture("none", name, text, problems=(problem,))
    return Description(architecture, state, extra, values, frozenset())


def _fitted(contents: Contents, model: nn.Module) -> Description:
    """Return the model's description with the weights in the place of its own."""
    described = describe(model)
    weights = _fitting(contents.weights, model, described)
    others = [key for key in weights if key not in described.state]
    if not others and not described.state_values:
        return replace(described, state={key: weights[key] for key in described.state})
    # Entries that only the model's own code can read: it does, in a copy.
    loaded = _loaded(model, weights)
    return replace(describe(loaded), architecture=described.architecture)


def _fitting(
    weights: Mapping[str, Any], model: nn.Module, described: Description
) -> dict[str, Any]:
    """Return the weights by the model's own keys, all of them."""
    tried = [_with_tied(each, described) for each in (weights, _without_first(weights)) if each]
    for each in tried:
        if compare_weights(each, model).complete:
            return each
    try:
        # A class may read keys of its older versions.
        return {plain_key(k): v for k, v in _loaded(model, dict(weights)).state_dict().items()}
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        problems = compare_weights(tried[0], model).problems()
        text = described.architecture.model_text
        raise MismatchError(
            refusal(f"The weights are not those of {text}", problems or [str(error)])
        ) from error


def _loaded(model: nn.Module, weights: Mapping[str, Any]) -> nn.Module:
    loaded = copy.deepcopy(model)
    loaded.load_state_dict(weights, strict=True)
    return loaded


def _without_first(weights: Mapping[str, Any]) -> dict[str, Any]:
    """Return the weights of the only part of a model, as Lightning modules hold theirs."""
    first = {key.partition(".")[0] for key in weights if "." in key}
    if len(first) != 1 or not all("." in key for key in weights):
        return {}
    return {key.partition(".")[2]: value for key, value in weights.items()}


def _with_tied(weights: Mapping[str, Any], described: Description) -> dict[str, Any]:
    """Return the weights with one tensor for all names that are tied in the model.

    Files may leave out all but one of these names; where they differ, they are left as they are.
    """
    names: dict[int, list[str]] = {}
    for key, tensor in described.state.items():
        names.setdefault(id(tensor), []).append(key)
    filled = dict(weights)
    for tied in (keys for keys in names.values() if len(keys) > 1):
        found = [weights[key] for key in tied if key in weights]
        if not found:
            continue
        if not all(_same(found[0], other) for other in found[1:]):
            raise MismatchError(
                f"The weights {' and '.join(tied[:3])} are one tensor in "
                f"{described.architecture.model_text}, but differ in the file."
            )
        filled |= dict.fromkeys(tied, found[0])
    return filled


def _same(a: Any, b: Any) -> bool:
    return a is b or (
        isinstance(a, Tensor)
        and isinstance(b, Tensor)
        and a.dtype == b.dtype
        and a.shape == b.shape
        and bool(torch.equal(a.nan_to_num(), b.nan_to_num()))
    )


def _training(contents: Contents, table: TensorTable) -> tuple[Json, list[str]]:
    """Return the training state as `resume` reads it; of which class it was, the file hides."""
    parts: dict[str, Json] = {}
    notes: list[str] = []

    def stored(value: Any, name: str, wrap: str) -> dict[str, Json]:
        part = TensorTable()
        try:
            encode(value, name, tensor=part.add)
            for path, tensor in part.tensors.items():
                stored_dtype(tensor, path)
        except (UnstorableError, RecursionError) as error:
            notes.append(f"without {name}: {error}")
            return {}
        written: Json = encode(value, name, tensor=table.add)
        named: dict[str, Json] = {} if wrap == "value" else {"class": None}
        return {name: {**named, wrap: written}}

    for name in ("optimizer", "scheduler"):
        if getattr(contents, name) is not None:
            parts |= stored(getattr(contents, name), name, "state_dict")
    state: dict[str, Json] = {}
    for name, value in contents.states.items():
        state |= stored(value, name, "state_dict")
    for name, value in contents.values.items():
        state |= stored(value, name, "value")
    if state:
        parts["state"] = state
    return parts or None, notes
