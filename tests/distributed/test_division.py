"""What of a checkpoint's tensors a process writes whole, and what it offers in boxes."""

from __future__ import annotations

import torch
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import Replicate, Shard, distribute_tensor

from tracker.distributed.agreement import agree, offer, offer_from_json, offer_to_json
from tracker.distributed.division import divide

from .conftest import InRank


def groups(size: int) -> dict:
    mesh = init_device_mesh("cpu", (size,))
    rows = distribute_tensor(torch.arange(6.0), mesh, [Shard(0)], src_data_rank=None)
    copies = distribute_tensor(torch.ones(2), mesh, [Replicate()], src_data_rank=None)
    empty = distribute_tensor(torch.empty(0, 3), mesh, [Shard(0)], src_data_rank=None)
    plain = torch.zeros(3)
    model = {"rows": rows, "tied": rows, "copies": copies, "twin": copies, "empty": empty}
    return {"model": {**model, "plain": plain}}


def test_rank_0_writes_what_it_has_whole_and_others_their_boxes(in_rank: InRank) -> None:
    with in_rank(0, 2):
        first = divide(groups(2), writes_whole=True)
        assert set(first.whole["model"]) == {"copies", "twin", "empty", "plain"}
        assert first.whole["model"]["twin"] is first.whole["model"]["copies"]
        assert first.ties == {"model": {"tied": "rows"}}
        assert [(s.name, s.box) for s in first.shards["model"]] == [("rows", ((0,), (3,)))]
    with in_rank(1, 2):
        second = divide(groups(2), writes_whole=False)
        assert [(s.name, s.box) for s in second.shards["model"]] == [("rows", ((3,), (3,)))]
    offers = {0: offer("epoch-1", first.shards), 1: offer("epoch-1", second.shards)}
    assert agree(offers, first.whole) == {0: set(), 1: set()}
    assert offer_from_json(offer_to_json(offers[1]), "rank 1") == offers[1]


def test_alone_everything_is_whole(in_rank: InRank) -> None:
    with in_rank(0, 1):
        division = divide(groups(1), writes_whole=True)
        assert division.shards == {}
        assert torch.equal(division.whole["model"]["rows"], torch.arange(6.0))
        assert division.whole["model"]["tied"] is division.whole["model"]["rows"]
