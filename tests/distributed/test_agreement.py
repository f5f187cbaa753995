"""Processes that log something else, or not all of it, are told so before anything is written."""

from __future__ import annotations

import pytest
import torch

from tracker.distributed.agreement import (
    Offer,
    agree,
    duplicates_from_json,
    duplicates_to_json,
    offer,
    without,
)
from tracker.errors import InvalidArgumentError
from tracker.format import Shard


def shard(first: int, last: int, name: str = "weight", size: int = 6) -> Shard:
    return Shard(name, (size,), ((first,), (last - first,)), torch.zeros(last - first))


def offered(*shards: Shard, checkpoint: str = "epoch-1") -> Offer:
    return offer(checkpoint, {"model": list(shards)})


def test_what_two_hold_the_lower_rank_writes() -> None:
    both = [shard(3, 6)]
    offers = {0: offered(shard(0, 3)), 1: offered(*both), 2: offered(*both)}
    duplicates = agree(offers, {})
    assert duplicates == {0: set(), 1: set(), 2: {("model", "weight", ((3,), (3,)))}}
    assert without({"model": both}, duplicates[2]) == {"model": []}
    sent = duplicates_to_json(duplicates[2])
    assert duplicates_from_json(sent, "rank 0") == duplicates[2]


def test_what_rank_0_has_whole_nobody_else_writes() -> None:
    offers = {0: offered(), 1: offered(shard(0, 6))}
    assert agree(offers, {"model": {"weight": object()}})[1] == {("model", "weight", ((0,), (6,)))}


@pytest.mark.parametrize(
    ("second", "problem"),
    [
        (offered(shard(3, 6), checkpoint="epoch-2"), "rank 0 epoch-1, rank 1 epoch-2"),
        (offered(shard(4, 6)), "weight: its parts have 5 of its 6 elements"),
        (offered(shard(2, 6)), "weight: its parts have 7 of its 6 elements"),
        (offered(shard(3, 7, size=7)), "weight has other dtypes or shapes"),
        (offered(shard(3, 6), shard(0, 3, "other")), "other: its parts have 3 of its 6"),
    ],
)
def test_processes_that_do_not_log_the_same(second: Offer, problem: str) -> None:
    with pytest.raises(InvalidArgumentError, match=problem):
        agree({0: offered(shard(0, 3)), 1: second}, {})
