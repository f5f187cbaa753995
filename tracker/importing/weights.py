"""A state_dict of others as the model itself would have written it: prefixes and copies undone."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor, nn

_WRAPPERS = ("_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")
"""Children in which torch.compile, FSDP and activation checkpointing keep the module, anywhere."""

_OUTERMOST = ("module", "_forward_module")
"""Those of DataParallel, DistributedDataParallel and Lightning's strategies, around everything."""

_AVERAGED = "n_averaged"
"""What torch.optim.swa_utils.AveragedModel counts, beside the module that it wraps."""


def is_state_dict(value: object) -> bool:
    """Return whether a value looks like a model's state_dict: tensors by text, one at least."""
    if not isinstance(value, Mapping) or not value:
        return False
    others = [key for key, item in value.items() if not isinstance(item, Tensor)]
    return (
        len(others) < len(value)
        and all(isinstance(key, str) for key in value)
        and all(key.endswith("_extra_state") for key in others)
    )


def plain_weights(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return a state_dict without the prefixes of wrappers; tied tensors are one object.

    Example:
        >>> list(plain_weights({"module._orig_mod.fc.weight": torch.zeros(2)}))
        ['fc.weight']
    """
    names = dict(zip(state, without_wrappers(state), strict=True))
    kept = {names[key]: value for key, value in state.items()}
    if _AVERAGED in kept and _AVERAGED not in without_wrappers(k for k in state if k != _AVERAGED):
        inner = {key: value for key, value in state.items() if key != _AVERAGED}
        shorter = without_wrappers(inner)
        if shorter != list(inner):
            kept = dict(zip(shorter, inner.values(), strict=True))
    return _united(kept)


def without_wrappers(keys: Iterable[str]) -> list[str]:
    """Return the keys as they are without wrappers, or as they are if two would become one."""
    given = list(keys)
    found = [".".join(part for part in key.split(".") if part not in _WRAPPERS) for key in given]
    for outer in _OUTERMOST * 2:
        start = f"{outer}."
        while found and all(key.startswith(start) and key != start for key in found):
            found = [key[len(start) :] for key in found]
    return found if len(set(found)) == len(given) and all(found) else given


def _united(state: Mapping[str, Any]) -> dict[str, Any]:
    """Return the entries with one tensor object for all names of the same memory."""
    met: dict[tuple[object, ...], Tensor] = {}
    united: dict[str, Any] = {}
    for key, value in state.items():
        if not _has_memory(value):
            united[key] = value
            continue
        tensor = value.detach() if isinstance(value, nn.Parameter) else value
        place = (tensor.data_ptr(), tuple(tensor.shape), tensor.stride(), tensor.dtype)
        united[key] = met.setdefault(place, tensor) if tensor.numel() else tensor
    return united


def _has_memory(value: object) -> bool:
    return (
        isinstance(value, Tensor)
        and not value.is_meta
        and not value.is_sparse
        and not value.is_quantized
        and not value.is_nested
        and value.layout.__repr__() == "torch.strided"
    )
