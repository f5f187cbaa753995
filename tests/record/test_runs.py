"""What is logged on the MLflow run that a checkpoint belongs to."""

from __future__ import annotations

import math
import random

import mlflow
import pytest
from mlflow.tracking import MlflowClient
from torch import nn

from tests.models import Anything, Net
from tests.training import log
from tracker.errors import InvalidArgumentError, NotFoundError, RecordError
from tracker.record import runs

pytestmark = pytest.mark.usefixtures("workplace")

HUGE = 1.7976931348623157e308


def history(run_id: str, metric: str) -> list[tuple[int, float]]:
    return [(m.step, m.value) for m in MlflowClient().get_metric_history(run_id, metric)]


def test_inside_a_run_checkpoints_belong_to_it() -> None:
    with mlflow.start_run() as run:
        assert log(epoch=1).run_id == run.info.run_id


def test_outside_a_run_one_is_started_as_mlflow_does_and_stays_active() -> None:
    assert mlflow.active_run() is None
    first, second = log(epoch=1), log(epoch=2)
    active = mlflow.active_run()
    assert active is not None
    assert first.run_id == second.run_id == active.info.run_id


def test_starting_a_run_draws_no_random_number_that_training_would_have_drawn() -> None:
    before = random.getstate()
    log(epoch=1)  # MLflow makes up a name for the run
    assert random.getstate() == before


def test_a_run_that_is_named_takes_the_checkpoint_and_the_active_one_does_not() -> None:
    with mlflow.start_run() as other:
        pass
    with mlflow.start_run() as active:
        checkpoint = log(epoch=1, metrics={"loss": 1.0}, run_id=other.info.run_id)
    assert checkpoint.run_id == other.info.run_id
    assert history(other.info.run_id, "loss") == [(1, 1.0)]
    assert mlflow.get_run(active.info.run_id).data.metrics == {}


def test_the_experiment_is_that_of_the_run() -> None:
    mlflow.set_experiment("digits")
    with mlflow.start_run() as run:
        pass
    mlflow.set_experiment("another")
    assert log(epoch=1, run_id=run.info.run_id).experiment == "digits"
    assert log(epoch=1).experiment == "another"


def test_a_nested_run_is_the_one_that_counts() -> None:
    with mlflow.start_run(), mlflow.start_run(nested=True) as inner:
        assert log(epoch=1).run_id == inner.info.run_id


def test_a_run_that_does_not_exist_is_not_found() -> None:
    with pytest.raises(NotFoundError, match="nowhere"):
        log(epoch=1, run_id="nowhere")


@pytest.mark.parametrize("run_id", [5, "", b"abc"])
def test_a_run_id_must_be_text(run_id: object) -> None:
    with pytest.raises(InvalidArgumentError, match="expected the id of an MLflow run"):
        log(epoch=1, run_id=run_id)


def test_a_deleted_run_is_not_logged_to() -> None:
    with mlflow.start_run() as run:
        pass
    mlflow.delete_run(run.info.run_id)
    with pytest.raises(RecordError, match=r"was deleted in MLflow.*restore it"):
        log(epoch=1, run_id=run.info.run_id)


def test_a_run_that_was_met_before_costs_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    with mlflow.start_run() as run:
        log(epoch=1)
    monkeypatch.setattr(MlflowClient, "get_run", None)
    monkeypatch.setattr(MlflowClient, "get_experiment", None)
    assert log(epoch=2, run_id=run.info.run_id).run_id == run.info.run_id


def test_metrics_are_on_the_run_at_the_epoch() -> None:
    with mlflow.start_run() as run:
        for epoch in (1, 2, 3):
            log(epoch=epoch, metrics={"val_loss": 1 / epoch})
    assert history(run.info.run_id, "val_loss") == [(1, 1.0), (2, 0.5), (3, 1 / 3)]


def test_metrics_are_on_the_run_at_the_step_where_there_is_one() -> None:
    with mlflow.start_run() as run:
        log(epoch=1, step=700, metrics={"val_loss": 1.0})
    assert history(run.info.run_id, "val_loss") == [(700, 1.0)]


