"""A run that ends is noticed, however it is ended; fails if MLflow moves what is replaced."""

from __future__ import annotations

from collections.abc import Callable

import mlflow
import pytest
from torch import nn

import tracker
from tests.training import log
from tracker.errors import UnstorableError
from tracker.record import flavor_file

pytestmark = pytest.mark.usefixtures("workplace")


def end_run() -> None:
    mlflow.start_run()
    handed_over()
    mlflow.end_run()


def leave_with() -> None:
    with mlflow.start_run():
        handed_over()


def leave_nested() -> None:
    with mlflow.start_run(), mlflow.start_run(nested=True):
        handed_over()


def start_another() -> None:
    mlflow.start_run()
    handed_over()
    mlflow.end_run("KILLED")
    mlflow.start_run()


pending: list[tracker.PendingCheckpoint] = []


def handed_over() -> None:
    pending.append(tracker.log_checkpoint(nn.Linear(256, 256), epoch=1))


@pytest.mark.parametrize("end", [end_run, leave_with, leave_nested, start_another])
def test_when_a_run_has_ended_its_checkpoints_are_durable(end: Callable[[], None]) -> None:
    end()
    assert pending.pop().done()


def test_a_with_that_was_entered_before_tracker_was_used_is_noticed_too() -> None:
    with mlflow.start_run():
        handed_over()
    assert pending.pop().done()


def test_a_run_without_checkpoints_ends_as_ever() -> None:
    log(epoch=1, run_id=mlflow.MlflowClient().create_run("0").info.run_id)
    with mlflow.start_run() as run:
        pass
    mlflow.end_run()
    assert mlflow.get_run(run.info.run_id).info.status == "FINISHED"


@pytest.fixture
def full(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise UnstorableError("weight", "has no place")

    monkeypatch.setattr(flavor_file, "flavor_files", refuse)


def test_what_could_not_be_saved_is_raised_when_the_run_has_ended(full: None) -> None:
    run = mlflow.start_run()
    handed_over()
    with pytest.raises(UnstorableError, match="has no place"):
        mlflow.end_run()
    assert mlflow.active_run() is None
    assert mlflow.get_run(run.info.run_id).info.status == "FINISHED"


def test_an_error_of_the_training_is_not_hidden_by_one_of_saving(full: None) -> None:
    def train() -> None:
        with mlflow.start_run():
            handed_over()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()
    assert mlflow.last_active_run().info.status == "FAILED"
    with pytest.raises(UnstorableError, match="has no place"):
        tracker.flush()
