"""A checkpoint from the spool becomes one checkpoint of MLflow, however it is tried."""

from __future__ import annotations

import threading
from collections.abc import Callable
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
from tests.training import log
from tracker import api
from tracker.errors import NotFoundError, RecordError, RecordUnreachableError, TrackerError
from tracker.format import open_checkpoint
from tracker.record import artifacts, deliveries, logged_models, runs, transfer
from tracker.record.boundary import connect, tracking_uri
from tracker.saving import delivery, publish, spool
from tracker.saving.deliverer import deliverer
from tracker.saving.delivery import deliver
from tracker.saving.spool import Delivery
from tracker.types import CheckpointRecord

pytestmark = pytest.mark.usefixtures("workplace")

Log = Callable[..., Delivery]


@pytest.fixture
def log_offline(monkeypatch: pytest.MonkeyPatch) -> Log:
    """Logs a checkpoint offline and returns what waits then; nobody else sends it."""
    deliverer(tracking_uri())  # looks now for what earlier processes left

    def log_it(model: nn.Module | None = None, **arguments: Any) -> Delivery:
        before = spool.waiting()
        with monkeypatch.context() as patch:
            patch.setenv("TRACKER_OFFLINE", "1")
            tracker.log_checkpoint(model or Net(hidden=4), wait=True, **arguments)
        (new,) = (each for each in spool.waiting() if each not in before)
        return new

    return log_it


def send(waiting: Delivery, *, wait: bool = True) -> CheckpointRecord:
    told: list[str] = []
    record = deliver(waiting, tracking_uri(), warn=told.append, wait=wait)
    assert record is not None
    assert told == []
    return record


def models() -> list[Any]:
    found: list[Any] = mlflow.search_logged_models(output_format="list")
    return found


def test_it_arrives_with_everything_that_was_logged(log_offline: Log) -> None:
    model = Net(hidden=4)
    with mlflow.start_run() as run:
        waiting = log_offline(
            model,
            epoch=3,
            step=7,
            metrics={"loss": 0.5, "odd": float("nan")},
            tags={"kind": "late"},
            optimizer=torch.optim.Adam(model.parameters()),
        )
    record = send(waiting)
    (found,) = tracker.search_checkpoints()
    assert found.id == record.id
    assert (found.run_id, found.epoch, found.step) == (run.info.run_id, 3, 7)
    assert found.tags == {"kind": "late"}
    assert found.metrics["loss"] == 0.5
    assert found.record.created_at == waiting.created_at
    assert torch.equal(found.load_model().head.weight, model.head.weight)
    assert found.record.size == sum(
        file.stat().st_size for file in Path(record.artifact_uri).rglob("*") if file.is_file()
    )
    metrics = MlflowClient().get_metric_history(run.info.run_id, "loss")
    assert [(m.step, m.timestamp, m.value) for m in metrics] == [(7, waiting.created_at, 0.5)]
    assert spool.waiting() == []
    assert not waiting.directory.exists()


def test_the_catalog_made_again_from_mlflow_is_the_same(log_offline: Log) -> None:
    record = send(log_offline(epoch=1, metrics={"loss": 1.0}))
    assert api.reindex() == 1
    assert [each.record for each in tracker.search_checkpoints()] == [record]


def test_mlflows_own_loader_takes_it(log_offline: Log) -> None:
    model = Net(hidden=4)
    record = send(log_offline(model, epoch=1))
    loaded = mlflow.pyfunc.load_model(record.artifact_uri)
    x = torch.randn(3, 4)
    assert torch.equal(torch.as_tensor(loaded.predict(x.numpy())), model.eval()(x).detach())


