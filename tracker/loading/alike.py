"""Reads tensors as a live model has them: spread over the processes in the same way.

Of each only what lies in this process is read, however the checkpoint's own parts are cut. No
process waits for another.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from tracker.distributed.boxes import boxes_of, local_part
from tracker.errors import InvalidArgumentError
from tracker.format import StoredCheckpoint
from tracker.format.dtypes import DTYPES
from tracker.values import is_spread

_GROUP = "training"


def has_shape_of(stored: StoredCheckpoint, group: str, name: str, live: Any) -> bool:
    """Return whether a stored tensor has the shape that a live one has in all."""
    entry = stored.manifest.tensors.get(group, {}).get(name)
    return entry is not None and entry.shape == tuple(live.shape)


def read_alike(
    stored: StoredCheckpoint, group: str, name: str, live: Any, *, verify: bool = True
) -> Tensor:
    """Return a stored tensor as a DTensor that lies as a live one does.

    Args:
        stored: The opened files.
        group: The tensor's group.
        name: Its name.
        live: A DTensor of its shape; it is not changed.
        verify: Compare what is read with its digest first.

    Raises:
        CorruptCheckpointError: The bytes are not those that were written.
    """
    from torch.distributed.tensor import DTensor

    entry = stored.manifest.tensors[group][name]
    shape = local_part(live, name).shape
    local = torch.empty(shape, dtype=DTYPES[entry.dtype].torch)
    for box, places in boxes_of(live, local):
        local[places] = stored.region(group, name, box, verify=verify)
    return DTensor.from_local(
        local,
        live.device_mesh,
        live.placements,
        run_check=False,
        shape=live.shape,
        stride=live.stride(),
    )


def is_any_spread(*parts: Any) -> bool:
    """Return whether a parameter of a module or optimizer is spread over processes."""
    for part in parts:
        if isinstance(part, nn.Module):
            tensors: Iterable[Any] = (*part.parameters(), *part.buffers())
        else:
            groups = getattr(part, "param_groups", None)
            is_optimizer = isinstance(groups, list) and hasattr(part, "load_state_dict")
            tensors = (
                [each for group in groups or () for each in group["params"]] if is_optimizer else ()
            )
        if any(map(is_spread, tensors)):
            return True
    return False


def check_has_values(model: nn.Module) -> None:
    """Refuse a model that is spread over processes, and has no memory yet.

    Raises:
        InvalidArgumentError: Its parameters are on the meta device.
    """
    if any(is_spread(each) and each.is_meta for each in model.parameters()):
        raise InvalidArgumentError(
            "Parameters of the model are on the meta device, so there is no memory to load into. "
            "Call model.to_empty(device=…) after it is sharded, and what sets buffers that are not "
            "in its state_dict; then resume."
        )


class StandIns:
    """Tensors of a training state without values, until it is known how they are to lie.

    Args:
        stored: The opened files.
    """

    def __init__(self, stored: StoredCheckpoint) -> None:
        self._stored = stored
        self._names: dict[int, str] = {}
        self._made: dict[str, Tensor] = {}

    def make(self, key: Any, path: str) -> Tensor:
        """Return what stands for a tensor of the training state: its dtype and shape alone."""
        name = str(key)
        if name not in self._made:
            entry = self._stored.manifest.tensors.get(_GROUP, {}).get(name)
            if entry is None:
                return self._stored.tensor(_GROUP, name)  # which says what there is
            dtype = DTYPES[entry.dtype].torch
            self._made[name] = torch.empty(entry.shape, dtype=dtype, device="meta")
            self._names[id(self._made[name])] = name
        return self._made[name]

    def for_module(self, saved: Mapping[str, Any], module: nn.Module, *, verify: bool) -> Any:
        """Return the state of a module that was compared with it, its tensors as it has them."""
        live = module.state_dict()
        return {key: self.read(each, live.get(key), verify=verify) for key, each in saved.items()}

    def for_optimizer(self, saved: Mapping[str, Any], optimizer: Any, *, verify: bool) -> Any:
        """Return the state of an optimizer that was compared with it, by its parameters."""
        parameters = {
            key: parameter
            for before, now in zip(saved["param_groups"], optimizer.param_groups, strict=True)
            for key, parameter in zip(before["params"], now["params"], strict=True)
        }
        state = {
            key: self.read(each, parameters.get(key), verify=verify)
            for key, each in saved["state"].items()
        }
        others = {key: each for key, each in saved.items() if key != "state"}
        return {**self.read(others, None, verify=verify), "state": state}

    def read(self, value: Any, live: Any, *, verify: bool) -> Any:
        """Return a value of the state with its tensors.

        Args:
            value: The value, in which tensors stand for others.
            live: The tensor of the model that it belongs to. Where that is spread over processes,
                tensors of its shape lie alike, and others as far as dimensions are the same.
            verify: See `read_alike`.
        """
        if isinstance(value, Tensor):
            name = self._names.get(id(value))
            if name is None:
                return value
            if not is_spread(live) or value.dim() == 0:
                return self._stored.tensor(_GROUP, name, verify=verify)
            return read_alike(self._stored, _GROUP, name, _reduced(live, value), verify=verify)
        if isinstance(value, Mapping):
            return {key: self.read(each, live, verify=verify) for key, each in value.items()}
        if type(value) in (list, tuple):
            return type(value)(self.read(each, live, verify=verify) for each in value)
        return value


def _reduced(live: Any, value: Tensor) -> Any:
    """Return a DTensor of the shape of ``value`` that lies as ``live`` does, as far as can be.

    An optimizer may keep a number for each row: these lie where the rows do.
    """
    if live.shape == value.shape:
        return live
    from torch.distributed.tensor import Replicate, distribute_tensor

    placements = [
        placement
        if _is_common(getattr(placement, "dim", None), live.shape, value.shape)
        else Replicate()
        for placement in live.placements
    ]
    empty = torch.empty(value.shape, dtype=value.dtype, device=live.device_mesh.device_type)
    return distribute_tensor(empty, live.device_mesh, placements, src_data_rank=None)


def _is_common(axis: int | None, shape: torch.Size, other: torch.Size) -> bool:
    return (
        axis is not None and axis < len(other) and axis < len(shape) and shape[axis] == other[axis]
    )
