"""Rank 0 keeps what the other processes have of their own, if they say so."""

from __future__ import annotations

from collections import Counter

import pytest
import torch
import torch.distributed as distributed
from torch import nn

from tracker.errors import DistributedError
from tracker.saving import others
from tracker.saving.others import joined_training, leave, others_of, with_others
from tracker.saving.snapshot import OwnState, Snapshot, own_state, take


@pytest.fixture(autouse=True)
def two_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    store = distributed.HashStore()
    monkeypatch.setattr(others, "default_store", lambda: store)
    monkeypatch.setattr(others, "world_size", lambda: 2)
    monkeypatch.setattr(others, "rank", lambda: 1)
    monkeypatch.setattr(others, "_silent", set())
    monkeypatch.setattr(others, "_SECONDS", 0.05)


def called(monkeypatch: pytest.MonkeyPatch, rank: int) -> None:
    """Count calls as one process would: both are this one."""
    counts = vars(others).setdefault("_test_counts", {0: Counter(), 1: Counter()})
    monkeypatch.setattr(others, "_calls", counts[rank])


@pytest.fixture
def snapshot() -> Snapshot:
    model = nn.Linear(2, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return take(model, optimizer=optimizer, scheduler=None, state={"seed": 7})


OWN = OwnState(
    {"state": {"seed": {"value": {"$tensor": "rank-1.seed"}}}},
    {"rank-1.seed": torch.tensor([1.5, -0.0]), "rank-1.none": torch.empty(0, 2)},
)


def test_what_a_process_leaves_is_kept_by_its_rank(monkeypatch, snapshot):
    vars(others).pop("_test_counts", None)
    called(monkeypatch, 1)
    leave("epoch-1", OWN)
    called(monkeypatch, 0)
    kept = with_others(snapshot, others_of("epoch-1"))
    assert kept.training["ranks"] == {"1": OWN.training}
    assert torch.equal(kept.training_tensors["rank-1.seed"], torch.tensor([1.5, -0.0]))
    assert kept.training_tensors["rank-1.none"].shape == (0, 2)
    assert kept.training["optimizer"] == snapshot.training["optimizer"]


def test_one_name_logged_twice_is_two_checkpoints(monkeypatch, snapshot):
    vars(others).pop("_test_counts", None)
    called(monkeypatch, 1)
    second = OwnState({"state": {"seed": {"value": 2}}}, {})
    leave("epoch-1", OWN)
    leave("epoch-1", second)
    called(monkeypatch, 0)
    asked = [others_of("epoch-1"), others_of("epoch-1")]
    found = [with_others(snapshot, each).training["ranks"]["1"] for each in asked]
    assert found == [OWN.training, second.training]


def test_who_never_calls_is_waited_for_once(monkeypatch, snapshot):
    awaited = []
    monkeypatch.setattr(others, "wait_for", lambda look, left: awaited.append(not look()))
    assert with_others(snapshot, others_of("epoch-1")) == snapshot
    assert with_others(snapshot, others_of("epoch-2")) == snapshot
    assert awaited == [True, False]


def test_a_store_that_is_gone_costs_nothing_but_what_is_the_others(monkeypatch, snapshot):
    def gone() -> None:
        raise DistributedError("The store can't be reached.")

    monkeypatch.setattr(others, "default_store", gone)
    leave("epoch-1", OWN)
    assert others_of("epoch-1") is None
    assert with_others(snapshot, None) is snapshot


def test_only_what_is_small_is_left(monkeypatch, snapshot):
    vars(others).pop("_test_counts", None)
    monkeypatch.setattr(others, "_MOST_BYTES", 4)
    called(monkeypatch, 1)
    leave("epoch-1", OWN)
    called(monkeypatch, 0)
    assert "ranks" not in with_others(snapshot, others_of("epoch-1")).training


def test_modules_and_optimizers_are_nobody_s_own():
    model = nn.Linear(1, 1)
    state = {"ema": model, "seed": 7, "sampler": torch.Generator()}
    own = own_state(optimizer=torch.optim.SGD(model.parameters()), scheduler=None, state=state)
    assert own.training["state"].keys() == {"seed", "sampler"}
    assert own.training["random"].keys() >= {"python", "torch"}
    assert own_state(optimizer=None, scheduler=None, state=None).training is None


def test_random_states_are_joined_by_rank():
    first = {"random": {"ranks": {"0": "a"}, "world_size": 3}, "state": {"n": {"value": 0}}}
    others = {1: {"random": "b", "state": {"n": {"value": 1}}}, 2: None}
    assert joined_training(first, others) == {
        "random": {"ranks": {"0": "a", "1": "b"}, "world_size": 3},
        "state": {"n": {"value": 0}},
        "ranks": {"1": {"state": {"n": {"value": 1}}}},
    }
    assert joined_training(None, others) is None
    assert joined_training(first, {}) == first
