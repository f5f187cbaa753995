"""A checkpoint's weights go into a model that is there already, and a report says which."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.models import ExtraState, Net, Tied
from tests.training import log, same, state_of
from tracker.errors import (
    CorruptCheckpointError,
    InvalidArgumentError,
    MismatchError,
    NotFoundError,
)
from tracker.loading.fitting import Mismatch, WeightsReport

pytestmark = pytest.mark.usefixtures("workplace")


def test_the_weights_are_loaded_and_counted() -> None:
    model, other = Net(hidden=4, depth=2), Net(hidden=4, depth=2)
    assert log(model, epoch=1).load_into(other) == WeightsReport(loaded=6)
    assert same(state_of(other), state_of(model))


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (Net(hidden=5, depth=1), r"head\.weight is \[2, 4\] in the checkpoint and \[2, 5\] in the"),
        (Net(hidden=4, depth=2), r"layers\.1\.weight is missing in the checkpoint"),
        (Net(hidden=4, depth=0), r"layers\.0\.weight is not in the model"),
    ],
    ids=["shape", "missing", "unexpected"],
)
def test_what_does_not_fit_is_refused_and_nothing_is_changed(
    other: nn.Module, message: str
) -> None:
    checkpoint = log(Net(hidden=4, depth=1), epoch=1)
    before = state_of(other)
    with pytest.raises(MismatchError, match=message) as caught:
        checkpoint.load_into(other)
    assert "nothing was changed" in str(caught.value)
    assert "strict=False" in str(caught.value)
    assert same(state_of(other), before)


def test_without_strict_what_fits_is_loaded_and_the_rest_is_reported() -> None:
    model = nn.ModuleDict({"body": nn.Linear(4, 4), "head": nn.Linear(4, 2), "old": nn.ReLU()})
    model["old"].register_buffer("count", torch.zeros(3))
    other = nn.ModuleDict({"body": nn.Linear(4, 4), "head": nn.Linear(4, 3)})
    other["body"].register_buffer("scale", torch.ones(2))
    head = state_of(other["head"])
    report = log(model, epoch=1).load_into(other, strict=False)
    assert report == WeightsReport(
        loaded=2,
        missing=("body.scale",),
        unexpected=("old.count",),
        mismatched=(
            Mismatch("head.weight", (2, 4), (3, 4)),
            Mismatch("head.bias", (2,), (3,)),
        ),
    )
    assert torch.equal(other["body"].weight, model["body"].weight)
    assert torch.equal(other["body"].scale, torch.ones(2))
    assert same(state_of(other["head"]), head)


def test_a_report_reads_well() -> None:
    report = WeightsReport(1, ("a",), ("b", "c"), (Mismatch("d", (2, 4), (3, 4)),))
    assert str(report).splitlines() == [
        "loaded: 1 of 3 entries of the model",
        "missing in the checkpoint: a",
        "not in the model: b, c",
        "other shapes: d is [2, 4] in the checkpoint and [3, 4] in the model",
    ]
    assert str(WeightsReport(loaded=6)) == "loaded: 6 of 6 entries of the model"
    with pytest.raises(dataclasses.FrozenInstanceError):
        report.loaded = 2  # type: ignore[misc]


def test_a_part_of_the_logged_model_goes_into_a_model_of_its_own() -> None:
    model, part = Net(hidden=4, depth=2), nn.Linear(4, 4)
    checkpoint = log(model, epoch=1)
    assert checkpoint.load_into(part, prefix="layers.1").complete
    assert same(state_of(part), state_of(model.layers[1]))
    with pytest.raises(MismatchError, match=r"is not 'head' of the one that was logged"):
        checkpoint.load_into(part, prefix="head")
    with pytest.raises(NotFoundError, match="for example: head, layers"):
        checkpoint.load_into(part, prefix="body.inner", strict=False)


def test_the_model_keeps_its_dtype_and_its_ties() -> None:
    model, other = Tied(), Tied().to(torch.float64)
    log(model, epoch=1).load_into(other)
    assert other.head.weight is other.embedding.weight
    assert torch.equal(other.head.weight, model.head.weight.double())


def test_extra_state_is_loaded_too_of_the_whole_and_of_a_part() -> None:
    counting = ExtraState()
    counting.seen = 5
    whole, part = nn.ModuleDict({"a": ExtraState()}), ExtraState()
    checkpoint = log(nn.ModuleDict({"a": counting}), epoch=1)
    assert checkpoint.load_into(whole).complete
    assert checkpoint.load_into(part, prefix="a").complete
    assert whole["a"].seen == part.seen == 5


@pytest.mark.parametrize("wrap", [torch.compile, nn.DataParallel], ids=["compile", "parallel"])
def test_wrappers_are_looked_through(wrap: Any) -> None:
    model, other = Net(hidden=4), Net(hidden=4)
    assert log(model, epoch=1).load_into(wrap(other)).complete
    assert same(state_of(other), state_of(model))


def test_a_compiled_part_takes_its_weights() -> None:
    model, other = Net(hidden=4), Net(hidden=4)
    other.head = torch.compile(other.head)
    assert log(model, epoch=1).load_into(other).complete
    assert torch.equal(other.head.weight, model.head.weight)


def test_damaged_weights_change_nothing() -> None:
    checkpoint = log(Net(hidden=4), epoch=1)
    path = Path(checkpoint.record.artifact_uri) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    other = Net(hidden=4)
    before = state_of(other)
    with pytest.raises(CorruptCheckpointError):
        checkpoint.load_into(other, strict=False)
    assert same(state_of(other), before)


@pytest.mark.parametrize("model", [None, {}, nn.Linear])
def test_only_a_module_takes_weights(model: Any) -> None:
    with pytest.raises(InvalidArgumentError, match=r"not a torch\.nn\.Module"):
        log(Net(hidden=4), epoch=1).load_into(model)
