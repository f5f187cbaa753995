"""Divides the tensors of a checkpoint: those that rank 0 writes whole, and boxes of the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tracker.distributed.boxes import held, is_first_copy
from tracker.format import Shard
from tracker.format.parts import Box
from tracker.values import is_spread

Groups = Mapping[str, Mapping[str, Tensor]]


@dataclass(frozen=True, slots=True)
class Division:
    """The tensors of a checkpoint, as one process sees them.

    Attributes:
        whole: Those that this process has whole, by group and name.
        shards: The boxes of others that it holds, by group.
        ties: Of these others, the further names of a tensor by group: under which it is stored.
    """

    whole: dict[str, dict[str, Tensor]]
    shards: dict[str, list[Shard]] = field(default_factory=dict)
    ties: dict[str, dict[str, str]] = field(default_factory=dict)


def divide(groups: Groups, *, writes_whole: bool) -> Division:
    """Return what a process has of the tensors of a checkpoint.

    Args:
        groups: The tensors by group and name; those that are spread are DTensors.
        writes_whole: Whether it is this process that writes what a process has whole. Others offer
            such a tensor as a box, if it is not known that this one has it, too.

    Raises:
        UnstorableError: A tensor is in no state to be stored.
    """
    division = Division({})
    for group, tensors in groups.items():
        whole = division.whole[group] = {}
        shards: list[Shard] = []
        first: dict[int, str] = {}
        made: dict[int, Tensor] = {}
        for name, tensor in tensors.items():
            if not is_spread(tensor):
                whole[name] = tensor
                continue
            if id(tensor) in made:  # tied: one tensor again
                whole[name] = made[id(tensor)]
                continue
            if id(tensor) in first:
                division.ties.setdefault(group, {})[name] = first[id(tensor)]
                continue
            boxes = _boxes(tensor, name)
            is_whole = len(boxes) == 1 and boxes[0][0][1] == tuple(tensor.shape)
            if is_whole and writes_whole:
                whole[name] = made[id(tensor)] = boxes[0][1]
                continue
            first[id(tensor)] = name
            if is_first_copy(tensor) and not (is_whole and _has_first(tensor)):
                shape = tuple(tensor.shape)
                shards += [Shard(name, shape, box, here) for box, here in boxes]
        if shards:
            division.shards[group] = shards
    return division


def _boxes(tensor: Tensor, name: str) -> list[tuple[Box, Tensor]]:
    """Return what lies here of a spread tensor; one without elements lies everywhere."""
    if not tensor.numel():
        empty = torch.empty(tensor.shape, dtype=tensor.dtype)
        return [(((0,) * tensor.dim(), tuple(tensor.shape)), empty)]
    return held(tensor, name)


def _has_first(tensor: Tensor) -> bool:
    """Return whether rank 0 is one of the processes that hold a tensor."""
    mesh = tensor.device_mesh.mesh  # type: ignore[attr-defined]
    return bool((mesh == 0).any())
