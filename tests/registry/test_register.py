"""Registering: a version of its own, whole, that outlives everything it was made from."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
import sqlite3
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import mlflow
import numpy as np
import pytest
import torch
from mlflow.tracking import MlflowClient
from torch import nn

import tracker
from tests.models import Net
from tests.system.processes import PYTHON, succeed
from tests.training import log, same
from tracker.errors import (
    CorruptCheckpointError,
    InvalidArgumentError,
    NotFoundError,
    TrackerWarning,
)

pytestmark = pytest.mark.usefixtures("workplace")


class Adapted(nn.Module):
    """A frozen backbone, stored once a run, and a small head."""

    def __init__(self) -> None:
        super().__init__()
        self.backbone = nn.Linear(64, 64)
        self.head = nn.Linear(64, 2)


def two_epochs(model: nn.Module) -> tuple[tracker.Checkpoint, tracker.Checkpoint]:
    """Log two checkpoints; the second needs the backbone's bytes from the first."""
    with mlflow.start_run():
        first = log(model, epoch=1, metrics={"val_loss": 0.5})
        with torch.no_grad():
            model.head.weight += 1
        second = log(model, epoch=2, metrics={"val_loss": 0.25, "broken": float("nan")})
    return first, second


def collect_garbage() -> str:
    uri = "sqlite:///mlflow.db"
    command = (PYTHON, "-m", "mlflow", "gc", "--backend-store-uri", uri, "--tracking-uri", uri)
    return succeed(*command, directory=Path.cwd(), variables=dict(os.environ))


def test_a_version_outlives_checkpoint_run_experiment_and_catalog() -> None:
    mlflow.set_experiment("digits")
    model = Adapted()
    first, second = two_epochs(model)
    version = tracker.register(second, "digits-cnn", alias="champion")
    before = tracker.load_model("models:/digits-cnn@champion").state_dict()

    client = MlflowClient()
    for checkpoint in (first, second):
        client.delete_logged_model(checkpoint.id)
    client.delete_run(second.run_id)
    client.delete_experiment(second.record.experiment_id)
    removed = collect_garbage()
    for gone in (first.id, second.id, second.run_id, second.record.experiment_id):
        assert f"{gone} has been permanently deleted" in removed
    assert not Path(first.record.artifact_uri).exists()
    assert not Path(second.record.artifact_uri).exists()
    with contextlib.closing(sqlite3.connect("mlflow.db")) as connection, connection:
        connection.execute("DELETE FROM tracker_checkpoints")

    for uri in ("models:/digits-cnn@champion", "models:/digits-cnn/1", "models:/digits-cnn/latest"):
        loaded = tracker.load_model(uri)
        assert type(loaded) is Adapted
        assert same(loaded.state_dict(), before)
        assert same(loaded.state_dict(), model.state_dict())
    assert mlflow.pyfunc.load_model("models:/digits-cnn@champion") is not None
    assert version.epoch == 2


def test_the_checkpoint_of_a_version_says_where_it_came_from() -> None:
    _, second = two_epochs(Adapted())
    tracker.register(second, "digits-cnn")
    found = tracker.Checkpoint(tracker.api.as_checkpoint("models:/digits-cnn/1").record)
    assert (found.run_id, found.experiment, found.name, found.epoch) == (
        second.run_id,
        second.experiment,
        second.name,
        second.epoch,
    )
    assert same(found.metrics, second.metrics)
    assert found.params == second.params
    assert found.model_text == second.model_text
    assert found.created_at == second.created_at
    assert found.id != second.id  # its files are others
    assert tracker.api.as_checkpoint(found.id).record.artifact_uri == found.record.artifact_uri
    assert same(found.load_state_dict(), second.load_state_dict())


def test_what_becomes_of_the_files_of_a_checkpoint_does_not_touch_its_version() -> None:
    model = Net(hidden=4)
    checkpoint = log(model, epoch=1)
    checkpoint.register("digits-cnn")
    (Path(checkpoint.record.artifact_uri) / "model.safetensors").write_bytes(b"something else")
    assert same(tracker.load_model("models:/digits-cnn/1").state_dict(), model.state_dict())


