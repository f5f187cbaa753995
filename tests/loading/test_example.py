"""The golden output: logged with the checkpoint, compared when the model is loaded."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.models import Net
from tests.training import log, same, state_of
from tracker import Checkpoint
from tracker.errors import CorruptCheckpointError, InvalidArgumentError, TrackerWarning
from tracker.format import open_checkpoint

pytestmark = pytest.mark.usefixtures("workplace")

X = torch.linspace(-1, 1, 12).reshape(3, 4)


class Gate(nn.Module):
    """Computes what no structure shows: a class attribute decides."""

    factor = 1.0

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 2)
        self.norm = nn.BatchNorm1d(2)
        self.dropout = nn.Dropout()

    def forward(self, x: Tensor, *, shift: float = 0.0) -> dict[str, Any]:
        if self.factor is None:
            raise RuntimeError("no factor")
        y = self.dropout(self.norm(self.linear(x))) * self.factor + shift
        return {"logits": y, "loss": float(y.mean())}


def verdict(checkpoint: Checkpoint) -> str:
    return checkpoint.explain().example.verdict


def test_the_same_code_loads_without_a_word() -> None:
    checkpoint = log(Gate().train(), epoch=1, example_input=X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint.load_model()
    assert verdict(checkpoint) == "identical"


def test_keyword_arguments_are_given_as_they_were() -> None:
    checkpoint = log(Gate(), epoch=1, example_input={"x": X, "shift": 2.0})
    assert verdict(checkpoint) == "identical"


def test_what_is_stored_is_in_a_group_of_its_own() -> None:
    checkpoint = log(Gate(), epoch=1, example_input=X)
    stored = open_checkpoint(Path(checkpoint.record.artifact_uri))
    assert stored.manifest.tensors["example"].keys() == {"example_input.0", "output.logits"}
    assert stored.manifest.example["output"][0] == [
        "output.logits",
        {"$tensor": "output.logits"},
    ]
    assert (
        "example"
        not in open_checkpoint(Path(log(Gate(), epoch=2).record.artifact_uri)).manifest.tensors
    )


def test_code_that_computes_something_else_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = log(Gate(), epoch=1, example_input=X)
    monkeypatch.setattr(Gate, "factor", 1.5)
    with pytest.warns(
        TrackerWarning, match=r"computes something else.*in output\.logits\["
    ) as told:
        loaded = checkpoint.load_model()
    assert Path(told[0].filename) == Path(__file__)
    assert isinstance(loaded, Gate)
    assert verdict(checkpoint) == "different"


def test_the_last_digits_are_no_reason_to_warn(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = log(Gate(), epoch=1, example_input=X)
    monkeypatch.setattr(Gate, "factor", 1 + 1e-7)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint.load_model()
    assert verdict(checkpoint) == "within tolerance"


def test_a_forward_that_fails_now_does_not_hide_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = log(Gate(), epoch=1, example_input=X)
    monkeypatch.setattr(Gate, "factor", None)
    with pytest.warns(TrackerWarning, match="it fails: RuntimeError: no factor"):
        assert isinstance(checkpoint.load_model(), Gate)


def test_nothing_is_run_or_compared_without_verify(monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = log(Gate(), epoch=1, example_input=X)
    monkeypatch.setattr(Gate, "factor", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        checkpoint.load_model(verify=False)
    assert checkpoint.explain(verify=False).example is None


def test_the_loaded_model_is_as_untouched_as_the_logged_one() -> None:
    model = Gate().train()
    before = state_of(model)
    checkpoint = log(model, epoch=1, example_input=X)
    assert same(state_of(model), before)
    assert model.training
    loaded = checkpoint.load_model()
    assert same(state_of(loaded), before)
    assert not loaded.training
    assert all(p.grad is None for m in (model, loaded) for p in m.parameters())


def test_a_damaged_example_is_an_error_like_every_damaged_byte() -> None:
    checkpoint = log(Gate(), epoch=1, example_input=X)
    file = Path(checkpoint.record.artifact_uri) / "example.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)
    with pytest.raises(CorruptCheckpointError, match=r"example\.safetensors"):
        checkpoint.load_model()
    assert isinstance(checkpoint.load_model(verify=False), Gate)


def test_a_model_that_fails_on_the_input_is_not_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    import mlflow

    import tracker

    with pytest.raises(InvalidArgumentError, match="fails on example_input"):
        tracker.log_checkpoint(Net(hidden=4), epoch=1, example_input=torch.ones(1, 9))
    assert mlflow.active_run() is None
    assert mlflow.search_logged_models(output_format="list") == []


def test_the_output_is_that_of_the_moment_it_was_logged() -> None:
    import tracker

    model = Gate()
    pending = tracker.log_checkpoint(model, epoch=1, example_input=X)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(1)
    assert verdict(pending.result()) == "identical"


def test_a_wrapped_model_is_run_as_what_it_wraps() -> None:
    wrapped = nn.DataParallel(Gate())
    assert verdict(log(wrapped, epoch=1, example_input=X)) == "identical"
