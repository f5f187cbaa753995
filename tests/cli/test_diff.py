"""``tracker diff`` as text and as JSON."""

from __future__ import annotations

import json

import mlflow
import pytest
import torch
from click.testing import CliRunner

from tests.cli.running import invoke, refused
from tests.models import Net
from tests.training import log
from tracker import Checkpoint
from tracker.cli import cli

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def two() -> list[Checkpoint]:
    """The same model in two runs, trained further in the second."""
    found = []
    model = Net(hidden=4)
    for loss in (0.5, 0.25):
        with mlflow.start_run():
            log(Net(hidden=4), epoch=0, metrics={"val_loss": 0.9})
            found.append(log(model, epoch=1, metrics={"val_loss": loss}))
        with torch.no_grad():
            model.head.weight *= 2
    return found


def test_the_text_has_a_section_for_what_differs_and_no_other(two: list[Checkpoint]) -> None:
    a, b = two
    assert invoke("diff", a.id, b.id).output == (
        f"A {a.id}: epoch-1 of run {a.run_id} in 'Default'\n"
        f"B {b.id}: epoch-1 of run {b.run_id} in 'Default'\n"
        "\nmetrics\n"
        "- val_loss: 0.5\n"
        "+ val_loss: 0.25\n"
        "\ntensors (3 of 4 are equal)\n"
        "changed      head.weight  float32 [2, 4]  ‖B - A‖ / ‖A‖ = 1\n"
    )


def test_json_has_every_tensor(two: list[Checkpoint]) -> None:
    found = json.loads(invoke("diff", two[0].id, two[1].id, "--json").stdout)
    assert (found["same"], found["a"], found["b"]) == (False, two[0].id, two[1].id)
    assert found["metrics"] == [{"name": "val_loss", "a": 0.5, "b": 0.25}]
    assert {change["name"]: change["difference"] for change in found["tensors"]} == {
        "head.weight": 1.0,
        "head.bias": None,
        "layers.0.weight": None,
        "layers.0.bias": None,
    }


def test_of_two_runs_the_same_is_picked(two: list[Checkpoint]) -> None:
    runs = [checkpoint.run_id for checkpoint in two]
    found = json.loads(invoke("diff", *runs, "--best", "val_loss", "--json").stdout)
    assert [found["a"], found["b"]] == [two[0].id, two[1].id]


def test_it_takes_two() -> None:
    for arguments in ([], ["m-0a"], ["m-0a", "m-0b", "m-0c"]):
        assert refused("diff", *arguments) == "Name two checkpoints, A and B."


def test_what_went_and_what_came_have_colours(two: list[Checkpoint]) -> None:
    arguments = ["diff", two[0].id, two[1].id]
    shown = CliRunner().invoke(cli, arguments, color=True).output
    assert "\x1b[31m- val_loss: 0.5\x1b[0m\n\x1b[32m+ val_loss: 0.25\x1b[0m\n" in shown
    forbidden = CliRunner().invoke(cli, arguments, color=True, env={"NO_COLOR": "1"})
    assert "\x1b" not in forbidden.output