def test_a_training_without_a_run_gets_one_for_all_of_its_checkpoints(
    log_offline: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_EXPERIMENT_NAME", "aboard")
    first, second = log_offline(epoch=0), log_offline(epoch=1)
    assert first.session is not None
    records = [send(first), send(second)]
    (run,) = mlflow.search_runs(experiment_names=["aboard"], output_format="list")
    assert {record.run_id for record in records} == {run.info.run_id}
    assert {record.experiment for record in records} == {"aboard"}
    assert run.info.status == "FINISHED"
    assert run.info.start_time == first.session.started_at
    assert run.data.tags["mlflow.user"]


def test_the_latest_is_what_was_logged_last_not_what_was_sent_last(log_offline: Log) -> None:
    with mlflow.start_run():
        older = log_offline(epoch=1)
        newer = log(epoch=2)
        send(older)
        assert tracker.get_checkpoint() == newer
        assert api.reindex() == 2
        assert tracker.get_checkpoint() == newer


def test_what_was_logged_again_meanwhile_does_not_come_back(log_offline: Log) -> None:
    with mlflow.start_run():
        older = log_offline(epoch=1)
        newer = log(epoch=1)
        told: list[str] = []
        deliver(older, tracking_uri(), warn=told.append)
    assert "logged again" in told[0]
    assert tracker.search_checkpoints() == [newer]
    assert api.reindex() == 1


def remote(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every store one that files have to be sent to."""
    monkeypatch.setattr(artifacts, "local_directory", lambda uri: None)


def test_a_remote_store_gets_every_file(log_offline: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    waiting = log_offline(epoch=1)
    sizes: list[int] = []
    with monkeypatch.context() as patch:
        remote(patch)
        record = deliver(waiting, tracking_uri(), warn=print, sent=sizes.append)
    assert record is not None
    open_checkpoint(Path(record.artifact_uri), manifest_digest=record.manifest_digest).verify()
    assert sum(sizes) == record.size


def frozen(epoch: int) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), nn.Linear(64, 64))
    nn.init.constant_(model[1].weight, float(epoch))
    return model


@pytest.mark.parametrize("is_remote", [True, False])
def test_what_the_run_has_already_is_not_sent_again(
    log_offline: Log, monkeypatch: pytest.MonkeyPatch, is_remote: bool
) -> None:
    with mlflow.start_run():
        waiting = [log_offline(frozen(epoch), epoch=epoch) for epoch in range(3)]
    with monkeypatch.context() as patch:
        if is_remote:
            remote(patch)
        first, second, third = [send(each) for each in waiting]
    assert second.size < 0.7 * first.size
    assert third.size < 0.7 * first.size
    tags = MlflowClient().get_logged_model(third.id).tags
    assert tags["tracker.references"] == first.id
    for epoch, found in enumerate(reversed(tracker.search_checkpoints())):
        assert torch.equal(found.load_model()[0].weight, frozen(epoch)[0].weight)


STEPS: list[tuple[Any, str]] = [
    (runs, "run_for_logging"),
    (logged_models, "create"),
    (delivery, "amend_manifest"),
    (transfer, "place"),
    (runs, "log_model_params"),
    (runs, "log_metrics"),
    (logged_models, "finish"),
    (publish, "put"),
    (spool, "forget"),
]


@pytest.mark.parametrize("when", ["before", "after"])
@pytest.mark.parametrize(("room", "step"), STEPS, ids=[step for _, step in STEPS])
@pytest.mark.parametrize("kind", [RecordUnreachableError, RecordError])
def test_what_fails_at_any_step_is_one_checkpoint_when_it_is_sent_again(
    log_offline: Log,
    monkeypatch: pytest.MonkeyPatch,
    room: Any,
    step: str,
    when: str,
    kind: type[TrackerError],
) -> None:
    with mlflow.start_run() as run:
        waiting = log_offline(epoch=1, metrics={"loss": 0.5})
    do = getattr(room, step)

    def fail(*arguments: Any, **options: Any) -> None:
        if when == "after":
            do(*arguments, **options)
        raise kind("not now")

    with monkeypatch.context() as patch:
        patch.setattr(room, step, fail)
        with pytest.raises(kind, match="not now"):
            send(waiting)
    noted = spool.read(waiting.directory)
    if noted is not None and step != "forget":
        assert (noted.attempts, noted.refused) == (1, kind is RecordError)
        assert noted.error == f"{kind.__name__}: not now"
    record = send(waiting)
    assert [each.record for each in tracker.search_checkpoints()] == [record]
    assert [(m.model_id, str(m.status)) for m in models()] == [(record.id, "READY")]
    (output,) = MlflowClient().get_run(run.info.run_id).outputs.model_outputs
    assert output.model_id == record.id
    assert len(MlflowClient().get_metric_history(run.info.run_id, "loss")) == 1
    assert not waiting.directory.exists()


def test_a_logged_model_that_was_created_twice_by_a_repeated_request_is_one_in_the_end(
    log_offline: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    waiting = log_offline(epoch=1)
    create = MlflowClient.create_logged_model

    def twice(*arguments: Any, **options: Any) -> Any:
        create(*arguments, **options)
        create(*arguments, **options)
        raise MlflowException("the answer was lost")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "create_logged_model", twice)
        with pytest.raises(RecordError):
            send(waiting)
    assert len(models()) == 2
    record = send(waiting)
    assert [model.model_id for model in models()] == [record.id]


def test_who_comes_too_late_gets_the_same_checkpoint(log_offline: Log) -> None:
    waiting = log_offline(epoch=1)
    assert send(waiting) == send(waiting)
    assert len(models()) == 1


def test_several_at_once_deliver_it_once(log_offline: Log) -> None:
    waiting, records = log_offline(epoch=1), []
    threads = [threading.Thread(target=lambda: records.append(send(waiting))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(records) == 4
    assert len({record.id for record in records}) == 1
    assert len(models()) == 1


def test_who_does_not_wait_leaves_it_to_others(log_offline: Log) -> None:
    waiting = log_offline(epoch=1)
    with spool.locked(waiting):
        assert deliver(waiting, tracking_uri(), warn=print, wait=False) is None
    assert spool.waiting() == [waiting]


def test_what_somebody_removed_is_said_to_be_gone(log_offline: Log) -> None:
    waiting = log_offline(epoch=1)
    spool.forget(waiting)
    with pytest.raises(NotFoundError, match="neither in the spool nor in MLflow"):
        send(waiting)


def test_a_damaged_checkpoint_stays_with_the_reason(log_offline: Log) -> None:
    waiting = log_offline(epoch=1)
    (waiting.checkpoint / "checkpoint.json").write_text("{}")
    with pytest.raises(TrackerError, match=r"checkpoint\.json"):
        send(waiting)
    (kept,) = spool.waiting()
    assert kept.refused
    assert "FormatError" in (kept.error or "")


def test_nothing_is_begun_of_what_nobody_sent() -> None:
    log(epoch=1)
    client = connect(tracking_uri())
    (found,) = tracker.search_checkpoints()
    run = runs.run_for_logging(client, found.run_id)
    assert deliveries.begun(client, run, "0" * 32) == deliveries.Begun(None, ())