def test_a_version_is_no_checkpoint_of_its_own_in_queries() -> None:
    checkpoint = log(Net(hidden=4), epoch=1, metrics={"val_loss": 0.5})
    tracker.register(checkpoint, "digits-cnn")
    tracker.api.reindex()
    assert tracker.search_checkpoints() == [checkpoint]
    assert tracker.best_checkpoint("val_loss") == checkpoint


def test_the_version_has_a_card() -> None:
    mlflow.set_experiment("digits")
    with mlflow.start_run():
        mlflow.log_input(mlflow.data.from_numpy(np.zeros((2, 2)), name="mnist"), context="training")
        checkpoint = log(Net(hidden=4), epoch=3, metrics={"val_loss": 0.5})
    version = tracker.register(checkpoint, "digits-cnn", tags={"team": "vision"})
    raw = MlflowClient().get_model_version("digits-cnn", "1")
    assert raw.run_id == checkpoint.run_id
    assert raw.description == version.description
    assert "epoch-3" in raw.description
    assert "val_loss 0.5" in raw.description
    assert raw.tags["tracker.experiment"] == "digits"
    assert raw.tags["tracker.epoch"] == "3"
    assert raw.tags["tracker.checkpoint"] == checkpoint.id
    assert raw.tags["tracker.model"] == checkpoint.model_text
    assert raw.tags["team"] == "vision"
    assert version.tags == {"team": "vision"}
    assert version.metrics == {"val_loss": 0.5}
    (dataset,) = version.data
    assert (dataset["name"], dataset["context"]) == ("mnist", "training")
    commit = checkpoint.environment["git"]
    assert version.commit == (commit["commit"] if commit else None)


def test_registering_again_returns_the_version_that_there_is() -> None:
    checkpoint = log(Net(hidden=4), epoch=1)
    first = tracker.register(checkpoint, "digits-cnn", description="the first")
    with pytest.warns(TrackerWarning, match="is version 1 of 'digits-cnn' already"):
        again = tracker.register(checkpoint, "digits-cnn", alias="champion")
    assert (first.is_new, again.is_new) == (True, False)
    assert again.version == 1
    assert again.description == "the first"
    assert again.aliases == ("champion",)
    assert len(tracker.registered_versions("digits-cnn")) == 1
    with pytest.warns(TrackerWarning, match="is version 1") as caught:
        checkpoint.register("digits-cnn")
    assert caught[0].filename == __file__
    with pytest.warns(TrackerWarning):  # nor by way of the version's own files
        assert tracker.register("models:/digits-cnn/1", "digits-cnn").version == 1


def test_a_version_is_registered_under_another_name() -> None:
    checkpoint = log(Net(hidden=4), epoch=1)
    staged = tracker.register(checkpoint, "staging")
    released = tracker.register(staged, "production")
    assert released.uri == "models:/production/1"
    assert released.checkpoint_id == checkpoint.id
    shutil.rmtree(tracker.api.as_checkpoint(staged).record.artifact_uri)
    assert type(tracker.load_model(released)) is Net


def test_a_model_resumes_from_a_version() -> None:
    model = Net(hidden=4)
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    tracker.register(log(model, epoch=1, optimizer=optimizer), "digits-cnn")
    other = Net(hidden=4)
    resumed = torch.optim.Adam(other.parameters())
    tracker.resume("models:/digits-cnn/1", model=other, optimizer=resumed)
    assert same(resumed.state_dict(), optimizer.state_dict())


def test_damaged_files_are_not_registered_and_nothing_is_visible() -> None:
    checkpoint = log(Net(hidden=4), epoch=1)
    file = Path(checkpoint.record.artifact_uri) / "model.safetensors"
    data = bytearray(file.read_bytes())
    data[-1] ^= 1
    file.write_bytes(data)
    with pytest.raises(CorruptCheckpointError):
        checkpoint.register("digits-cnn")
    assert tracker.registered_models() == []


