"""What every query returns."""

from __future__ import annotations

import dataclasses
import datetime
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import tracker
from tracker import Checkpoint
from tracker.errors import NotFoundError, StorageError

from .models import Net, Tied
from .training import log, same, state_of

pytestmark = pytest.mark.usefixtures("workplace")


def test_what_was_logged_is_what_is_shown() -> None:
    before = datetime.datetime.now(datetime.UTC) - datetime.timedelta(seconds=1)
    made = log(
        Net(hidden=4),
        epoch=6,
        step=700,
        metrics={"a": math.nan, "b": -math.inf, "c": 0.5},
        tags={"t": 1},
    )
    for checkpoint in (made, tracker.get_checkpoint(epoch=6)):
        assert (checkpoint.epoch, checkpoint.step, checkpoint.name) == (6, 700, "epoch-6-step-700")
        assert math.isnan(checkpoint.metrics["a"])
        assert checkpoint.metrics["b"] == -math.inf
        assert checkpoint.metrics["c"] == 0.5
        assert checkpoint.tags == {"t": "1"}
        assert checkpoint.params["hidden"] == "4"
        assert checkpoint.model_class == "tests.models:Net"
        assert checkpoint.model_text == "Net(hidden=4)"
        assert checkpoint.rebuild == "constructor"
        assert checkpoint.experiment == "Default"
        assert checkpoint.size > 0
        assert before < checkpoint.created_at <= datetime.datetime.now(datetime.UTC)
    assert made.id.startswith("m-")


def test_it_reads_as_one_line() -> None:
    checkpoint = log(Net(hidden=4), epoch=6, metrics={"val_loss": 1 / 3})
    shown = "epoch-6 of Net(hidden=4) in 'Default': val_loss=0.333333"
    assert repr(checkpoint) == f"<Checkpoint {checkpoint.id[:10]} {shown}>"
    assert repr(log(nn.ReLU())).endswith("checkpoint of ReLU() in 'Default'>")


def test_it_can_not_be_changed_and_what_it_shows_is_a_copy() -> None:
    checkpoint = log(Net(hidden=4), epoch=6, metrics={"a": 1.0})
    with pytest.raises(dataclasses.FrozenInstanceError):
        checkpoint.record = None  # type: ignore[misc,assignment]
    checkpoint.metrics["a"] = 2.0
    checkpoint.tags["a"] = "b"
    assert checkpoint.metrics == {"a": 1.0}
    assert checkpoint.tags == {}


def test_the_same_checkpoint_is_equal_wherever_it_was_found() -> None:
    made = log(Net(hidden=4), epoch=6, metrics={"val_loss": 0.5})
    assert made == tracker.best_checkpoint("val_loss") == tracker.search_checkpoints()[0]
    assert made != log(Net(hidden=4), epoch=7)


def test_looking_at_it_reads_no_file() -> None:
    checkpoint = log(Net(hidden=4), epoch=6)
    gone = Checkpoint(dataclasses.replace(checkpoint.record, artifact_uri="/nowhere"))
    assert repr(gone) == repr(checkpoint)
    for read in (gone.load_model, gone.load_state_dict, lambda: gone.environment):
        with pytest.raises(NotFoundError, match="/nowhere"):
            read()
    assert "/nowhere" in gone.explain().error


def test_architecture_and_environment_come_from_the_manifest() -> None:
    checkpoint = log(Net(hidden=4), epoch=6)
    assert checkpoint.architecture.rebuild == "constructor"
    assert checkpoint.environment["packages"]["torch"] == torch.__version__


def test_an_export_is_a_safetensors_file_that_goes_into_the_model(workplace: Path) -> None:
    from safetensors import safe_open
    from safetensors.torch import load_file

    model = Tied()
    checkpoint = log(model, epoch=6)
    path = checkpoint.export(workplace / "out.safetensors")
    other = Tied()
    other.load_state_dict(load_file(path))
    assert same(state_of(other), state_of(model))
    with safe_open(path, "pt") as file:
        assert "tests.models:Tied" in str(file.metadata())


def test_an_export_to_a_place_that_can_not_be_is_a_storage_error(workplace: Path) -> None:
    checkpoint = log(Net(hidden=4), epoch=6)
    with pytest.raises(StorageError, match=r"mlflow\.db"):
        checkpoint.export("mlflow.db/out.safetensors")


def test_a_failed_export_leaves_the_file_that_was_there(workplace: Path) -> None:
    checkpoint = log(Net(hidden=4), epoch=6)
    file = workplace / "out.safetensors"
    file.write_text("precious")
    weights = Path(checkpoint.record.artifact_uri) / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    with pytest.raises(tracker.TrackerError, match="differs"):
        checkpoint.export(file)
    assert file.read_text() == "precious"


@pytest.mark.parametrize("model", [nn.Linear(2, 2), Net(hidden=4), nn.Sequential(nn.Linear(1, 1))])
def test_methods_are_what_the_functions_of_the_same_name_do(model: Any) -> None:
    checkpoint = log(model, epoch=1)
    assert same(state_of(checkpoint.load_model()), state_of(tracker.load_model(checkpoint.id)))
