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
from tracker.types import CheckpointRecord

pytestmark = pytest.mark.usefixtures("workplace")


def logged(checkpoint: Checkpoint) -> mlflow.entities.LoggedModel:
    return MlflowClient().get_logged_model(checkpoint.id)


def recorded() -> list[CheckpointRecord]:
    return list(logged_models.checkpoints())


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


def test_everything_that_the_catalog_knows_comes_back_from_mlflow() -> None:
    full = log(
        epoch=6,
        step=700,
        metrics={"a": math.inf, "b": -math.inf, "c": 0.5, "d": math.nan},
        tags={"stage": "warm-up", "note": "ø"},
    )
    bare = log()
    from_mlflow = {record.id: record for record in recorded()}
    for made in (full.record, bare.record):
        found = from_mlflow[made.id]
        assert repr(found.metrics["d"] if found.metrics else 0) in ("nan", "0")
        assert {k: repr(v) for k, v in found.metrics.items()} == {
            k: repr(v) for k, v in made.metrics.items()
        }
        for name in CheckpointRecord.__dataclass_fields__:
            if name != "metrics":
                assert getattr(found, name) == getattr(made, name), name


def test_hundreds_of_nans_are_remembered() -> None:
    metrics = {f"per_class/precision_of_class_number_{i}": math.nan for i in range(400)}
    log(epoch=1, metrics=metrics)
    (record,) = recorded()
    assert len(record.metrics) == 400


def test_models_of_others_and_unfinished_ones_are_not_checkpoints() -> None:
    mlflow.start_run()
    mlflow.create_external_model(name="somebody-elses")
    mlflow.initialize_logged_model(name="pending")
    checkpoint = log(epoch=1)
    assert [record.id for record in recorded()] == [checkpoint.id]


def test_tags_that_somebody_broke_hide_that_checkpoint_alone(
    caplog: pytest.LogCaptureFixture,
) -> None:
    broken, whole = log(epoch=1), log(epoch=2)
    MlflowClient().set_logged_model_tags(broken.id, {"tracker.epoch": "six"})
    assert [record.id for record in recorded()] == [whole.id]
    assert broken.id in caplog.text


def test_only_what_was_updated_since_then_can_be_asked_for() -> None:
    log(epoch=1)
    assert list(logged_models.checkpoints(since=runs.now() + 60_000)) == []
    assert len(list(logged_models.checkpoints(since=runs.now() - 60_000))) == 1


def test_checkpoints_of_every_experiment_are_listed_page_by_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(logged_models, "_PAGE", 2)
    monkeypatch.setattr(logged_models, "_EXPERIMENTS_PER_REQUEST", 1)
    made = set()
    for name in ("one", "two", "three"):
        mlflow.set_experiment(name)
        with mlflow.start_run():
            made |= {log(epoch=epoch).id for epoch in range(3)}
    assert {record.id for record in recorded()} == made


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
