"""What the shell offers for experiments, runs and metrics, and that it stays silent."""

from __future__ import annotations

import os
from pathlib import Path

import mlflow
import pytest
from click.shell_completion import ShellComplete

from tests.training import log
from tracker import Checkpoint
from tracker.cli import cli

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def logged() -> dict[str, Checkpoint]:
    found = {}
    for experiment, metric in (("digits", "val_loss"), ("letters of Ada", "accuracy")):
        mlflow.set_experiment(experiment)
        with mlflow.start_run():
            found[experiment] = log(epoch=1, metrics={metric: 0.5})
    return found


def offered(*arguments: str) -> list[str]:
    """Return what is offered for the last of the arguments, as far as it was typed."""
    complete = ShellComplete(cli, {}, "tracker", "_TRACKER_COMPLETE")
    return [item.value for item in complete.get_completions([*arguments[:-1]], arguments[-1])]


def test_experiments_are_offered(logged: dict[str, Checkpoint]) -> None:
    for command in ("list", "search", "best", "runs", "show", "verify", "export"):
        assert offered(command, "--experiment", "") == ["digits", "letters of Ada"]
        assert offered(command, "--experiment", "le") == ["letters of Ada"]


def test_runs_are_offered_of_the_experiment_that_was_given(logged: dict[str, Checkpoint]) -> None:
    runs = {name: checkpoint.run_id for name, checkpoint in logged.items()}
    assert offered("list", "--run", "") == [runs["letters of Ada"], runs["digits"]]
    assert offered("list", "--experiment", "digits", "--run", "") == [runs["digits"]]


def test_metrics_are_offered_of_the_experiment_that_was_given(
    logged: dict[str, Checkpoint],
) -> None:
    assert offered("best", "") == ["accuracy", "val_loss"]
    assert offered("best", "--experiment", "digits", "") == ["val_loss"]
    assert offered("show", "--experiment", "digits", "--best", "v") == ["val_loss"]


def test_a_name_that_would_break_the_line_is_not_offered() -> None:
    mlflow.set_experiment("two\nlines")
    with mlflow.start_run():
        log(epoch=1)
    assert offered("list", "--experiment", "") == []


@pytest.mark.parametrize("broken", ["no database", "not a database", "no such scheme"])
def test_whatever_is_wrong_nothing_is_offered_and_nothing_printed(
    workplace: Path, capfd: pytest.CaptureFixture[str], broken: str
) -> None:
    if broken == "no database":
        os.remove("mlflow.db")
    elif broken == "not a database":
        Path("mlflow.db").write_text("nothing of the kind " * 1000)
    else:
        os.environ["MLFLOW_TRACKING_URI"] = "nonsense://x"
    for arguments in (("list", "--experiment"), ("list", "--run"), ("show", "--best")):
        assert offered(*arguments, "") == []
    assert capfd.readouterr() == ("", "")
    assert broken != "no database" or not Path("mlflow.db").exists()
