from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.models import ExtraState, Net
from tests.training import same, state_of
from tracker.architecture.constructor import proven_device
from tracker.architecture.describe import Description, describe
from tracker.architecture.imports import Imports
from tracker.architecture.instantiate import instantiate
from tracker.errors import ArchitectureError, FormatError, NeedsModelInstanceError
from tracker.types import Architecture, Problem


class Changing(nn.Module):
    """A class whose code changes after a checkpoint was made."""

    width = 4

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(self.width, 1)


def instantiated(description: Description, **changes: Any) -> nn.Module:
    tensors = {"model": description.state, "architecture": description.extra}

    def fetch(group: str, name: str) -> Tensor:
        return tensors[group][name].detach().clone()

    architecture = dataclasses.replace(description.architecture, **changes)
    return instantiate(architecture, description.state_values, Imports(), fetch)


@pytest.mark.parametrize("rebuild", ["constructor", "structure"])
def test_both_ways_lead_to_the_same_model(rebuild: str) -> None:
    model = Net(hidden=4, depth=2)
    again = instantiated(describe(model), rebuild=rebuild)
    assert same(state_of(again), state_of(model))
    assert repr(again) == repr(model)


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("rebuild", ["constructor", "structure"])
def test_the_training_mode_is_that_of_logging(rebuild: str, training: bool) -> None:
    model = Net(hidden=4).train(training)
    again = instantiated(describe(model), rebuild=rebuild)
    assert {m.training for m in again.modules()} == {training}


@pytest.mark.parametrize("rebuild", ["constructor", "structure"])
def test_frozen_parameters_are_frozen_again(rebuild: str) -> None:
    model = Net(hidden=4)
    model.head.requires_grad_(False)
    again = instantiated(describe(model), rebuild=rebuild)
    assert [p.requires_grad for p in again.parameters()] == [
        p.requires_grad for p in model.parameters()
    ]


def test_code_that_changed_meanwhile_is_noticed_and_the_ways_out_are_told(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    description = describe(Changing())
    monkeypatch.setattr(Changing, "width", 5)
    with pytest.raises(
        ArchitectureError, match=r"is not the model that was logged.*trust=\"source\""
    ):
        instantiated(description)


def test_without_a_proven_way_the_obstacles_are_listed() -> None:
    architecture = Architecture(
        "none", "net:Net", "Net()", problems=(Problem("encoder.act", "is a lambda"),)
    )
    with pytest.raises(NeedsModelInstanceError, match=r"encoder\.act: is a lambda"):
        instantiate(architecture, {}, Imports(), lambda group, name: torch.empty(0))


def test_extra_state_is_set() -> None:
    model = ExtraState()
    model.seen = 9
    assert instantiated(describe(model)).seen == 9


def test_extra_state_that_the_class_no_longer_takes_is_an_architecture_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    description = describe(ExtraState())
    monkeypatch.delattr(ExtraState, "set_extra_state")
    with pytest.raises(ArchitectureError, match="the model takes no _extra_state"):
        instantiated(description)


def test_extra_state_under_a_strange_key_is_malformed() -> None:
    description = describe(ExtraState())
    values = {"seen": description.state_values["_extra_state"]}
    with pytest.raises(ArchitectureError, match="the model takes no seen"):
        instantiated(dataclasses.replace(description, state_values=values))


@pytest.mark.parametrize("constructor", [None, [], {}, {"device": "cuda"}, {"device": 5}])
def test_a_constructor_was_proven_on_a_known_device_or_is_malformed(constructor: Any) -> None:
    with pytest.raises(FormatError, match=r"constructor\.device"):
        proven_device(constructor)
