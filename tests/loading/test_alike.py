"""Tensors are read as a live model has them spread, however the checkpoint's parts are cut."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as distributed
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.distributed.tensor import DTensor, Replicate, Shard, distribute_tensor
from torch.testing._internal.distributed.fake_pg import FakeStore

from tests.frozen.v1_2.make_checkpoint import ROWS, TILES
from tracker.errors import InvalidArgumentError
from tracker.format import Content, StoredCheckpoint, open_checkpoint, write_checkpoint
from tracker.loading.alike import StandIns, check_has_values, is_any_spread, read_alike
from tracker.types import Architecture

FROZEN = Path(__file__).parents[1] / "frozen" / "v1_2" / "checkpoint"


@pytest.fixture(autouse=True)
def second_of_two() -> Iterator[None]:
    distributed.init_process_group("fake", rank=1, world_size=2, store=FakeStore())
    yield
    distributed.destroy_process_group()


def spread(shape: tuple[int, ...], *placements: object) -> DTensor:
    mesh = init_device_mesh("cpu", (2,))
    return distribute_tensor(torch.zeros(shape), mesh, placements, src_data_rank=None)


@pytest.mark.parametrize(
    ("name", "placement", "expected"),
    [
        ("rows", Shard(0), ROWS[4:]),
        ("rows", Shard(1), ROWS[:, 1:]),
        ("rows", Replicate(), ROWS),
        ("tiles", Shard(1), TILES[:, 3:]),
        ("tied", Shard(0), ROWS[4:]),
    ],
)
def test_what_lies_in_this_process_is_read(name, placement, expected):
    live = spread((4, 6) if name == "tiles" else (7, 2), placement)
    made = read_alike(open_checkpoint(FROZEN), "model", name, live)
    assert torch.equal(made.to_local(), expected)
    assert made.to_local().dtype == expected.dtype
    assert (made.placements, made.shape) == (live.placements, live.shape)


@pytest.fixture
def stored(tmp_path: Path) -> StoredCheckpoint:
    training = {
        "average": torch.arange(21.0).reshape(7, 3),
        "by row": torch.arange(7.0).reshape(7, 1),
        "step": torch.tensor(4.0),
        "rate": torch.tensor([0.5]),
    }
    architecture = Architecture("none", "net:Net", "Net()")
    tensors = {"training": training}
    write_checkpoint(tmp_path, Content("epoch-1", "0f3c", 0, architecture, tensors=tensors))
    return open_checkpoint(tmp_path)


def test_the_state_of_an_optimizer_lies_where_its_parameters_do(stored):
    parameter = nn.Parameter(spread((7, 3), Shard(0)))
    optimizer = torch.optim.SGD([parameter], lr=0.1)
    assert is_any_spread(optimizer)
    stand_ins = StandIns(stored)
    state = {name: stand_ins.make(name, "") for name in ("average", "by row", "step")}
    assert all(each.is_meta for each in state.values())
    saved = {
        "state": {0: {**state, "kind": "average"}},
        "param_groups": [{"params": [0], "lr": stand_ins.make("rate", "")}],
    }
    read = stand_ins.for_optimizer(saved, optimizer, verify=True)
    own = read["state"][0]
    assert torch.equal(own["average"].to_local(), torch.arange(12.0, 21.0).reshape(3, 3))
    assert torch.equal(own["by row"].to_local(), torch.arange(4.0, 7.0).reshape(3, 1))
    assert own["by row"].placements == (Shard(0),)
    assert type(own["step"]) is torch.Tensor
    assert own["kind"] == "average"
    assert torch.equal(read["param_groups"][0]["lr"], torch.tensor([0.5]))


def test_a_model_without_memory_is_refused():
    with torch.device("meta"):
        model = nn.Linear(4, 4)
    fully_shard(model)
    with pytest.raises(InvalidArgumentError, match=r"Call model\.to_empty"):
        check_has_values(model)
    check_has_values(nn.Linear(1, 1))
