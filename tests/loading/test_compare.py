"""How two checkpoints differ."""

from __future__ import annotations

import importlib
import json
import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from tests.models import Net, Tied
from tests.training import log
from tracker import Checkpoint
from tracker.errors import CorruptCheckpointError, InvalidArgumentError
from tracker.loading.checkpoint_diff import Change, CheckpointDiff

pytestmark = pytest.mark.usefixtures("workplace")


def states(diff: CheckpointDiff) -> dict[str, str]:
    return {change.name: change.state for change in diff.tensors}


def test_a_checkpoint_does_not_differ_from_itself() -> None:
    checkpoint = log(Net(hidden=4), epoch=1, metrics={"val_loss": 0.5, "nan": math.nan})
    diff = checkpoint.diff(checkpoint)
    assert diff.same
    assert set(states(diff).values()) == {"equal"}
    assert str(diff).endswith("\n\ntensors (4 of 4 are equal)")


def test_what_training_changed_is_told_with_how_far_it_went() -> None:
    model = Net(hidden=4)
    first = log(model, epoch=1, metrics={"val_loss": 0.5, "gone": 1.0})
    with torch.no_grad():
        model.head.weight *= 1.01
    second = log(model, epoch=2, metrics={"val_loss": 0.25})
    diff = first.diff(second)
    assert (diff.a, diff.b) == (first.id, second.id)
    assert (diff.model, diff.architecture, diff.source, diff.params) == ((), (), {}, ())
    assert diff.metrics == (Change("gone", 1.0, None), Change("val_loss", 0.5, 0.25))
    (changed,) = [change for change in diff.tensors if change.state != "equal"]
    assert (changed.name, changed.state, changed.a) == ("head.weight", "changed", "float32 [2, 4]")
    assert changed.difference == pytest.approx(0.01, rel=1e-4)


def test_another_size_is_told_as_a_call_as_modules_as_arguments_and_as_tensors() -> None:
    diff = log(Net(hidden=4), epoch=1).diff(log(Net(hidden=8, depth=2), epoch=2))
    assert diff.model == (Change("call", "Net(hidden=4)", "Net(hidden=8, depth=2)"),)
    assert diff.params == (Change("depth", "1", "2"), Change("hidden", "4", "8"))
    modules = {change.name: (change.a, change.b) for change in diff.architecture}
    linear = "torch.nn.modules.linear:Linear(in_features={}, out_features={})"
    assert modules["head"] == (linear.format(4, 2), linear.format(8, 2))
    assert modules["layers.1"] == (None, linear.format(8, 8))
    assert states(diff)["head.weight"] == "other shape"
    assert states(diff)["head.bias"] == "changed"
    assert states(diff)["layers.1.weight"] == "only in B"


def test_another_class_shares_nothing() -> None:
    diff = log(Net(hidden=4), epoch=1).diff(log(Tied(), epoch=1))
    assert Change("class", "tests.models:Net", "tests.models:Tied") in diff.model
    assert states(diff)["layers.0.weight"] == "only in A"
    assert states(diff)["shared.weight"] == "only in B"
    again = {change.name: change.b for change in diff.architecture}["again"]
    assert again == "the same as shared"


def test_another_dtype_is_a_change_even_of_the_same_numbers() -> None:
    model = nn.Linear(2, 2)
    first = log(model, epoch=1)
    diff = first.diff(log(model.double(), epoch=2))
    changed = {change.name: change for change in diff.tensors}["weight"]
    assert (changed.state, changed.difference) == ("changed", 0)
    assert (changed.a, changed.b) == ("float32 [2, 2]", "float64 [2, 2]")


def test_equal_tensors_are_not_read() -> None:
    model = Net(hidden=4)
    first, second = log(model, epoch=1), log(Net(hidden=4), epoch=2)
    copies = [log(model, epoch=epoch, run_id=second.run_id) for epoch in (3,)]
    for checkpoint in (first, *copies):
        (Path(checkpoint.record.artifact_uri) / "model.safetensors").unlink(missing_ok=True)
    assert set(states(first.diff(copies[0])).values()) == {"equal"}


def test_damaged_bytes_are_not_compared() -> None:
    first, second = log(Net(hidden=4), epoch=1), log(Net(hidden=4), epoch=2)
    file = Path(second.record.artifact_uri) / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(CorruptCheckpointError, match="differs"):
        first.diff(second)


@pytest.mark.parametrize("other", ["m-0a", None])
def test_only_checkpoints_are_compared(other: Any) -> None:
    with pytest.raises(InvalidArgumentError, match="expected a Checkpoint"):
        log(epoch=1).diff(other)


MODEL = "import torch\n\n\nclass Scaled(torch.nn.Linear):\n    scale = 2\n"


@pytest.fixture
def edited(
    workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Checkpoint, Checkpoint]]:
    """Two checkpoints with the same weights, between which the model's source was edited."""
    monkeypatch.syspath_prepend(str(workplace))
    found = []
    for epoch, source in ((1, MODEL), (2, MODEL.replace("= 2", "= 30"))):
        (workplace / "scaled_net.py").write_text(source)
        sys.modules.pop("scaled_net", None)
        importlib.invalidate_caches()
        torch.manual_seed(0)
        model = importlib.import_module("scaled_net").Scaled(3, 2)
        found.append(log(model, epoch=epoch))
    yield found[0], found[1]
    del sys.modules["scaled_net"]


def test_source_that_was_edited_is_shown_from_a_to_b(
    edited: tuple[Checkpoint, Checkpoint], workplace: Path
) -> None:
    first, second = edited
    diff = first.diff(second)
    assert list(diff.source) == ["scaled_net"]
    lines = diff.source["scaled_net"].splitlines()
    assert lines[0] == f"--- {workplace / 'scaled_net.py'} ({first.id[:10]})"
    assert lines[1] == f"+++ {workplace / 'scaled_net.py'} ({second.id[:10]})"
    assert {"-    scale = 2", "+    scale = 30"} <= {*lines}
    assert set(states(diff).values()) == {"equal"}
    assert not diff.same
    assert json.loads(json.dumps(diff.to_dict()))["source"] == diff.source
