"""How processes that save a checkpoint together begin with it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
import torch.distributed as distributed
from torch import nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import FullyShardedDataParallel, fully_shard
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.testing._internal.distributed.fake_pg import FakeStore

import tracker
from tracker.architecture.distribution import reshard
from tracker.distributed.board import Board, default_store
from tracker.errors import InvalidArgumentError, UnstorableError
from tracker.saving.shares import alone, share
from tracker.saving.snapshot import take
from tracker.saving.turn import FAILED, begin, is_model_spread, others_told


@pytest.fixture(autouse=True)
def one_of_two() -> Iterator[None]:
    distributed.init_process_group("fake", rank=1, world_size=2, store=FakeStore())
    yield
    distributed.destroy_process_group()


def sharded() -> nn.Module:
    model = nn.Sequential(nn.Linear(3, 5), nn.BatchNorm1d(5))
    fully_shard(model)
    return model


def test_only_a_model_that_is_spread_needs_the_others() -> None:
    assert begin(nn.Linear(1, 1)) is None
    assert begin("no model") is None
    turn = begin(sharded())
    assert turn is not None
    assert (turn.rank, turn.size, turn.leads) == (1, 2, False)


def test_one_that_is_whole_after_a_forward_pass_is_spread_all_the_same() -> None:
    model = sharded()
    model.unshard()
    assert not any(isinstance(each, DTensor) for each in model.parameters())
    assert is_model_spread(model)
    reshard(model)
    assert all(isinstance(each, DTensor) for each in model.parameters())


def test_a_call_that_fails_is_told_and_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, object]] = []
    monkeypatch.setattr(Board, "post", lambda self, key, message: told.append((key, message)))
    model = sharded()
    with pytest.raises(ValueError, match="bad"), others_told(model):
        raise ValueError("bad metric")
    assert told == [
        (FAILED, {"rank": 1, "type": "ValueError", "message": "bad metric", "notes": []})
    ]
    told.clear()
    with pytest.raises(ValueError, match="later"), others_told(model) as turn:  # noqa: PT012
        assert turn is not None
        turn.handed_over = True
        raise ValueError("later, when the background has it")
    assert told == []


def test_every_call_has_messages_of_its_own() -> None:
    model, store = sharded(), default_store()
    boards = [begin(model).board._store for _ in range(2)]
    assert all(board.underlying_store is store for board in boards)


def test_a_process_that_does_not_lead_copies_its_parts_and_what_is_its_own() -> None:
    model = sharded()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    state = {"seed": torch.ones(2), "ema": nn.Linear(1, 1)}
    taken = take(model, optimizer=optimizer, scheduler=None, state=state)
    shared = share(taken, "epoch-1", leads=False)
    assert [box.name for _, box in shared.snapshot.boxes] == [
        "0.weight",
        "0.bias",
        "1.weight",
        "1.bias",
    ]
    assert shared.snapshot.description.state == {}
    names = shared.snapshot.training_tensors.keys()
    assert "rank-1.state.seed" in names
    assert all(name.startswith("rank-1.") for name in names)
    assert shared.snapshot.training.keys() == {"state", "random"}
    assert shared.snapshot.training["state"].keys() == {"seed"}


def test_spread_state_of_a_model_that_is_not_is_refused() -> None:
    mesh = init_device_mesh("cpu", (2,))
    spread = distribute_tensor(torch.ones(4), mesh, [Shard(0)], src_data_rank=None)
    taken = take(nn.Linear(1, 1), optimizer=None, scheduler=None, state={"moved": spread})
    with pytest.raises(UnstorableError, match=r"state\.moved: .*full_tensor"):
        alone(taken)


def test_what_can_not_be_described_is_refused(workplace: object) -> None:
    flat = FullyShardedDataParallel(nn.Linear(2, 2), device_id=torch.device("cpu"))
    with pytest.raises(InvalidArgumentError, match=r"fully_shard\(model\)"):
        take(flat, optimizer=None, scheduler=None, state=None)
    with pytest.raises(InvalidArgumentError, match="example_input runs the model alone"):
        tracker.log_checkpoint(sharded(), example_input=torch.zeros(1, 3))
