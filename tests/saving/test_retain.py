"""A retention, while training logs: what goes, what never does, and what a failure leaves."""

from __future__ import annotations

import os
import threading
import warnings
from pathlib import Path
from typing import Any

import mlflow
import pytest
import torch
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from torch import nn

import tracker
from tests.models import Net
from tests.training import log, same, state_of
from tracker import Checkpoint, Retention, api
from tracker.deleting import run as deleting_run
from tracker.errors import NotFoundError, RecordUnreachableError, TrackerWarning
from tracker.format.layout import REMOVED
from tracker.record import registrations
from tracker.saving import retain, spool

pytestmark = [
    pytest.mark.usefixtures("workplace"),
    pytest.mark.filterwarnings("error::tracker.errors.TrackerWarning"),
]

LAST = Retention(keep_last=1)


def directory(checkpoint: Checkpoint) -> Path:
    return Path(checkpoint.record.artifact_uri)


def epochs() -> list[int | None]:
    return sorted(each.epoch or 0 for each in tracker.search_checkpoints())


def in_mlflow() -> set[str]:
    return {each.model_id for each in mlflow.search_logged_models(output_format="list")}


def log_last(epoch: int, **arguments: Any) -> Checkpoint:
    return log(epoch=epoch, retention=LAST, **arguments)


def test_older_ones_leave_the_catalog_mlflow_and_the_disk() -> None:
    retention = Retention(keep_last=1, keep_best=1, monitor="val_loss")
    with mlflow.start_run():
        logged = [
            log(epoch=epoch, metrics={"val_loss": loss}, retention=retention)
            for epoch, loss in enumerate([3, 1, 2, 2])
        ]
    assert epochs() == [1, 3]
    assert in_mlflow() == {logged[1].id, logged[3].id}
    assert {each.parent.name for each in Path("mlruns").rglob("artifacts")} == in_mlflow()
    assert tracker.best_checkpoint("val_loss").load_model()
    assert api.reindex() == 2


def test_nothing_of_another_run_another_model_or_another_tool_goes() -> None:
    with mlflow.start_run():
        other_run = log(epoch=0)
    with mlflow.start_run():
        other_model = log(nn.Linear(2, 2), epoch=0)
        other_tool = MlflowClient().create_logged_model(
            "0", name="theirs", source_run_id=mlflow.active_run().info.run_id
        )
        gone = log(epoch=0)
        newest = log_last(1)
    assert {each.id for each in tracker.search_checkpoints()} == {
        *(other_run.id, other_model.id, newest.id)
    }
    assert other_tool.model_id in in_mlflow()
    assert not directory(gone).exists()


def register_by_tracker(checkpoint: Checkpoint) -> None:
    checkpoint.register("digits")


def register_by_mlflow(checkpoint: Checkpoint) -> None:
    mlflow.register_model(f"models:/{checkpoint.id}", "digits")


def register_by_path(checkpoint: Checkpoint) -> None:
    client = MlflowClient()
    client.create_registered_model("digits")
    client.create_model_version("digits", source=str(directory(checkpoint)))


def register_a_copy(checkpoint: Checkpoint) -> None:
    client = MlflowClient()
    client.create_registered_model("digits")
    made = client.create_model_version(
        "digits", source=f"models:/{checkpoint.id}", run_id=checkpoint.run_id
    )
    client.copy_model_version(f"models:/digits/{made.version}", "best-digits")
    client.delete_model_version("digits", made.version)


@pytest.mark.parametrize(
    "register", [register_by_tracker, register_by_mlflow, register_by_path, register_a_copy]
)
def test_what_is_registered_stays(register: Any) -> None:
    with mlflow.start_run():
        registered, gone = log(epoch=0), log(epoch=1)
        register(registered)
        log_last(2)
    assert epochs() == [0, 2]
    assert not directory(gone).exists()
    assert registered.load_model()


def test_what_the_user_says_stays_stays() -> None:
    with mlflow.start_run():
        log(epoch=0, tags={"tracker.keep": "true"})
        later = log(epoch=1)
        log(epoch=2, tags={"tracker.keep": "false"})
        MlflowClient().set_logged_model_tags(later.id, {"tracker.keep": ""})
        log_last(3)
        assert epochs() == [0, 3]
        pinned = log(epoch=4)
        MlflowClient().set_logged_model_tags(pinned.id, {"tracker.keep": "for the paper"})
        log_last(5)
    assert epochs() == [0, 4, 5]
    (found,) = tracker.search_checkpoints("tags.`tracker.keep` = 'true'")
    assert found.epoch == 0
    assert api.reindex() == 3


