"""What a run has stored is not stored again, and nothing that others need is lost."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import mlflow
import pytest
import torch
from mlflow.entities import LoggedModelStatus
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient
from torch import nn

import tracker
from tests.models import Net
from tests.system.processes import PYTHON, succeed
from tests.training import log, same, state_of
from tracker import Checkpoint, api
from tracker.errors import TrackerWarning
from tracker.format import open_checkpoint
from tracker.record import retention
from tracker.saving import stored

pytestmark = pytest.mark.usefixtures("workplace")

FROZEN = 64 * 64 * 4
"""Bytes of each weight of the backbone."""


def model() -> Net:
    return Net(hidden=64, depth=3)


def train_head(net: nn.Module) -> None:
    with torch.no_grad():
        net.head.weight.add_(1)


def directory(checkpoint: Checkpoint) -> Path:
    return Path(checkpoint.record.artifact_uri)


def references(checkpoint: Checkpoint) -> list[str]:
    return open_checkpoint(directory(checkpoint)).manifest.references


def tags(checkpoint: Checkpoint) -> dict[str, str]:
    return MlflowClient().get_logged_model(checkpoint.id).tags


def is_in_mlflow(checkpoint: Checkpoint) -> bool:
    try:
        tags(checkpoint)
    except MlflowException:
        return False
    return True


def test_a_frozen_backbone_is_stored_with_the_first_epoch_only():
    net = model()
    with mlflow.start_run():
        states, epochs = [], []
        for epoch in range(4):
            epochs.append(log(net, epoch=epoch))
            states += state_of(net)
            train_head(net)
    assert epochs[0].size > 3 * FROZEN
    for checkpoint, state in zip(epochs, states, strict=True):
        assert same(state_of(checkpoint.load_model()), [state])
    for later in epochs[1:]:
        assert later.size < FROZEN
        assert references(later) == [epochs[0].id]
        assert tags(later)["tracker.references"] == epochs[0].id
        on_disk = sum(p.stat().st_size for p in directory(later).rglob("*") if p.is_file())
        assert later.size == on_disk
    assert "tracker.references" not in tags(epochs[0])


def test_a_model_that_learns_refers_to_nothing():
    net = model()
    with mlflow.start_run():
        log(net, epoch=0)
        with torch.no_grad():
            for parameter in net.parameters():
                parameter.add_(1)
        second = log(net, epoch=1)
    assert references(second) == []
    assert "tracker.references" not in tags(second)


def test_another_run_shares_nothing():
    net = model()
    first = log(net, epoch=0)
    mlflow.end_run()
    other = log(net, epoch=0)
    assert other.run_id != first.run_id
    assert references(other) == []


def test_models_that_are_logged_in_turns_each_refer_to_their_own():
    backbone, critic = model(), nn.Sequential(nn.Linear(64, 64))
    with mlflow.start_run():
        first = [log(backbone, epoch=0), log(critic, epoch=0)]
        second = [log(backbone, epoch=1), log(critic, epoch=1)]
    assert [references(checkpoint) for checkpoint in second] == [[first[0].id], [first[1].id]]


def test_a_run_that_another_process_goes_on_with_is_known_there(workplace: Path):
    net = model()
    torch.save(net.state_dict(), "state.pt")
    first = log(net, epoch=0)
    mlflow.end_run()
    script = f"""
