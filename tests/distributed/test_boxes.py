"""What each process holds of a tensor: the same as torch's own planner says, or more exactly."""

from __future__ import annotations

import pytest
import torch
from torch.distributed.checkpoint.default_planner import create_default_local_save_plan
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Partial, Replicate, Shard, distribute_tensor

from tracker.distributed.boxes import boxes_of, held, is_first_copy
from tracker.errors import UnstorableError
from tracker.format.parts import misfit

from .conftest import InRank

TENSOR = torch.arange(35.0).reshape(7, 5)

PLACEMENTS = {
    "rows": ((4,), [Shard(0)]),
    "columns": ((2,), [Shard(1)]),
    "tiles": ((2, 2), [Shard(0), Shard(1)]),
    "rows twice": ((2, 2), [Shard(0), Shard(0)]),
    "replicas of rows": ((2, 2), [Replicate(), Shard(0)]),
    "more processes than rows": ((9,), [Shard(0)]),
}


def spread(shape: tuple[int, ...], placements: list[object]) -> DTensor:
    mesh = init_device_mesh("cpu", shape)
    return distribute_tensor(TENSOR, mesh, placements, src_data_rank=None)


@pytest.mark.parametrize(("shape", "placements"), PLACEMENTS.values(), ids=PLACEMENTS)
def test_the_boxes_of_all_processes_make_up_the_tensor(
    in_rank: InRank, shape: tuple[int, ...], placements: list[object]
) -> None:
    size = torch.Size(shape).numel()
    boxes = []
    for rank in range(size):
        with in_rank(rank, size):
            tensor = spread(shape, placements)
            for (offset, lengths), values in held(tensor, "x"):
                place = tuple(slice(o, o + n) for o, n in zip(offset, lengths, strict=True))
                assert torch.equal(values, TENSOR[place])
                if is_first_copy(tensor):
                    boxes.append((offset, lengths))
    assert misfit((7, 5), boxes) == ""


@pytest.mark.parametrize(("shape", "placements"), PLACEMENTS.values(), ids=PLACEMENTS)
def test_torch_would_write_the_same_boxes(
    in_rank: InRank, shape: tuple[int, ...], placements: list[object]
) -> None:
    size = torch.Size(shape).numel()
    with in_rank(size - 1, size):
        tensor = spread(shape, placements)
        (item,) = create_default_local_save_plan({"x": tensor}, False).items
        chunk = item.tensor_data.chunk
        ours = [box for box, _ in held(tensor, "x")]
        theirs = [(tuple(chunk.offsets), tuple(chunk.sizes))]
        assert ours == (theirs if chunk.sizes.numel() else [])


def test_values_that_are_yet_to_be_added_up_are_refused(in_rank: InRank) -> None:
    with in_rank(0, 2):
        mesh = init_device_mesh("cpu", (2,))
        partial = DTensor.from_local(TENSOR, mesh, [Partial()], run_check=False)
        with pytest.raises(UnstorableError, match="partial"):
            held(partial, "gradient")


def test_the_place_of_each_box_in_what_lies_here(in_rank: InRank) -> None:
    with in_rank(1, 2):
        tensor = spread((2,), [Shard(0)])
        assert boxes_of(tensor, tensor.to_local()) == [
            (((4, 0), (3, 5)), (slice(0, 3), slice(0, 5)))
        ]