def test_of_one_whose_tensors_others_need_only_these_files_stay() -> None:
    net = Net(hidden=64, depth=3)
    net.requires_grad_(False)
    optimizer = torch.optim.Adam([net.head.weight.requires_grad_()])
    with mlflow.start_run():
        for epoch in range(3):
            net.head(torch.ones(64)).sum().backward()
            optimizer.step()
            logged = log(net, epoch=epoch, optimizer=optimizer, retention=LAST)
            if epoch == 0:
                holder = logged
    assert [each.id for each in tracker.search_checkpoints()] == [logged.id]
    assert sorted(os.listdir(directory(holder))) == ["model.safetensors", REMOVED]
    assert same(state_of(logged.load_model()), state_of(net))
    assert {each.parent.name for each in Path("mlruns").rglob("artifacts")} == {
        holder.id,
        logged.id,
    }
    with pytest.raises(NotFoundError, match="was deleted"):
        holder.load_model()


def test_models_of_two_classes_are_judged_apart() -> None:
    retention = Retention(keep_best=1, monitor="loss")
    with mlflow.start_run():
        for epoch in range(3):
            log(Net(hidden=4), epoch=epoch, metrics={"loss": epoch}, retention=retention)
            log(nn.Linear(3, 3), epoch=epoch, metrics={"loss": -epoch}, retention=retention)
    found = {(each.model_text.partition("(")[0], each.epoch) for each in api.search_checkpoints()}
    assert found == {("Net", 0), ("Net", 2), ("Linear", 2)}


def test_where_mlflow_can_not_say_what_is_registered_nothing_goes(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: Any, **__: Any) -> None:
        raise MlflowException("no registry here")

    with mlflow.start_run():
        log(epoch=0)
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "search_model_versions", fail)
            with pytest.warns(TrackerWarning, match="No checkpoint of run .* no registry here"):
                log_last(1)
        assert epochs() == [0, 1]
        log_last(2)
    assert epochs() == [2]


def test_while_mlflow_does_not_answer_nothing_goes_and_nobody_is_troubled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def silent(uri: str) -> None:
        raise RecordUnreachableError("nobody there")

    with mlflow.start_run():
        log(epoch=0)
        with monkeypatch.context() as patch:
            patch.setattr(retain, "check_reachable", silent)
            log_last(1)
        assert epochs() == [0, 1]
        log_last(2)
    assert epochs() == [2]


