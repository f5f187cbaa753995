"""What this process holds of a tensor that is spread over several: boxes of the whole."""

from __future__ import annotations

from itertools import product
from typing import Any

import torch
from torch import Tensor

from tracker.errors import UnstorableError
from tracker.format.parts import Box


def held(tensor: Any, name: str) -> list[tuple[Box, Tensor]]:
    """Return the boxes of a DTensor that lie in this process, each with its values.

    Mostly it is one. A dimension that is cut by two meshes may lie here in several pieces.

    Args:
        tensor: A ``torch.distributed.tensor.DTensor``.
        name: Its name, for errors.

    Returns:
        Nothing for a process that is not in the tensor's mesh, or has none of its elements.

    Raises:
        UnstorableError: Its values are yet to be added up over the processes.

    Example:
        >>> held(distribute_tensor(torch.arange(4), mesh, [Shard(0)]), "x")  # in the second of two
        [(((2,), (2,)), tensor([2, 3]))]
    """
    local = local_part(tensor, name)
    return [(box, local[places]) for box, places in boxes_of(tensor, local)]


def local_part(tensor: Any, name: str) -> Tensor:
    """Return the values of a DTensor that lie in this process, in the memory where they lie.

    Raises:
        UnstorableError: See `held`.
    """
    if any(placement.is_partial() for placement in tensor.placements):
        raise UnstorableError(
            name,
            "is a DTensor whose values are partial: they are yet to be added up over the "
            "processes. Redistribute it before it is logged.",
        )
    with torch.no_grad():  # so that there is nothing to be noted for a backward pass
        local: Tensor = tensor.to_local()
    wait = getattr(local, "wait", None)  # it may be on its way
    return (local if wait is None else wait()).detach()


def boxes_of(tensor: Any, local: Tensor) -> list[tuple[Box, tuple[slice, ...]]]:
    """Return the boxes of a DTensor that lie in this process, each with its index in ``local``.

    Args:
        tensor: The DTensor.
        local: What lies here, or a tensor of that shape.
    """
    mesh = tensor.device_mesh
    coordinate = mesh.get_coordinate()
    if coordinate is None or (not local.numel() and tensor.numel()):
        return []
    # The same for every tensor of the shape, so that torch is asked once for each kind of layer.
    key = (tuple(tensor.shape), tuple(mesh.shape), tuple(coordinate), tuple(tensor.placements))
    known = _known.get(key)
    if known is None:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        known = _known[key] = _ask_torch(tensor, local)
    return known


_Boxes = list[tuple[Box, tuple[slice, ...]]]
_known: dict[tuple[Any, ...], _Boxes] = {}
_MOST_KNOWN = 10_000


def _ask_torch(tensor: Any, local: Tensor) -> _Boxes:
    runs = [_runs(tensor, axis) for axis in range(tensor.dim())]
    told = tuple(sum(length for _, _, length in each) for each in runs)
    if told != tuple(local.shape):
        raise UnstorableError(
            "",
            f"A DTensor of shape {[*tensor.shape]} with {tensor.placements} has {[*local.shape]} "
            f"here, but should have {[*told]}: torch does not say which part that is.",
        )
    return [
        (
            (tuple(first for first, _, _ in each), tuple(length for _, _, length in each)),
            tuple(slice(start, start + length) for _, start, length in each),
        )
        for each in product(*runs)
    ]


def is_first_copy(tensor: Any) -> bool:
    """Return whether this process is the first of those in the mesh that hold the same values."""
    coordinate = tensor.device_mesh.get_coordinate() or []
    return all(
        position == 0 or not placement.is_replicate()
        for position, placement in zip(coordinate, tensor.placements, strict=False)
    )


def _runs(tensor: Any, axis: int) -> list[tuple[int, int, int]]:
    """Return what lies here of one dimension: where each run begins, there and here, its length.

    torch itself is asked, by spreading the numbers of the places alike.
    """
    from torch.distributed.tensor import Replicate, distribute_tensor

    size, mesh = tensor.shape[axis], tensor.device_mesh
    placements = [
        placement if getattr(placement, "dim", None) == axis else Replicate()
        for placement in tensor.placements
    ]
    if all(placement.is_replicate() for placement in placements):
        return [(0, 0, size)]
    shape = [size if each == axis else 1 for each in range(tensor.dim())]
    numbers = torch.arange(size, device=mesh.device_type).reshape(shape)
    # Without a source every process cuts its own, and nobody waits for another.
    spread = distribute_tensor(numbers, mesh, placements, src_data_rank=None)
    return _without_gaps(spread.to_local().flatten().tolist())


def _without_gaps(places: list[int]) -> list[tuple[int, int, int]]:
    """Return the runs of consecutive numbers in a list.

    Example:
        >>> _without_gaps([4, 5, 8])
        [(4, 0, 2), (8, 2, 1)]
    """
    runs: list[tuple[int, int, int]] = []
    for here, place in enumerate(places):
        if runs and runs[-1][0] + runs[-1][2] == place:
            first, start, length = runs[-1]
            runs[-1] = first, start, length + 1
        else:
            runs.append((place, here, 1))
    return runs
