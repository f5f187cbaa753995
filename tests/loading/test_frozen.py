"""Models in checkpoints of every format version are rebuilt by today's tracker."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from tests.frozen.v1.make_models import example, trained
from tests.frozen.v1_2.make_training import drawn, live
from tracker.errors import MismatchError
from tracker.format import open_checkpoint
from tracker.loading.restore import restore_model
from tracker.loading.resume import resume_training

V1 = Path(__file__).parents[1] / "frozen" / "v1"
V1_1 = V1.with_name("v1_1")
V1_2 = V1.with_name("v1_2")


@pytest.mark.parametrize("name", ["constructor", "structure"])
def test_a_model_of_version_1_is_rebuilt(name: str) -> None:
    facts = json.loads((V1 / f"{name}.json").read_text())
    stored = open_checkpoint(V1 / name, manifest_digest=facts["manifest_digest"])
    with torch.no_grad():
        output = restore_model(stored).model(example()).double()
    # Other processors and releases of torch add in another order.
    torch.testing.assert_close(output, torch.tensor(facts["output"], dtype=torch.float64))


def test_the_training_state_of_version_1_is_resumed() -> None:
    model, optimizer = trained()
    stored = open_checkpoint(V1 / "constructor")
    assert resume_training(stored, model=model, optimizer=optimizer) == {"seed": 7}
    state = optimizer.state_dict()["state"][0]["exp_avg"]
    assert torch.equal(state, stored.tensor("training", "optimizer.state.0.exp_avg"))


def test_the_training_of_version_1_2_goes_on_where_it_was() -> None:
    facts = json.loads((V1_2 / "training.json").read_text())
    parts = live()
    assert resume_training(open_checkpoint(V1_2 / "training"), **parts) == {"best": 0.25}
    assert drawn(parts["state"]) == facts["drawn"]
    assert [group["lr"] for group in parts["optimizer"].param_groups] == facts["rates"]
    weight = parts["model"][0].weight
    assert parts["optimizer"].state[weight]["exp_avg"].tolist() == facts["average"]


def test_the_names_of_version_1_2_tell_parameters_apart() -> None:
    parts = live()
    parts["optimizer"].param_groups[1]["params"].reverse()
    with pytest.raises(
        MismatchError, match=r"0\.weight is number 1 of group 1, in the checkpoint 0"
    ):
        resume_training(open_checkpoint(V1_2 / "training"), **parts)


def test_the_golden_output_of_version_1_1_is_still_computed() -> None:
    facts = json.loads((V1_1 / "example.json").read_text())
    stored = open_checkpoint(V1_1 / "example", manifest_digest=facts["manifest_digest"])
    assert stored.manifest.example == facts["example"]
    found = restore_model(stored).example
    # Other processors and releases of torch add in another order.
    assert found is not None
    assert found.verdict in ("identical", "within tolerance")