def test_what_mlflow_does_not_let_us_delete_stays_a_checkpoint(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise MlflowException("Permission denied", error_code=7)

    with mlflow.start_run():
        first = log(epoch=0)
        monkeypatch.setattr(MlflowClient, "delete_logged_model", refuse)
        with pytest.warns(TrackerWarning, match=r"could not delete epoch-0; .*Permission denied"):
            log_last(1)
    assert epochs() == [0, 1]
    assert first.load_model()
    assert api.reindex() == 2


def test_a_metric_that_nothing_has_deletes_nothing() -> None:
    retention = Retention(keep_best=1, monitor="val_los", mode="min")
    with mlflow.start_run():
        log(epoch=0, metrics={"val_loss": 1}, retention=retention)
        with pytest.warns(TrackerWarning, match=r"'val_los'. The metrics there are: val_loss"):
            log(epoch=1, metrics={"val_loss": 2}, retention=retention)
    assert epochs() == [0, 1]


def test_a_place_that_is_not_that_of_the_logged_model_is_not_touched(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years")
    with mlflow.start_run():
        forged = log(epoch=0)
        import sqlite3

        with sqlite3.connect("mlflow.db") as connection:
            connection.execute(
                "UPDATE logged_models SET artifact_location = ? WHERE model_id = ?",
                [str(precious), forged.id],
            )
        connection.close()
        with pytest.warns(TrackerWarning, match="is not where MLflow puts the files of"):
            log_last(1)
    assert (precious / "thesis.tex").read_text() == "years"


def test_what_waits_on_the_disk_is_judged_when_it_is_delivered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with mlflow.start_run():
        log(epoch=0)
        with monkeypatch.context() as patch:
            patch.setenv("TRACKER_OFFLINE", "1")
            tracker.log_checkpoint(Net(hidden=4), epoch=1, retention=LAST, wait=True)
        assert [each.retention for each in spool.waiting()] == [LAST]
        assert epochs() == [0]
        api.sync()
        assert epochs() == [1]
        with monkeypatch.context() as patch:
            patch.setenv("TRACKER_OFFLINE", "1")
            tracker.log_checkpoint(Net(hidden=4), epoch=2, retention=LAST, wait=True)
        newer = log(epoch=3)
        api.sync()  # it is older than what was logged meanwhile
        assert [each.id for each in tracker.search_checkpoints()] == [newer.id]
    assert spool.waiting() == []


def test_a_spooled_retention_that_somebody_broke_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_OFFLINE", "1")
    with mlflow.start_run():
        tracker.log_checkpoint(Net(hidden=4), epoch=1, retention=LAST, wait=True)
    (waiting,) = spool.waiting()
    file = waiting.directory / spool.DELIVERY
    file.write_text(file.read_text().replace('"keep_last": 1', '"keep_last": 0'))
    unreadable: list[Exception] = []
    assert spool.waiting(unreadable.append) == []
    assert "its retention can't be used: keep_last=0" in str(unreadable[0])


@pytest.mark.parametrize("left", ["everything", "mark", "nothing"])
def test_who_reads_while_it_is_deleted_is_told(left: str) -> None:
    with mlflow.start_run():
        old = log(epoch=0)
        files = {path.name: path.read_bytes() for path in directory(old).glob("*.*")}
        log_last(1)
    if left != "nothing":
        directory(old).mkdir(parents=True)
        files[REMOVED] = files.pop("checkpoint.json")
        for name in files if left == "everything" else [REMOVED]:
            (directory(old) / name).write_bytes(files[name])
    with pytest.raises(NotFoundError, match=f"Checkpoint {old.id} .* was deleted in MLflow"):
        old.load_model()


def test_what_is_mapped_stays_readable() -> None:
    net = Net(hidden=64)
    with mlflow.start_run():
        weights = log(net, epoch=0).load_state_dict()
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(1)
        log_last(1, model=net)
    assert all(tensor.isfinite().all() for tensor in weights.values())


def test_two_that_delete_at_the_same_time_keep_what_either_must_keep() -> None:
    retention = Retention(keep_last=1, keep_best=1, monitor="loss")
    with mlflow.start_run() as run:
        for epoch, loss in enumerate([3, 1, 2, 4]):
            log(epoch=epoch, metrics={"loss": loss})
    failures: list[str] = []

    def delete() -> None:
        client = MlflowClient()
        plan, found = deleting_run.plan_run(
            client,
            run_id=run.info.run_id,
            experiment_id="0",
            experiment="Default",
            retention=retention,
        )
        engine = tracker.catalog.open_catalog("sqlite:///mlflow.db")
        start.wait()
        done = deleting_run.execute(client, engine, plan, found)
        failures.extend(each.reason for each in done if each.failed)

    start = threading.Barrier(2)
    threads = [threading.Thread(target=delete) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert epochs() == [1, 3]
    assert {each.parent.name for each in Path("mlruns").rglob("artifacts")} == in_mlflow()


def test_every_way_to_name_a_version_is_looked_for() -> None:
    """One that MLflow's registry finds neither by its run nor by its path would be lost."""
    with mlflow.start_run() as run:
        registered = log(epoch=0)
    register_by_path(registered)
    found = registrations.registered(
        MlflowClient(), run.info.run_id, [registered.id, "m-" + "0" * 32]
    )
    assert found == {registered.id: "digits/1"}


def test_training_goes_on_while_older_ones_are_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    deleting, may_go_on = threading.Event(), threading.Event()
    execute = deleting_run.execute

    def slowly(*arguments: Any, **options: Any) -> Any:
        deleting.set()
        assert may_go_on.wait(60)
        return execute(*arguments, **options)

    with mlflow.start_run():
        log(epoch=0)
        monkeypatch.setattr(deleting_run, "execute", slowly)
        pending = tracker.log_checkpoint(Net(hidden=4), epoch=1, retention=LAST)
        assert deleting.wait(60)
        later = tracker.log_checkpoint(Net(hidden=4), epoch=2)  # returns meanwhile
        assert not pending.done()
        may_go_on.set()
        later.result()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert epochs() == [1, 2]