import torch, tracker
from tests.models import Net
net = Net(hidden=64, depth=3)
net.load_state_dict(torch.load("state.pt", weights_only=True))
tracker.log_checkpoint(net, epoch=1, run_id="{first.run_id}").result()
"""
    root = str(Path(__file__).parents[2])
    environment = {**os.environ, "PYTHONPATH": root}
    succeed(PYTHON, "-c", script, directory=workplace, variables=environment)
    second = tracker.get_checkpoint(first.run_id, epoch=1)
    assert references(second) == [first.id]
    assert same(state_of(second.load_model()), state_of(net))


def test_files_that_somebody_removed_to_make_room_are_not_referred_to():
    net = model()
    with mlflow.start_run():
        first = log(net, epoch=0)
        shutil.rmtree(directory(first))
        second = log(net, epoch=1)
        third = log(net, epoch=2)
    assert references(second) == []
    assert references(third) == [second.id]
    assert same(state_of(third.load_model()), state_of(net))


def test_an_epoch_that_others_refer_to_keeps_its_files_when_it_is_logged_again():
    net = model()
    with mlflow.start_run():
        old = log(net, epoch=0)
        later = log(net, epoch=1)
        train_head(net)
        with pytest.warns(TrackerWarning, match="files stay while later checkpoints refer to"):
            new = log(net, epoch=0)
    assert tags(old)["tracker.replaced_by"] == new.id
    assert [c.id for c in tracker.search_checkpoints(order_by=["epoch"])] == [new.id, later.id]
    assert api.reindex() == 2
    assert [c.id for c in tracker.search_checkpoints(order_by=["epoch"])] == [new.id, later.id]
    for checkpoint in (later, new):
        assert references(checkpoint) == [old.id]
        checkpoint.load_state_dict()


def test_what_mlflow_collects_is_only_what_nobody_needs(workplace: Path):
    net = model()
    with mlflow.start_run():
        log(net, epoch=0)
        later = log(net, epoch=1)
        with pytest.warns(TrackerWarning):
            log(net, epoch=0)
        alone = log(nn.Linear(64, 64), epoch=0)
        with pytest.warns(TrackerWarning):
            log(nn.Linear(64, 64), epoch=0)
    assert not is_in_mlflow(alone)
    succeed(
        *(PYTHON, "-m", "mlflow", "gc", "--backend-store-uri", "sqlite:///mlflow.db"),
        directory=workplace,
        variables={**os.environ, "MLFLOW_TRACKING_URI": "sqlite:///mlflow.db"},
    )
    assert not directory(alone).exists()
    assert same(state_of(later.load_model()), state_of(net))


def test_a_checkpoint_that_is_deleted_at_that_moment_is_not_referred_to(
    monkeypatch: pytest.MonkeyPatch,
):
    net = model()
    refer = retention.refer

    def overtaken(client: MlflowClient, model_id: str, others: list[str], *files: object) -> bool:
        for other in others:
            client.delete_logged_model(other)
        return refer(client, model_id, others, *files)

    with mlflow.start_run():
        log(net, epoch=0)
        with monkeypatch.context() as patch:
            patch.setattr(retention, "refer", overtaken)
            second = log(net, epoch=1)
        third = log(net, epoch=2)
    assert references(second) == []
    assert tags(second)["tracker.references"] == ""
    assert second.size > 3 * FROZEN
    assert same(state_of(second.load_model()), state_of(net))
    assert references(third) == [second.id]


def test_a_failed_checkpoint_is_not_referred_to(monkeypatch: pytest.MonkeyPatch):
    net = model()

    def refuse(*_: object, **__: object) -> None:
        raise MlflowException("no more metrics")

    with mlflow.start_run():
        with monkeypatch.context() as patch:
            patch.setattr(MlflowClient, "log_batch", refuse)
            with pytest.raises(tracker.TrackerError, match="no more metrics"):
                log(net, epoch=0, metrics={"loss": 1.0})
        (failed,) = mlflow.search_logged_models(output_format="list")
        assert failed.status == LoggedModelStatus.FAILED
        assert references(log(net, epoch=1)) == []


def test_only_so_many_runs_are_remembered():
    for number in range(20):
        stored.forget(f"run-{number}")
    assert list(stored._runs) == [f"run-{number}" for number in range(4, 20)]


def test_an_export_holds_everything(workplace: Path):
    from safetensors.torch import load_file

    net = model()
    with mlflow.start_run():
        log(net, epoch=0)
        second = log(net, epoch=1)
    second.export(workplace / "net.safetensors")
    read = load_file(workplace / "net.safetensors")
    assert same({name: read[name] for name in net.state_dict()}, dict(net.state_dict()))
