"""Every checkpoint is a logged model in MLflow, as MLflow's own tools see it."""

from __future__ import annotations

import math
from pathlib import Path

import mlflow
import pytest
from mlflow.entities import LoggedModelStatus
from mlflow.tracking import MlflowClient

from tests.models import Net
from tests.training import log
from tracker import Checkpoint
from tracker.errors import NotFoundError, RecordError
from tracker.record import logged_models, runs

pytestmark = pytest.mark.usefixtures("workplace")


def logged(checkpoint: Checkpoint) -> mlflow.entities.LoggedModel:
    return MlflowClient().get_logged_model(checkpoint.id)


def test_a_checkpoint_is_a_ready_logged_model_named_by_its_epoch() -> None:
    checkpoint = log(Net(hidden=4, depth=2), epoch=6, metrics={"val_loss": 0.5}, tags={"a": "b"})
    model = logged(checkpoint)
    assert (model.name, model.status, model.source_run_id) == (
        "epoch-6",
        LoggedModelStatus.READY,
        checkpoint.run_id,
    )
    assert model.params == {"hidden": "4", "depth": "2", "act": "relu", "bias": "True"}
    assert model.tags["a"] == "b"


def test_its_metrics_are_linked_to_it_at_the_epoch() -> None:
    checkpoint = log(epoch=6, metrics={"val_loss": 0.5})
    (metric,) = logged(checkpoint).metrics
    assert (metric.key, metric.value, metric.step) == ("val_loss", 0.5, 6)
    assert (metric.model_id, metric.run_id) == (checkpoint.id, checkpoint.run_id)


def test_it_is_an_output_of_the_run_at_the_epoch() -> None:
    checkpoint = log(epoch=6)
    outputs = mlflow.get_run(checkpoint.run_id).outputs.model_outputs
    assert [(o.model_id, o.step) for o in outputs] == [(checkpoint.id, 6)]


def test_mlflows_own_search_shows_the_checkpoints_with_their_metrics() -> None:
    log(epoch=1, metrics={"val_loss": 0.5})
    log(epoch=2, metrics={"val_loss": 0.25})
    frame = mlflow.search_logged_models(
        filter_string="metrics.val_loss < 0.3",
        order_by=[{"field_name": "metrics.val_loss", "ascending": True}],
    )
    assert list(frame["name"]) == ["epoch-2"]


def test_a_nan_never_reaches_the_logged_model_where_it_would_be_the_best_loss() -> None:
    checkpoint = log(epoch=1, metrics={"val_loss": math.nan, "accuracy": 0.5})
    assert [metric.key for metric in logged(checkpoint).metrics] == ["accuracy"]


def test_a_logged_model_that_can_not_be_linked_to_its_run_is_failed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise ConnectionError("gone")

    client = MlflowClient()
    run = runs.run_for_logging(client, None)
    monkeypatch.setattr(MlflowClient, "log_outputs", refuse)
    with pytest.raises(RecordError, match="gone"):
        logged_models.create(client, run, name="epoch-1", step=1, tags={}, params={})
    (model,) = mlflow.search_logged_models(output_format="list")
    assert model.status == LoggedModelStatus.FAILED


def test_failing_a_model_never_hides_the_error_that_led_there(
    caplog: pytest.LogCaptureFixture,
) -> None:
    logged_models.fail(MlflowClient(), "m-nowhere")
    assert "m-nowhere could not be marked FAILED" in caplog.text


def test_deleting_what_does_not_exist_is_not_found() -> None:
    with pytest.raises(NotFoundError):
        logged_models.delete(MlflowClient(), "m-nowhere")


def test_mlflows_tables_are_made_where_they_lack(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'new.db'}"
    logged_models.prepare_database(uri)
    assert MlflowClient(tracking_uri=uri).get_experiment("0").name == "Default"
