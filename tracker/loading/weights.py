"""The weights of a checkpoint by their keys in the state_dict: all of them, or those of one part.

Of a part no byte of another is read.
"""

from __future__ import annotations

import difflib
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tracker.architecture.imports import Imports
from tracker.architecture.rebuild import read_state_values
from tracker.architecture.slots import TensorPool
from tracker.architecture.special_tensors import tensors_among
from tracker.architecture.wrappers import plain_key
from tracker.errors import InvalidArgumentError, NotFoundError
from tracker.format import StoredCheckpoint
from tracker.loading.alike import has_shape_of, read_alike
from tracker.loading.placement import check_device, check_dtype, placed
from tracker.values import is_spread

_MAX_NAMED = 5


def restore_state_dict(
    stored: StoredCheckpoint,
    *,
    prefix: str | None = None,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = None,
    verify: bool = True,
    live: Mapping[str, Any] | None = None,
) -> dict[str, Tensor]:
    """Return the tensors of the model's state_dict, by key.

    Tied tensors are one tensor under several keys, as in the model. Parts of the model that were
    compiled have the keys that they have without.

    Args:
        stored: The opened files.
        prefix: A part of the model, for example ``encoder.layers.0``: only its tensors, by the keys
            that the part itself has for them.
        device: Where the tensors go.
        dtype: What floating-point tensors are converted to.
        verify: Compare the bytes of these tensors with their digests first.
        live: What a live model has under these keys. Of tensors that it has spread over processes
            only what lies in this one is read, and returned in the same way.

    Raises:
        NotFoundError: The model has no such part with tensors; lists what is near.
        InvalidArgumentError: An argument is not usable.
        CorruptCheckpointError: The bytes are not those that were written.
    """
    target, wanted = check_device(device), check_dtype(dtype)
    start = check_prefix(prefix)
    names = _starting(stored.manifest.tensors.get("model", {}), start)
    spread = {start + key: value for key, value in (live or {}).items() if is_spread(value)}
    if verify:
        stored.verify("model", [name for name in names if name not in spread], again=False)
    moved: dict[int, Tensor] = {}
    state: dict[str, Tensor] = {}
    for name in names:
        if name in spread and has_shape_of(stored, "model", name, spread[name]):
            state[name] = read_alike(stored, "model", name, spread[name], verify=verify)
            continue
        tensor = stored.tensor("model", name, verify=False)
        if id(tensor) not in moved:
            moved[id(tensor)] = placed(tensor, target, wanted)
        state[name] = moved[id(tensor)]
    pool = TensorPool(lambda group, name: stored.tensor(group, name, verify=verify))
    for name, tensor in tensors_among(_values(stored, start), pool.get).items():
        state[name] = placed(tensor, target, wanted)
    if start and not names and not _values(stored, start):
        raise NotFoundError(_nothing(stored, start))
    return {name[len(start) :]: tensor for name, tensor in state.items()}


def restore_state_for(
    model: nn.Module,
    stored: StoredCheckpoint,
    *,
    prefix: str | None = None,
    verify: bool = True,
) -> dict[str, Any]:
    """Return the whole state_dict for a live model, on the CPU, by key.

    Beside the tensors of `restore_state_dict` these are the entries that need the model's classes
    to be made, and those that are no tensors (``get_extra_state``).

    Args:
        model: The model, or that part of it.
        stored: The opened files.
        prefix: See `restore_state_dict`.
        verify: See `restore_state_dict`.

    Raises:
        NotFoundError: See `restore_state_dict`.
        CorruptCheckpointError: See `restore_state_dict`.
    """
    live = {plain_key(key): value for key, value in model.state_dict().items()}
    state: dict[str, Any] = dict(
        restore_state_dict(stored, prefix=prefix, verify=verify, live=live)
    )
    start = check_prefix(prefix)
    values = _values(stored, start)
    if values:
        pool = TensorPool(lambda group, name: stored.tensor(group, name, verify=verify))
        structure = stored.manifest.architecture.structure
        for name, value in read_state_values(values, structure, Imports(), model, pool).items():
            state[name[len(start) :]] = value
    return state


def check_prefix(prefix: str | None) -> str:
    """Return how the keys of a part of the model begin: with its name and a dot.

    Raises:
        InvalidArgumentError: It is no text.

    Example:
        >>> check_prefix("encoder.layers.0")
        'encoder.layers.0.'
    """
    if prefix is not None and not isinstance(prefix, str):
        raise InvalidArgumentError(
            f"prefix={prefix!r}: expected the name of a part of the model such as "
            "'encoder.layers.0', or None for all of it."
        )
    if not prefix:
        return ""
    return plain_key(prefix.removesuffix(".") + ".")


def _starting(names: Iterable[str], start: str) -> list[str]:
    return [name for name in names if name.startswith(start) and name != start]


def _values(stored: StoredCheckpoint, start: str) -> dict[str, Any]:
    values = stored.manifest.state_values
    if not isinstance(values, dict):
        return {}
    return {name: values[name] for name in _starting(values, start)}


def _nothing(stored: StoredCheckpoint, start: str) -> str:
    keys = {*stored.manifest.tensors.get("model", {}), *_values(stored, "")}
    parts = {
        ".".join(pieces[:length])
        for pieces in (key.split(".") for key in keys)
        for length in range(1, len(pieces))
    }
    wanted = start.removesuffix(".")
    model = stored.manifest.architecture.model_text
    if wanted in keys:
        what = f"{wanted!r} is a tensor of {model}, not a part of it"
    else:
        what = f"{model} has no part {wanted!r} with tensors"
    near = difflib.get_close_matches(wanted, sorted(parts), _MAX_NAMED) or _outermost(parts)
    return f"{what}; prefix= takes the name of one, for example: {', '.join(near) or 'none'}."


def _outermost(parts: Collection[str]) -> list[str]:
    return sorted(part for part in parts if "." not in part)[:_MAX_NAMED]