STEPS = ["copy begun", "copy written", "copy ready", "model named", "version made"]


class InterruptedAt(logging.Handler):
    """Interrupts this process when a step of a registration is announced."""

    def __init__(self, step: str) -> None:
        super().__init__()
        self.step = step

    def emit(self, record: logging.LogRecord) -> None:
        if record.getMessage().startswith(self.step):
            raise KeyboardInterrupt


@pytest.mark.parametrize("step", STEPS)
def test_interrupted_anywhere_a_registration_shows_nothing_half_and_goes_on_when_repeated(
    step: str, caplog: pytest.LogCaptureFixture
) -> None:
    checkpoint = log(Net(hidden=4), epoch=1)
    logger = logging.getLogger("tracker.registry")
    interruption = InterruptedAt(step)
    caplog.set_level(logging.DEBUG, logger.name)
    logger.addHandler(interruption)
    try:
        with pytest.raises(KeyboardInterrupt):
            checkpoint.register("digits-cnn", alias="champion")
    finally:
        logger.removeHandler(interruption)
    shown = MlflowClient().search_model_versions("name = 'digits-cnn'")
    assert len(shown) == (step == "version made")
    assert tracker.search_checkpoints() == [checkpoint]

    version = checkpoint.register("digits-cnn", alias="champion")
    assert (version.version, version.aliases) == (1, ("champion",))
    assert len(tracker.registered_versions("digits-cnn")) == 1
    assert type(tracker.load_model("models:/digits-cnn@champion")) is Net
    experiment = MlflowClient().get_experiment_by_name("registry/digits-cnn")
    assert experiment is not None
    copies = MlflowClient().search_logged_models([experiment.experiment_id])
    assert sum(str(each.status) == "READY" for each in copies) == 1  # what was whole is used


def test_of_two_who_register_a_checkpoint_at_once_the_first_version_stays(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from tracker.registry import register as registering

    checkpoint = log(Net(hidden=4), epoch=1)
    tracker.register(checkpoint, "digits-cnn")
    looked = registering._made_from
    first_look = [True]

    def too_early(found: list[object], origin: str) -> object:
        return None if first_look.pop() else looked(found, origin)  # type: ignore[arg-type]

    first_look.insert(0, False)
    monkeypatch.setattr(registering, "_made_from", too_early)
    late = registering.register(checkpoint.record, "digits-cnn")
    assert late.version == 1
    assert [each.version for each in tracker.registered_versions("digits-cnn")] == [1]


def test_several_who_register_at_once_make_one_version_of_each_checkpoint() -> None:
    from tracker.registry.register import register

    checkpoints = [log(Net(hidden=4), epoch=epoch) for epoch in range(3)]
    with ThreadPoolExecutor(4) as people:
        done = list(people.map(lambda each: register(each.record, "new"), checkpoints * 2))
    found = {each.version: each.epoch for each in tracker.registered_versions("new")}
    assert sorted(map(str, found.values())) == ["0", "1", "2"]
    assert {each.version: each.epoch for each in done} == found
    for version in found:
        assert type(tracker.load_model(f"models:/new/{version}")) is Net


@pytest.mark.parametrize(
    "name", ["", " ", "a/b", "a:b", "a?b", "a@b", "..", "a\nb", "x" * 241, None, 3]
)
def test_names_that_mlflow_or_a_uri_can_not_hold_are_refused(name: object) -> None:
    with pytest.raises(InvalidArgumentError, match="name="):
        tracker.register("m-0", name)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["digits cnn", "Ziffern-ß", "数字", "m-1", "50%", "a.b;c"])