def test_a_nan_is_a_nan_on_the_run_and_infinities_are_mlflows() -> None:
    with mlflow.start_run() as run:
        log(epoch=1, metrics={"a": math.nan, "b": math.inf, "c": -math.inf})
    assert math.isnan(history(run.info.run_id, "a")[0][1])
    assert history(run.info.run_id, "b") == [(1, HUGE)]
    assert history(run.info.run_id, "c") == [(1, -HUGE)]


def test_more_metrics_than_a_batch_holds_are_all_logged() -> None:
    with mlflow.start_run() as run:
        log(epoch=1, metrics={f"metric_{i}": float(i) for i in range(1001)})
    assert len(mlflow.get_run(run.info.run_id).data.metrics) == 1001


def test_class_and_constructor_arguments_are_params_of_the_run() -> None:
    with mlflow.start_run() as run:
        log(Net(hidden=4, depth=2), epoch=1)
        log(Net(hidden=4, depth=2), epoch=2)
    assert mlflow.get_run(run.info.run_id).data.params == {
        "model.class": "tests.models:Net",
        "model.hidden": "4",
        "model.depth": "2",
        "model.act": "relu",
        "model.bias": "True",
    }


def test_the_users_own_params_of_the_same_name_are_apart() -> None:
    with mlflow.start_run() as run:
        log(Net(hidden=4), epoch=1)
        mlflow.log_params({"hidden": 128, "depth": 3})
    assert mlflow.get_run(run.info.run_id).data.params["hidden"] == "128"


@pytest.mark.parametrize("name", ["model.class", "model.hidden"])
def test_a_param_that_the_user_logged_before_stays_and_the_checkpoint_is_logged(name: str) -> None:
    with mlflow.start_run() as run:
        mlflow.log_param(name, "mine")
        log(Net(hidden=4, depth=3), epoch=1)
    params = mlflow.get_run(run.info.run_id).data.params
    assert params[name] == "mine"
    assert params["model.depth"] == "3"


def test_a_param_that_another_process_logs_meanwhile_stays_too() -> None:
    with mlflow.start_run() as run:
        log(nn.ReLU(), epoch=1)
        MlflowClient().log_param(run.info.run_id, "model.hidden", "9")
        log(Net(hidden=4, depth=3), epoch=2)
    params = mlflow.get_run(run.info.run_id).data.params
    assert (params["model.hidden"], params["model.depth"]) == ("9", "3")


def test_two_models_of_one_run_keep_their_params_apart_on_the_checkpoints() -> None:
    with mlflow.start_run() as run:
        generator, critic = log(Net(hidden=4), epoch=1), log(nn.Linear(3, 1), epoch=1)
    assert generator.params["hidden"] == "4"
    assert critic.params["in_features"] == "3"
    assert mlflow.get_run(run.info.run_id).data.params["model.in_features"] == "3"


def test_arguments_whose_names_mlflow_refuses_are_left_out_on_the_run_alone() -> None:
    model = Anything(**{"lr*2": 1, "a//b": 2, "x" * 300: 3, "good": 4})
    with mlflow.start_run() as run:
        checkpoint = log(model, epoch=1)
    assert mlflow.get_run(run.info.run_id).data.params == {
        "model.class": "tests.models:Anything",
        "model.good": "4",
    }
    assert checkpoint.params["lr*2"] == "1"


def test_a_value_that_is_longer_than_mlflow_keeps_is_cut_on_the_run_alone() -> None:
    with mlflow.start_run() as run:
        checkpoint = log(Anything(text="x" * 7000), epoch=1)
    assert len(mlflow.get_run(run.info.run_id).data.params["model.text"]) == runs.MAX_PARAM_LENGTH
    assert len(checkpoint.params["text"]) == 7000


def test_text_that_no_database_holds_is_escaped() -> None:
    assert log(Anything(path="caf\udce9\0"), epoch=1).params["path"] == r"caf\udce9\x00"


def test_more_arguments_than_a_batch_holds_are_all_logged() -> None:
    with mlflow.start_run() as run:
        log(Anything(**{f"argument_{i}": i for i in range(150)}), epoch=1)
    assert len(mlflow.get_run(run.info.run_id).data.params) == 151
