"""Lightning's dump of a training, taken apart into what a checkpoint stores, and put together.

The dump is the dict that Lightning writes into its ``.ckpt`` files. Its ``state_dict`` is, as a
rule, the model's own, which a checkpoint holds anyway. Where a callback or ``on_save_checkpoint``
has changed it (averaged weights in the place of the model's, parts left out, others added), what is
different is kept as well, so that the dump comes back as it was.
"""

from __future__ import annotations

import sys
from collections import OrderedDict, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from tracker.architecture.wrappers import plain_key
from tracker.errors import UnstorableError
from tracker.format.dtypes import BY_TORCH, stored_dtype
from tracker.values import TensorTable, encode

STATE_DICT = "state_dict"
_MAX_DEPTH = 40
_MISSING = object()
_ATOMS = frozenset({type(None), bool, int, float, str})


@dataclass(frozen=True, slots=True)
class Taken:
    """A dump, taken apart.

    Attributes:
        weights: Tensors that the dump has in the place of the model's own, by key.
        value: Everything else, as plain values.
        left_out: What can't be stored without pickle, with its path; it is not in ``value``.
    """

    weights: dict[str, Tensor]
    value: dict[str, Any]
    left_out: list[str]


def take_apart(dump: Mapping[str, Any], model: nn.Module) -> Taken:
    """Return what is to be stored of a dump beside the model.

    Args:
        dump: Lightning's; it is not changed.
        model: The module that it is of.
    """
    plain = _Plain()
    state: Mapping[str, Any] = dump.get(STATE_DICT) or {}
    own = {plain_key(key): value for key, value in model.state_dict().items()}
    weights: dict[str, Tensor] = {}
    more: dict[str, Any] = {}
    for key, value in state.items():
        mine: Any = own.get(plain_key(key))
        if not _are_alike(value, mine):
            more[key] = plain.copy(value, f"{STATE_DICT}.{key}")
        elif not _is_same_memory(value, mine):
            weights[plain_key(key)] = value
    rest = {key: value for key, value in dump.items() if key != STATE_DICT}
    taken = {
        "dump": plain.copy(rest, ""),
        "keys": None if list(state) == list(own) else list(state),
        "more": {key: value for key, value in more.items() if value is not _MISSING},
    }
    return Taken(weights, taken, plain.left_out)


def put_together(value: Mapping[str, Any], weights: Mapping[str, Tensor]) -> dict[str, Any]:
    """Return the dump again.

    Args:
        value: What `take_apart` made of it.
        weights: The checkpoint's weights, by key.
    """
    more = value["more"]
    keys = [*weights, *(k for k in more if k not in weights)]
    state = {
        key: more[key] if key in more else weights[plain_key(key)]
        for key in (keys if value["keys"] is None else value["keys"])
        if key in more or plain_key(key) in weights
    }
    return {**value["dump"], STATE_DICT: state}


def _are_alike(value: Any, mine: Any) -> bool:
    """Return whether a tensor can lie in the place of the model's own."""
    return (
        isinstance(value, Tensor)
        and isinstance(mine, Tensor)
        and value.layout == mine.layout == torch.strided
        and not (value.is_quantized or mine.is_quantized)
        and value.dtype == mine.dtype
        and value.shape == mine.shape
    )


def _is_same_memory(value: Tensor, mine: Tensor) -> bool:
    return value.data_ptr() == mine.data_ptr() and value.stride() == mine.stride()


class _Plain:
    """Copies nested values without what can't be stored.

    Attributes:
        left_out: Where that was, and what.
    """

    def __init__(self) -> None:
        self.left_out: list[str] = []

    def copy(self, value: Any, path: str, depth: int = 0) -> Any:
        """Return the value, its containers new; `_MISSING` if nothing of it can be stored."""
        value = _without_omegaconf(value)
        if depth > _MAX_DEPTH:
            self.left_out.append(f"{path}: is nested too deep")
            return _MISSING
        if isinstance(value, dict):
            return self._mapping(value, path, depth)
        if type(value) in (list, tuple):
            items = [self.copy(item, f"{path}.{i}", depth + 1) for i, item in enumerate(value)]
            return type(value)(None if item is _MISSING else item for item in items)
        try:
            self._check(value, path)
        except (UnstorableError, RecursionError) as error:
            self.left_out.append(str(error))
            return _MISSING
        return value

    def _mapping(self, value: dict[Any, Any], path: str, depth: int) -> Any:
        inside = {
            key: self.copy(item, f"{path}.{key}".lstrip("."), depth + 1)
            for key, item in value.items()
            if self._is_key(key, path)
        }
        kept = {key: item for key, item in inside.items() if item is not _MISSING}
        if type(value) is defaultdict:
            return defaultdict(value.default_factory, kept)
        # Of other kinds, such as Lightning's AttributeDict, the content is what counts.
        return OrderedDict(kept) if type(value) is OrderedDict else kept

    def _is_key(self, key: Any, path: str) -> bool:
        try:
            self._check(key, f"{path} (a key)")
        except UnstorableError as error:
            self.left_out.append(str(error))
            return False
        return True

    def _check(self, value: Any, path: str) -> None:
        if type(value) in _ATOMS or _is_plain_tensor(value):
            return
        table = TensorTable()
        encode(value, path, tensor=table.add)
        for name, tensor in table.tensors.items():
            stored_dtype(tensor, name)


def _is_plain_tensor(value: Any) -> bool:
    """Return whether a value is a tensor that certainly can be stored: there are thousands."""
    return (
        type(value) in (Tensor, nn.Parameter)
        and value.layout == torch.strided
        and value.dtype in BY_TORCH
        and not (value.is_meta or value.is_nested)
    )


def _without_omegaconf(value: Any) -> Any:
    """Return hyperparameters that OmegaConf holds as plain containers."""
    omegaconf = sys.modules.get("omegaconf")
    if omegaconf is None or not isinstance(value, omegaconf.Container):
        return value
    return omegaconf.OmegaConf.to_container(value, resolve=False)
