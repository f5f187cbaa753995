"""``tracker runs``: of every run its best checkpoint, and the course of the metric."""

from __future__ import annotations

import json
import math

import mlflow
import pytest
from click.testing import CliRunner

from tests.cli.running import in_terminal, invoke, refused
from tests.training import log
from tracker import Checkpoint, catalog
from tracker.cli import cli
from tracker.loading import mirror

pytestmark = pytest.mark.usefixtures("workplace")

LOSSES = {"digits": [0.9, 0.5, 0.7], "letters": [0.8, math.nan, 0.1], "lost": [math.nan]}


@pytest.fixture
def runs() -> dict[str, list[Checkpoint]]:
    found = {}
    for experiment, losses in LOSSES.items():
        mlflow.set_experiment(experiment)
        with mlflow.start_run():
            found[experiment] = [
                log(epoch=epoch, metrics={"val_loss": loss}) for epoch, loss in enumerate(losses)
            ]
    return found


def test_every_run_that_has_the_metric_has_a_row_the_best_first(
    runs: dict[str, list[Checkpoint]],
) -> None:
    heading, *rows = invoke("runs", "val_loss").output.splitlines()
    assert heading.split() == "RUN EXPERIMENT val_loss EPOCH COURSE MODEL CHECKPOINT".split()
    letters, digits = runs["letters"][2], runs["digits"][1]
    assert rows[0].startswith(f"{letters.run_id}  letters          0.1      2  █ ▁")
    assert rows[0].endswith(letters.id[:10])
    assert rows[1].startswith(f"{digits.run_id}  digits           0.5      1  █▁▄")
    assert len(rows) == 2


def test_it_takes_a_mode_an_experiment_a_filter_and_pages(
    runs: dict[str, list[Checkpoint]],
) -> None:
    def epochs(*arguments: str) -> list[int]:
        found = json.loads(invoke("runs", "val_loss", *arguments, "--json").stdout)
        return [each["epoch"] for each in found]

    assert epochs() == [2, 1]
    assert epochs("--mode", "max") == [0, 0]
    assert epochs("--experiment", "digits") == [1]
    assert epochs("--filter", "attributes.epoch < 1") == [0, 0]
    assert epochs("--limit", "1") == [2]
    assert epochs("--limit", "1", "--offset", "1") == [1]
    assert "--offset 1 shows the next page" in invoke("runs", "val_loss", "--limit", "1").stderr
    assert "next page" not in invoke("runs", "val_loss", "--limit", "1", "--offset", "1").stderr
    beyond = invoke("runs", "val_loss", "--offset", "5")
    assert (beyond.stdout, beyond.stderr) == ("", "No more runs match.\n")
    misspelt = CliRunner().invoke(cli, ["runs", "val_los", "--offset", "5"])
    assert "val_loss" in str(misspelt.exception)


def test_a_mirror_is_brought_up_to_date_once(
    runs: dict[str, list[Checkpoint]], monkeypatch: pytest.MonkeyPatch
) -> None:
    updates: list[object] = []
    monkeypatch.setattr(mirror, "update", updates.append)
    monkeypatch.setattr(catalog, "is_mirror", lambda uri: True)
    assert "COURSE" in invoke("runs", "val_loss").stdout
    assert len(updates) == 1


def test_json_has_the_history_and_csv_the_columns_of_a_list(
    runs: dict[str, list[Checkpoint]],
) -> None:
    first, _ = json.loads(invoke("runs", "val_loss", "--json").stdout)
    assert first["id"] == runs["letters"][2].id
    assert first["history"] == [[0, 0.8], [1, "NaN"], [2, 0.1]]
    listed, of_runs = (
        invoke(*command, "--csv").stdout.splitlines()[0]
        for command in (["list"], ["runs", "val_loss"])
    )
    assert of_runs == listed


def test_in_a_narrow_terminal_run_metric_and_epoch_stay(runs: dict[str, list[Checkpoint]]) -> None:
    heading, *rows = in_terminal("runs", "val_loss", columns=40, NO_COLOR="1").splitlines()
    assert heading.split()[0] == "RUN"
    assert {"val_loss", "EPOCH"} <= {*heading.split()}
    assert max(map(len, (heading, *rows))) <= 40


def test_a_metric_that_is_not_there_is_an_error_that_lists_those_that_are(
    runs: dict[str, list[Checkpoint]],
) -> None:
    done = CliRunner().invoke(cli, ["runs", "val_los"])
    assert done.exit_code == 1
    assert "val_loss" in str(done.exception)
    assert "two formats" in refused("runs", "val_loss", "--json", "--csv")
