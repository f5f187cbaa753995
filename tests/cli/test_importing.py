"""``tracker import``: a line for each, a table of a dry run, and an exit status that tells."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

import tracker
from tests.cli.running import invoke, refused
from tests.models import Net
from tracker.cli import cli


@pytest.fixture(autouse=True)
def folder(workplace: Path) -> None:
    Path("old").mkdir()
    torch.save(Net(hidden=4).state_dict(), "old/epoch_3_loss_0.5.pth")


def test_a_dry_run_prints_a_table_and_an_import_a_line_for_each() -> None:
    heading, row = invoke("import", "old", "--dry-run").output.splitlines()
    assert heading.split() == [
        "SOURCE",
        "STATUS",
        "LAYOUT",
        "EPOCH",
        "STEP",
        "loss",
        "TENSORS",
        "RUN",
    ]
    assert (
        row.split() == "old/epoch_3_loss_0.5.pth would be imported state_dict 3 0.5 4 old".split()
    )
    arguments = ["--model", "tests.models:Net", "--model-args", '{"hidden": 4}']
    line = invoke("import", "old", "--experiment", "imported", *arguments).output
    assert line.startswith("imported       old/epoch_3_loss_0.5.pth: m-")
    assert line.endswith(", epoch 3, loss 0.5\n")
    assert tracker.best_checkpoint("loss", experiment="imported").model_text == "Net(hidden=4)"


def test_what_can_not_be_imported_makes_the_exit_status_1_and_the_rest_is_there() -> None:
    torch.save(Net(), "old/whole.pt")
    done = CliRunner().invoke(cli, ["import", "old", "--json"], catch_exceptions=False)
    assert done.exit_code == 1
    good, bad = json.loads(done.stdout)
    assert (good["status"], good["epoch"], good["metrics"]) == ("imported", 3, {"loss": 0.5})
    assert (bad["status"], bad["id"]) == ("failed", None)
    assert "tests.models.Net" in bad["reason"]


def test_a_model_that_can_not_be_made_is_refused_before_anything_is_imported() -> None:
    for name in ("tests.models", "tests.models:Nothing", "tests.nowhere:Net", "json:dumps"):
        done = CliRunner().invoke(cli, ["import", "old", "--model", name])
        assert isinstance(done.exception, tracker.TrackerError)
    assert tracker.import_checkpoints("old", dry_run=True)[0].status == "would be imported"


def test_options_that_do_not_go_together_are_refused() -> None:
    assert "--model" in refused("import", "old", "--model-args", "{}")
    assert "--run-id" in refused("import", "old", "--run-id", "x", "--run-name", "y")
