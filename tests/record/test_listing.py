"""What MLflow holds is listed as it was logged, page by page."""

from __future__ import annotations

import math
from typing import Any

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from tests.training import log
from tracker.record import experiments, listing, runs
from tracker.types import CheckpointRecord

pytestmark = pytest.mark.usefixtures("workplace")


def recorded(**arguments: Any) -> list[CheckpointRecord]:
    """Return each checkpoint once, though the last of a page is the first of the next."""
    pages = listing.pages(experiments.names(), **arguments)
    return list({record.id: record for page in pages for record in page.records}.values())


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
    assert recorded(since=runs.now() + 60_000) == []
    assert len(recorded(since=runs.now() - 60_000)) == 1


def test_checkpoints_of_every_experiment_are_listed_page_by_page(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(listing, "_PAGE", 2)
    made = set()
    for name in ("one", "two", "three"):
        mlflow.set_experiment(name)
        with mlflow.start_run():
            made |= {log(epoch=epoch).id for epoch in range(3)}
    assert {record.id for record in recorded()} == made


def test_only_the_checkpoints_of_a_run_can_be_asked_for() -> None:
    made = []
    for _ in range(2):
        with mlflow.start_run():
            made.append(log(epoch=1))
    assert [record.id for record in recorded(run_id=made[0].run_id)] == [made[0].id]


def test_without_experiments_nothing_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(MlflowClient, "search_logged_models")
    monkeypatch.delattr(MlflowClient, "search_runs")
    assert list(listing.pages({})) == []
    assert listing.deleted_runs([]) == set()


def test_deleted_runs_are_those_with_checkpoints() -> None:
    with mlflow.start_run() as without:
        mlflow.log_metric("loss", 0.5)
    with mlflow.start_run() as with_one:
        log(epoch=1)
    for run in (without, with_one):
        mlflow.delete_run(run.info.run_id)
    assert listing.deleted_runs(["0"]) == {with_one.info.run_id}
