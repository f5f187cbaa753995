"""One way to say which checkpoint, for every command that takes one."""

from __future__ import annotations

import json

import mlflow
import pytest
from click.testing import CliRunner
from mlflow.tracking import MlflowClient

from tests.cli.running import invoke, refused
from tests.training import log
from tracker import Checkpoint
from tracker.cli import cli

pytestmark = pytest.mark.usefixtures("workplace", "forking")


@pytest.fixture
def history() -> list[Checkpoint]:
    mlflow.set_experiment("digits")
    with mlflow.start_run():
        return [
            log(epoch=epoch, step=epoch * 10, metrics={"val_loss": loss, "score": loss})
            for epoch, loss in enumerate([0.5, 0.25, 0.75])
        ]


def pulled(*arguments: str) -> str:
    """Return the id of the checkpoint that ``tracker pull`` takes."""
    return str(json.loads(invoke("pull", *arguments, "--json").stdout)["id"])


def test_a_checkpoint_is_named_by_id_beginning_or_uri(history: list[Checkpoint]) -> None:
    first = history[0]
    mlflow.register_model(f"models:/{first.id}", "digits")
    MlflowClient().set_registered_model_alias("digits", "production", "1")
    for source in (
        *(first.id, first.id[:12], f"runs:/{first.run_id}/epoch-0-step-0"),
        *(f"models:/{first.id}", "models:/digits@production", "models:/digits/1"),
    ):
        assert pulled(source) == first.id


def test_one_of_a_run_is_picked_by_epoch_step_best_or_latest(history: list[Checkpoint]) -> None:
    run_id = history[0].run_id
    for place in ([run_id], [f"runs:/{run_id}"], ["--experiment", "digits"]):
        assert pulled(*place, "--epoch", "0") == history[0].id
        assert pulled(*place, "--step", "10") == history[1].id
        assert pulled(*place, "--epoch", "2", "--step", "20") == history[2].id
        assert pulled(*place, "--best", "val_loss") == history[1].id
        assert pulled(*place, "--best", "score", "--mode", "max") == history[2].id
        assert pulled(*place, "--latest") == history[2].id


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "Name a checkpoint: its id"),
        (["--experiment", "digits"], "Say which checkpoint of the experiment: --epoch N"),
        (["--latest"], "Say where to pick from: a RUN_ID, or --experiment NAME."),
        (["--best", "x", "--latest"], "Give one of --epoch N"),
        (["--epoch", "1", "--best", "x"], "Give one of --epoch N"),
        (["--mode", "min"], "--mode says which values of --best METRIC are better."),
        (["0a", "--mode", "min", "--latest"], "--mode says which values"),
        (["m-0a", "--latest"], "'m-0a' names one checkpoint already"),
        (["runs:/0a/epoch-1", "--latest"], "'runs:/0a/epoch-1' names one checkpoint already"),
        (["models:/a@b", "--epoch", "1"], "'models:/a@b' names one checkpoint already"),
        (["0a", "--experiment", "digits", "--latest"], "'0a' and --experiment: pick from a run"),
        (["m-0a", "m-0b"], "Got an unexpected extra argument (m-0b)."),
        (["0a", "--epoch", "-1"], "-1 is not in the range"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("command", ["show", "export out"])
def test_combinations_without_a_meaning_are_refused(
    command: str, arguments: list[str], message: str
) -> None:
    name, *path = command.split()
    assert message in refused(name, *arguments, *path)


def test_a_run_alone_is_not_enough(history: list[Checkpoint]) -> None:
    run_id = history[0].run_id
    assert refused("show", run_id).startswith(f"{run_id} is a run; say which of its checkpoints:")
    done = CliRunner().invoke(cli, ["show", "0" * 32])
    assert done.exit_code == 1
    assert "There is no checkpoint with the id" in str(done.exception)


def test_export_and_verify_take_it_so(history: list[Checkpoint]) -> None:
    best = ("--experiment", "digits", "--best", "val_loss")
    assert json.loads(invoke("export", *best, "out.safetensors", "--json").stdout) == {
        "id": history[1].id,
        "path": "out.safetensors",
        "size": json.loads(invoke("export", history[1].id, "again", "--json").stdout)["size"],
    }
    (verified,) = json.loads(invoke("verify", *best, "--json").stdout)
    assert verified["id"] == history[1].id


def test_check_takes_it_too(history: list[Checkpoint]) -> None:
    checked = invoke("check", history[0].run_id, "--latest", "--no-weights").output
    assert checked.startswith(f"ok      {history[2].id}: ")