def test_unusual_names_work_all_the_way(name: str) -> None:
    checkpoint = log(Net(hidden=4), epoch=1)
    tracker.register(checkpoint, name, alias="champion")
    for uri in (f"models:/{name}@champion", f"models:/{name}/1"):
        assert type(tracker.load_model(uri)) is Net
        assert type(mlflow.pyfunc.load_model(uri).get_raw_model()) is Net
    assert [each.name for each in tracker.registered_models()] == [name]
    assert [each.version for each in tracker.registered_versions(name)] == [1]


def test_what_mlflow_can_not_hold_is_refused_before_anything_is_done() -> None:
    checkpoint = log(Net(hidden=4), epoch=1)
    for alias in ("", "latest", "LATEST", "v1", "V12", "a b", "a/b", "a\n", "a" * 201, 3):
        with pytest.raises(InvalidArgumentError, match="alias="):
            checkpoint.register("digits-cnn", alias=alias)  # type: ignore[arg-type]
    for tags in ({"tracker.x": "1"}, {"a\n": "1"}, [1], {"a": "x" * 5001}, {"a": "\0"}):
        with pytest.raises(InvalidArgumentError, match=r"(?i)tag"):
            checkpoint.register("digits-cnn", tags=tags)  # type: ignore[arg-type]
    for description in (7, "\0", "x" * 5001):
        with pytest.raises(InvalidArgumentError, match="description="):
            checkpoint.register("digits-cnn", description=description)  # type: ignore[arg-type]
    assert tracker.registered_models() == []
    assert MlflowClient().get_experiment_by_name("registry/digits-cnn") is None


def test_the_name_of_a_model_of_another_origin_is_refused() -> None:
    client = MlflowClient()
    client.create_registered_model("forest")
    client.create_model_version("forest", "s3://bucket/model")
    with pytest.raises(InvalidArgumentError, match="'forest' is of another origin"):
        log(Net(hidden=4), epoch=1).register("forest")
    assert [each.checkpoint_id for each in tracker.registered_versions("forest")] == [None]


def test_the_name_of_a_prompt_is_refused() -> None:
    mlflow.genai.register_prompt("greeting", "Hello {{name}}")
    with pytest.raises(InvalidArgumentError, match="name of a prompt"):
        log(Net(hidden=4), epoch=1).register("greeting")


def test_a_model_that_mlflow_itself_registered_gets_versions_of_its_own_files() -> None:
    checkpoint = log(Net(hidden=4), epoch=1)
    mlflow.register_model(f"models:/{checkpoint.id}", "digits-cnn")
    version = checkpoint.register("digits-cnn")
    assert (version.version, version.is_new) == (2, True)


def test_a_deleted_experiment_of_the_registry_is_told() -> None:
    checkpoint = log(Net(hidden=4), epoch=1)
    checkpoint.register("digits-cnn")
    experiment = MlflowClient().get_experiment_by_name("registry/digits-cnn")
    assert experiment is not None
    MlflowClient().delete_experiment(experiment.experiment_id)
    with pytest.raises(tracker.TrackerError, match="mlflow experiments restore"):
        log(Net(hidden=4), epoch=2).register("digits-cnn")
    assert type(tracker.load_model("models:/digits-cnn/1")) is Net  # its files are still there


def test_what_names_no_checkpoint_is_told() -> None:
    with pytest.raises(NotFoundError):
        tracker.register("m-0f3c", "digits-cnn")
    with pytest.raises(NotFoundError, match=r"no registered model 'nope'.*none"):
        tracker.registered_versions("nope")


def test_edited_tags_of_one_version_do_not_hide_the_others() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        log(Net(hidden=4), epoch=1).register("digits-cnn")
        log(Net(hidden=4), epoch=2).register("digits-cnn")
    MlflowClient().set_model_version_tag("digits-cnn", "1", "tracker.epoch", "first")
    assert [each.epoch for each in tracker.registered_versions("digits-cnn")] == [2, None]
    with pytest.raises(NotFoundError, match="somebody has edited them"):
        tracker.load_model("models:/digits-cnn/1")
