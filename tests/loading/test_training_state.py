"""A manifest whose training state is none is refused before anything is touched."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.loading.resuming import Perceptron, seed, training
from tests.training import same, state_of
from tracker.errors import FormatError, MismatchError, NotFoundError
from tracker.format import StoredCheckpoint
from tracker.loading.resume import resume_training
from tracker.rehearsal.stored import store

PARTS: dict[str, Any] = {
    "no object": 5,
    "a part that is none": {"optimizer": 5},
    "names that are none": {"optimizer": {"state_dict": {}, "parameters": 5}},
    "names of another kind": {"optimizer": {"state_dict": {}, "parameters": [[5]]}},
    "a class that is none": {"optimizer": {"state_dict": {}, "class": []}},
    "parts that are none": {"optimizer": {"state_dict": {}, "parts": 7}},
    "a state that is none": {"optimizer": {"state_dict": 5}},
    "groups that are none": {"optimizer": {"state_dict": {"param_groups": 5}}},
    "groups without parameters": {"optimizer": {"state_dict": {"param_groups": [{}], "state": {}}}},
    "a tensor that is not there": {
        "optimizer": {
            "state_dict": {"state": {"$dict": [[0, {"$tensor": "none"}]]}, "param_groups": []}
        }
    },
    "state that is none": {"state": 5},
    "members that are none": {"state": {"seed": 5}},
    "random numbers that are none": {"random": 5},
    "ranks that are none": {"random": {"ranks": 5, "world_size": 1}},
    "ranks without numbers": {"random": {"ranks": {"first": {}}, "world_size": 1}},
    "no number of ranks": {"random": {"ranks": {"0": {}}}},
    "generators that are none": {"random": {"ranks": {"0": {}}, "world_size": 1}},
    "words that are none": {
        "random": {
            "ranks": {"0": {"python": {"version": 3, "words": 5, "gauss": None}, "torch": 5}},
            "world_size": 1,
        }
    },
    "a class in place of NumPy's generator": {"numpy": {"bit_generator": "Generator"}},
}


@pytest.fixture
def stored(tmp_path: Path) -> StoredCheckpoint:
    seed(0)
    made = training(lambda model: torch.optim.Adam(model.parameters()))
    made.step()
    return store(tmp_path / "checkpoint", **made.parts())


@pytest.mark.parametrize("kind", PARTS)
def test_what_can_not_be_read_is_refused(kind: str, stored: StoredCheckpoint) -> None:
    logged: dict[str, Any] = dict(stored.manifest.training)
    part = PARTS[kind]
    if isinstance(part, dict) and "numpy" in part:
        ranks = {"0": {**logged["random"]["ranks"]["0"], **part}}
        part = {"random": {"ranks": ranks, "world_size": 1}}
    changed = {**logged, **part} if isinstance(part, dict) else part
    stored.manifest = dataclasses.replace(stored.manifest, training=changed)
    model = Perceptron()
    optimizer = torch.optim.Adam(model.parameters())
    before, numbers = state_of(model, optimizer), torch.get_rng_state()
    with pytest.raises((FormatError, MismatchError, NotFoundError)):
        resume_training(stored, model=model, optimizer=optimizer)
    assert same(state_of(model, optimizer), before)
    assert torch.equal(torch.get_rng_state(), numbers)


def test_what_is_not_known_is_passed_over(stored: StoredCheckpoint) -> None:
    entry = {**stored.manifest.training["optimizer"], "future": {"$any": 1}}
    changed = {**stored.manifest.training, "optimizer": entry, "weather": {"$fine": 1}}
    stored.manifest = dataclasses.replace(stored.manifest, training=changed)
    model = Perceptron()
    assert (
        resume_training(stored, model=model, optimizer=torch.optim.Adam(model.parameters())) == {}
    )
