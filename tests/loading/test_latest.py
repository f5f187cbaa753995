"""A script that may be started again goes on from the newest checkpoint there is."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from torch import nn

import tracker
from tests.models import Net, Tied
from tests.training import log, same, state_of, train_epoch
from tracker.errors import (
    CorruptCheckpointError,
    InvalidArgumentError,
    MismatchError,
    NotFoundError,
    RecordError,
    TrackerWarning,
)

pytestmark = pytest.mark.usefixtures("workplace")


def trained(epochs: int, **arguments: Any) -> tuple[Net, Any]:
    """A model that was trained, with a checkpoint of each epoch."""
    model = Net(hidden=4, depth=2)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for epoch in range(epochs):
        train_epoch(model, optimizer, epoch)
        log(model, epoch=epoch, optimizer=optimizer, **arguments)
    return model, optimizer


def fresh() -> dict[str, Any]:
    model = Net(hidden=4, depth=2)
    return {"model": model, "optimizer": torch.optim.Adam(model.parameters(), lr=0.01)}


def files_of(checkpoint: tracker.Checkpoint) -> Path:
    return Path(checkpoint.record.artifact_uri.removeprefix("file://"))


def damage(checkpoint: tracker.Checkpoint) -> None:
    file = files_of(checkpoint) / "training.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(content)


def test_the_newest_checkpoint_of_the_active_run_is_resumed() -> None:
    with mlflow.start_run():
        model, optimizer = trained(3)
        live = fresh()
        found = tracker.resume_latest(**live)
    assert found is not None
    assert found.epoch == 2
    assert same(state_of(*live.values()), state_of(model, optimizer))


def test_without_a_run_the_newest_of_the_experiment_in_force_counts() -> None:
    mlflow.set_experiment("one")
    with mlflow.start_run() as run:
        trained(1)
    mlflow.set_experiment("other")
    with mlflow.start_run():
        trained(2)
    mlflow.set_experiment("one")
    found = tracker.resume_latest(**fresh())
    assert found is not None
    assert (found.experiment, found.epoch, found.run_id) == ("one", 0, run.info.run_id)


def test_the_environment_names_run_and_experiment(monkeypatch: pytest.MonkeyPatch) -> None:
    with mlflow.start_run() as run:
        trained(1)
    with mlflow.start_run(experiment_id=mlflow.create_experiment("other")):
        trained(2)
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "other")
    found = tracker.resume_latest(**fresh())
    assert found is not None
    assert found.experiment == "other"
    monkeypatch.setenv("MLFLOW_RUN_ID", run.info.run_id)
    found = tracker.resume_latest(**fresh())
    assert found is not None
    assert found.run_id == run.info.run_id


def test_a_run_that_has_no_checkpoint_yet_gives_none_though_the_experiment_has_some() -> None:
    with mlflow.start_run():
        trained(1)
    with mlflow.start_run():
        assert tracker.resume_latest(**fresh()) is None


def test_where_nothing_is_there_is_nothing(workplace: Path) -> None:
    assert tracker.resume_latest(**fresh()) is None
    assert tracker.resume_latest(**fresh(), experiment="never") is None
    assert tracker.resume_latest(**fresh(), run_id="0" * 32) is None
    mlflow.set_experiment("empty")
    assert tracker.resume_latest(**fresh()) is None


def test_no_database_is_nothing_and_none_is_made(workplace: Path) -> None:
    (workplace / "mlflow.db").unlink()
    assert tracker.resume_latest(**fresh()) is None
    assert not (workplace / "mlflow.db").exists()


def test_an_experiment_that_the_environment_names_by_a_wrong_id_is_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    trained(1)
    mlflow.end_run()
    monkeypatch.setenv("MLFLOW_EXPERIMENT_ID", "12345")
    assert tracker.resume_latest(**fresh()) is None


def test_only_checkpoints_of_the_models_class_count() -> None:
    with mlflow.start_run():
        model, _ = trained(1)
        log(Tied(), epoch=5)
        live = fresh()
        found = tracker.resume_latest(**live)
        assert found is not None
        assert found.epoch == 0
        assert same(state_of(live["model"]), state_of(model))
        with pytest.warns(TrackerWarning, match=r"none of a torch\.nn\.modules\.linear:Linear"):
            assert tracker.resume_latest(model=nn.Linear(1, 1)) is None


def test_a_wrapped_model_is_of_its_own_class() -> None:
    model, _ = trained(1)
    other = Net(hidden=4, depth=2)
    assert tracker.resume_latest(model=nn.DataParallel(other)) is not None
    assert same(state_of(other), state_of(model))


def test_a_damaged_checkpoint_is_passed_over_with_a_warning() -> None:
    trained(3)
    damage(tracker.get_checkpoint(epoch=2))
    shutil.rmtree(files_of(tracker.get_checkpoint(epoch=1)))
    live = fresh()
    with pytest.warns(TrackerWarning) as caught:
        found = tracker.resume_latest(**live)
    assert found is not None
    assert found.epoch == 0
    texts = [str(each.message) for each in caught if each.category is TrackerWarning]
    assert ["epoch-2" in texts[0], "epoch-1" in texts[1]] == [True, True]
    assert all("the one before it is tried" in text for text in texts)


@pytest.mark.filterwarnings("ignore::tracker.errors.TrackerWarning")
def test_where_all_are_damaged_training_does_not_begin_anew_in_silence() -> None:
    trained(2)
    for epoch in range(2):
        damage(tracker.get_checkpoint(epoch=epoch))
    live = fresh()
    before = state_of(*live.values())
    with pytest.raises(CorruptCheckpointError, match=r"training\.safetensors"):
        tracker.resume_latest(**live)
    for epoch in range(2):
        shutil.rmtree(files_of(tracker.get_checkpoint(epoch=epoch)))
    with pytest.raises(NotFoundError, match="are not in"):
        tracker.resume_latest(**live)
    assert same(state_of(*live.values()), before)


def test_what_does_not_fit_is_an_error_and_no_earlier_one_is_tried() -> None:
    trained(1)
    model = Net(hidden=5, depth=2)
    with pytest.raises(MismatchError, match=r"head\.weight is \[2, 4\] in the checkpoint"):
        tracker.resume_latest(model=model)


def test_a_server_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:9")
    with pytest.raises(RecordError):
        tracker.resume_latest(**fresh())


def test_newer_checkpoints_that_wait_on_the_disk_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    trained(1)
    monkeypatch.setenv("TRACKER_OFFLINE", "1")
    tracker.log_checkpoint(Net(hidden=4, depth=2), epoch=1)
    tracker.flush()
    monkeypatch.delenv("TRACKER_OFFLINE")
    with pytest.warns(TrackerWarning, match=r"A newer checkpoint waits .*: epoch-1 in .*sync"):
        found = tracker.resume_latest(**fresh())
    assert found is not None
    assert found.epoch == 0
    tracker.api.sync()
    found = tracker.resume_latest(model=Net(hidden=4, depth=2))
    assert found is not None
    assert found.epoch == 1


def test_a_checkpoint_that_is_being_saved_is_waited_for() -> None:
    model = Net(hidden=4, depth=2)
    tracker.log_checkpoint(model, epoch=7)
    found = tracker.resume_latest(model=Net(hidden=4, depth=2))
    assert found is not None
    assert found.epoch == 7


def test_plain_values_are_in_the_checkpoint_that_is_returned() -> None:
    trained(1, state={"best": 0.5, "names": ["a", "b"], "history": torch.arange(3)})
    found = tracker.resume_latest(**fresh(), state={"best": None})
    assert found is not None
    assert found.state["best"] == 0.5
    assert found.state["names"] == ["a", "b"]
    assert torch.equal(found.state["history"], torch.arange(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"model": 5}, "not a torch"),
        ({"run_id": 5}, "run_id=5"),
        ({"experiment": 5}, "experiment=5"),
    ],
)
def test_bad_arguments_are_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        tracker.resume_latest(**{**fresh(), **arguments})
