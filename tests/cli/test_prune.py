"""`tracker prune`: what it shows, asks, deletes and returns."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import mlflow
import pytest
from click.testing import CliRunner
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

import tracker
from tests.cli.running import invoke, refused
from tests.training import log
from tracker.cli import cli
from tracker.errors import InvalidArgumentError, NotFoundError

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def run_id() -> str:
    """A run of four epochs, of which the second is the best."""
    with mlflow.start_run() as run:
        for epoch, loss in enumerate([3, 1, 2, 4]):
            log(epoch=epoch, metrics={"val_loss": loss})
    found: str = run.info.run_id
    return found


def epochs() -> list[int | None]:
    return sorted(each.epoch or 0 for each in tracker.search_checkpoints())


def test_a_dry_run_shows_what_stays_and_why_and_deletes_nothing(run_id: str) -> None:
    done = invoke("prune", run_id, "--keep-best", "2", "--monitor", "val_loss", "--dry-run")
    heading, *rows = (line.split("  ") for line in done.stdout.splitlines())
    assert heading[-1] == "STAYS BECAUSE"
    stays = ["the newest", "2nd best val_loss", "best val_loss"]
    assert [row[-1].strip() for row in rows[:3]] == stays
    assert rows[3][-1].endswith("B")
    assert "1 checkpoint of 4 would go" in done.stderr
    assert epochs() == [0, 1, 2, 3]


def test_yes_deletes_what_no_rule_keeps(run_id: str) -> None:
    with mlflow.start_run():
        log(epoch=9)
    done = invoke("prune", run_id, "--keep-last", "1", "--keep-every", "2", "--yes")
    assert done.stdout.endswith("1 checkpoint deleted.\n")
    assert epochs() == [0, 2, 3, 9]


def test_json_tells_programs_the_same(run_id: str) -> None:
    arguments = ("prune", run_id, "--keep-last", "3", "--json")
    planned = json.loads(invoke(*arguments, "--dry-run").stdout)
    assert [each["stays"] for each in planned] == [True, True, True, False]
    assert planned[0]["reasons"] == ["the newest"]
    assert not any(each["deleted"] for each in planned)
    done = json.loads(invoke(*arguments, "--yes").stdout)
    assert [each["deleted"] for each in done] == [False, False, False, True]
    assert epochs() == [1, 2, 3]


def test_runs_of_an_experiment_are_judged_each_by_itself(run_id: str) -> None:
    with mlflow.start_run() as gone:
        log(epoch=5)
    mlflow.delete_run(gone.info.run_id)
    mlflow.set_experiment("others")
    with mlflow.start_run():
        log(epoch=7)
        log(epoch=8)
    invoke("prune", "--experiment", "Default", "--keep-last", "1", "--yes")
    assert sorted({3, 7, 8}) == [epoch for epoch in epochs() if epoch != 5]
    invoke("prune", "--all", "--keep-last", "1", "--yes")
    assert [epoch for epoch in epochs() if epoch != 5] == [3, 8]
    MlflowClient().restore_run(gone.info.run_id)
    assert tracker.get_checkpoint(gone.info.run_id).load_model()


def test_what_can_not_be_deleted_is_told(run_id: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise MlflowException("Permission denied")

    monkeypatch.setattr(MlflowClient, "delete_logged_model", refuse)
    done = CliRunner().invoke(cli, ["prune", run_id, "--keep-last", "3", "--yes"])
    assert done.exit_code == 1
    assert "STAYS" in done.stdout
    assert "Permission denied" in done.stdout
    assert epochs() == [0, 1, 2, 3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--keep-last", "1", "--dry-run"], "Say of which runs"),
        (["RUN", "--all", "--keep-last", "1", "--dry-run"], "Say of which runs"),
        (["RUN", "--keep-last", "1"], "give --dry-run to look, --yes to delete"),
        (["RUN", "--keep-last", "0", "--yes"], "0 is not in the range x>=1"),
    ],
)
def test_a_call_that_is_not_clear_is_refused(arguments: list[str], message: str) -> None:
    assert message in refused("prune", *arguments)


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        (["--yes"], InvalidArgumentError, "needs a rule"),
        (["--keep-best", "1", "--yes"], InvalidArgumentError, "needs the name of the metric"),
        (["--keep-last", "1", "--yes"], NotFoundError, "mlflow.db"),
    ],
)
def test_errors_are_trackers(arguments: list[str], error: type, message: str) -> None:
    Path("mlflow.db").unlink()
    done = CliRunner().invoke(cli, ["prune", "--all", *arguments])
    assert isinstance(done.exception, error)
    assert message in str(done.exception)
    assert not Path("mlflow.db").exists()


def test_unknown_runs_and_experiments_are_named(run_id: str) -> None:
    for arguments in (["f" * 32], ["--experiment", "nowhere"]):
        done = CliRunner().invoke(cli, ["prune", *arguments, "--keep-last", "1", "--yes"])
        assert isinstance(done.exception, NotFoundError)
        assert arguments[-1] in str(done.exception)


def test_a_misspelt_metric_deletes_nothing_and_is_told(run_id: str) -> None:
    rule = ("--keep-best", "1", "--monitor", "val_los", "--mode", "min")
    done = invoke("prune", run_id, *rule, "--yes")
    assert "Warning: no checkpoint of tests.models:Net has the metric" in done.stderr
    assert epochs() == [0, 1, 2, 3]
