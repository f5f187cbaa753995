"""Runs of imports are found again, histories are read, artifacts keep their paths."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from tracker.errors import NotFoundError, RecordError
from tracker.record import imported_runs
from tracker.record.boundary import connect, tracking_uri
from tracker.record.imported_runs import Target

TARGET = Target("imported", "0" * 64, "old/net", "/data/old/net")


@pytest.fixture
def client(workplace: Path) -> MlflowClient:
    return connect(tracking_uri())


def test_a_run_is_found_by_where_its_checkpoints_came_from(client: MlflowClient) -> None:
    assert imported_runs.find(client, TARGET) is None
    assert imported_runs.experiment_name(client, "imported") is None
    made = imported_runs.make(client, TARGET)
    assert imported_runs.find(client, TARGET) == made
    assert imported_runs.experiment_name(client, "imported") == made.experiment == "imported"
    run = client.get_run(made.id)
    assert (run.info.run_name, run.info.status) == ("old/net", "FINISHED")
    assert run.data.tags["tracker.imported_from"] == "/data/old/net"
    client.delete_run(made.id)
    assert imported_runs.find(client, TARGET) is None


def test_a_deleted_experiment_is_said_to_be_one(client: MlflowClient) -> None:
    made = imported_runs.make(client, TARGET)
    client.delete_experiment(made.experiment_id)
    with pytest.raises(RecordError, match="'imported' was deleted in MLflow"):
        imported_runs.make(client, TARGET)


def test_histories_and_artifacts_of_a_run_are_there(client: MlflowClient, tmp_path: Path) -> None:
    with mlflow.start_run() as run:
        mlflow.log_metric("loss", 0.5, step=1)
        mlflow.log_metric("loss", 0.25, step=2)
        mlflow.log_text("x", "a/b/c.txt")
    run_id = run.info.run_id
    assert imported_runs.points(client, run_id) == {"loss": {1: 0.5, 2: 0.25}}
    assert imported_runs.artifact_paths(client, run_id, "") == ["a/b/c.txt"]
    imported_runs.fetch_artifact(client, run_id, "a/b/c.txt", tmp_path / "into")
    assert (tmp_path / "into/a/b/c.txt").read_text() == "x"


def test_a_path_that_leads_out_is_not_fetched(client: MlflowClient, tmp_path: Path) -> None:
    for path in ("../x.pth", "/etc/hostname", "a/../../x"):
        with pytest.raises(RecordError, match="leads out of its folder"):
            imported_runs.fetch_artifact(client, "0" * 32, path, tmp_path)
    with pytest.raises(NotFoundError):
        imported_runs.points(client, "0" * 32)
