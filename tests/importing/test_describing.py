"""Weights are held to the model that they are said to be of, which is not changed."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

from tests.models import Net, Tied
from tests.training import same
from tracker.errors import MismatchError, UnstorableError
from tracker.importing.contents import Contents
from tracker.importing.describing import snapshot_of


class Counting(nn.Module):
    """Has state that is no tensor, and reads a key of its older version."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(2))
        self.seen = 0

    def get_extra_state(self) -> dict[str, int]:
        return {"seen": self.seen}

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.seen = state["seen"]

    def _load_from_state_dict(self, state: Any, prefix: str, *rest: Any) -> None:
        if f"{prefix}gain" in state:
            state[f"{prefix}scale"] = state.pop(f"{prefix}gain")
        super()._load_from_state_dict(state, prefix, *rest)


def stored(weights: dict[str, Any], model: nn.Module | None) -> dict[str, torch.Tensor]:
    snapshot, notes = snapshot_of(Contents("state_dict", weights), model, "old.pth")
    assert notes == []
    return snapshot.description.state


def test_the_model_that_was_given_keeps_its_own_weights() -> None:
    model = Net()
    before = copy.deepcopy(model.state_dict())
    weights = Net().state_dict()
    assert same(stored(dict(weights), model), dict(weights))
    assert same(model.state_dict(), before)


def test_a_part_that_holds_all_weights_is_found_by_itself() -> None:
    weights = Net().state_dict()
    assert same(stored({f"net.{k}": v for k, v in weights.items()}, Net()), dict(weights))


def test_a_model_reads_keys_and_state_that_only_its_own_code_knows() -> None:
    weights = {"gain": torch.ones(2), "_extra_state": {"seen": 7}}
    snapshot, _ = snapshot_of(Contents("state_dict", weights), Counting(), "old.pth")
    assert torch.equal(snapshot.description.state["scale"], torch.ones(2))
    assert snapshot.description.state_values["_extra_state"] == {"seen": 7}


def test_dtypes_are_those_of_the_file() -> None:
    weights = {key: value.bfloat16() for key, value in Net().state_dict().items()}
    assert {t.dtype for t in stored(weights, Net()).values()} == {torch.bfloat16}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"head.bias": torch.zeros(3)}, r"head\.bias is \[3\] in the checkpoint and \[2\]"),
        ({"extra": torch.zeros(3)}, "extra"),
    ],
)
def test_what_does_not_fit_is_named(change: dict[str, torch.Tensor], reason: str) -> None:
    with pytest.raises(MismatchError, match=reason):
        stored({**Net().state_dict(), **change}, Net())


def test_tied_weights_that_differ_in_the_file_are_refused() -> None:
    weights = {**Tied().state_dict(), "head.weight": torch.ones(10, 4)}
    with pytest.raises(MismatchError, match="differ in the file"):
        stored(weights, Tied())


def test_a_tensor_without_values_is_refused_and_a_value_that_can_not_be_kept_is_noted() -> None:
    with pytest.raises(UnstorableError, match="meta"):
        stored({"w": torch.empty(2, device="meta")}, None)
    contents = Contents("state_dict", {"w": torch.ones(2)}, values={"odd": object(), "fine": 1})
    snapshot, notes = snapshot_of(contents, None, "old.pth")
    assert len(notes) == 1
    assert "without odd" in notes[0]
    assert snapshot.training == {"state": {"fine": {"value": 1}}}
