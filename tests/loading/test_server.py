"""The same two lines against an MLflow server, which alone reaches its files and database."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import mlflow
import pytest
import torch

import tracker
from tests.models import Net
from tests.system.forked import popen
from tests.training import log, same, state_of
from tracker.errors import NotFoundError, RecordError
from tracker.loading import mirror
from tracker.record import download, parts

pytestmark = [pytest.mark.system, pytest.mark.usefixtures("workplace")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the server runs; ``log`` is its access log."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="module")
def server(database_template: Path, folder: Path) -> Iterator[str]:
    """An MLflow server that stores artifacts itself; returns its URI."""
    (folder / "mlflow.db").write_bytes(database_template.read_bytes())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", "sqlite:///mlflow.db", "--artifacts-destination", "files"]
    with open(folder / "log", "w") as output:
        process = popen(command, dict(os.environ), cwd=folder, stdout=output, stderr=output)
    uri = f"http://127.0.0.1:{port}"
    try:
        _wait_for(f"{uri}/health", process)
        yield uri
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    for _ in range(600):
        with contextlib.suppress(urllib.error.URLError, ConnectionError):
            urllib.request.urlopen(url, timeout=5).close()
            return
        assert process.poll() is None, "the server ended"
        time.sleep(0.1)
    raise AssertionError("the server does not answer")


def test_log_find_load_and_resume_through_a_server(server: str, workplace: Path) -> None:
    mlflow.set_tracking_uri(server)
    mlflow.create_experiment("remote", artifact_location="mlflow-artifacts:/remote")
    mlflow.set_experiment("remote")
    model = Net(hidden=4, depth=2)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    with mlflow.start_run():
        for epoch, loss in enumerate([0.5, 0.1, 0.3]):
            log(model, epoch=epoch, metrics={"val_loss": loss}, optimizer=optimizer)
    best = tracker.best_checkpoint("val_loss", experiment="remote")
    assert best.epoch == 1
    assert best.record.artifact_uri.startswith("mlflow-artifacts:/")
    assert same(state_of(best.load_model()), state_of(model))
    other = Net(hidden=4, depth=2)
    tracker.resume(best, model=other, optimizer=torch.optim.SGD(other.parameters(), lr=0.1))
    assert same(state_of(other), state_of(model))

    # Somebody else, who has neither the mirror nor the cache.
    (workplace / "cache").rename(workplace / "elsewhere")
    again = tracker.get_checkpoint(best.run_id, epoch=1)
    assert again == best
    assert same(state_of(again.load_model()), state_of(model))
    with pytest.raises(NotFoundError, match="Epochs: 0, 1, 2"):
        tracker.get_checkpoint(best.run_id, epoch=7)


def test_a_server_that_is_gone_is_told_without_trying_for_minutes(workplace: Path) -> None:
    mlflow.set_tracking_uri("http://127.0.0.1:9")
    with pytest.raises(RecordError, match=r"127\.0\.0\.1"):
        tracker.search_checkpoints()


def test_what_did_not_change_is_sent_to_the_server_once(server: str, workplace: Path) -> None:
    mlflow.set_tracking_uri(server)
    mlflow.create_experiment("frozen", artifact_location="mlflow-artifacts:/frozen")
    mlflow.set_experiment("frozen")
    model, states = Net(hidden=64, depth=4), []
    with mlflow.start_run():
        for epoch in range(3):
            states.append(state_of(model))
            log(model, epoch=epoch)
            with torch.no_grad():
                model.head.weight.add_(1)
    first, *later = tracker.search_checkpoints(experiment="frozen", order_by=["epoch"])
    for checkpoint in later:
        tags = mlflow.MlflowClient().get_logged_model(checkpoint.id).tags
        assert tags["tracker.references"] == first.id
        assert checkpoint.size < first.size / 2

    # Somebody else, who has never seen the first epoch.
    (workplace / "cache").rename(workplace / "elsewhere")
    last = tracker.get_checkpoint(first.run_id, epoch=2)
    assert same(state_of(last.load_model()), states[2])
    files = (workplace / "cache" / "checkpoints").rglob("*.safetensors")
    assert len(list(files)) == 2
    assert same(state_of(mlflow.pyfunc.load_model(f"models:/{last.id}").get_raw_model()), states[2])


def test_a_large_file_comes_from_the_server_in_parts(
    server: str, folder: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parts, "PART", 100_000)
    monkeypatch.setattr(download, "WORTH_PARTS", 200_000)
    mlflow.set_tracking_uri(server)
    mlflow.create_experiment("large", artifact_location="mlflow-artifacts:/large")
    mlflow.set_experiment("large")
    model = Net(hidden=256, depth=2)
    with mlflow.start_run():
        checkpoint = log(model)
    before = (folder / "log").read_text()
    assert same(state_of(checkpoint.load_model()), state_of(model))
    new = (folder / "log").read_text().removeprefix(before)
    assert len(re.findall(r"model\.safetensors HTTP/1\.1\" 206", new)) == 6


def test_a_mirror_asks_twice_where_nothing_changed(server: str, folder: Path) -> None:
    mlflow.set_tracking_uri(server)
    with contextlib.suppress(NotFoundError):
        tracker.get_checkpoint()
    before = (folder / "log").read_text()
    with contextlib.suppress(NotFoundError):
        tracker.get_checkpoint()
    asked = (folder / "log").read_text().removeprefix(before)
    assert re.findall(r'"(\w+ \S+) HTTP', asked) == [
        "POST /api/2.0/mlflow/experiments/search",
        "POST /api/2.0/mlflow/logged-models/search",
    ]


def test_a_deleted_checkpoint_whose_files_are_gone_leaves_the_mirror(
    server: str, folder: Path
) -> None:
    mlflow.set_tracking_uri(server)
    mlflow.create_experiment("cleaned", artifact_location="mlflow-artifacts:/cleaned")
    mlflow.set_experiment("cleaned")
    with mlflow.start_run():
        best, other = (log(epoch=n, metrics={"loss": n}) for n in (1, 2))
    assert tracker.best_checkpoint("loss", experiment="cleaned") == best
    (files,) = folder.rglob(f"files/**/{best.id}")
    shutil.move(files, folder / "moved")
    with pytest.raises(NotFoundError, match="is gone"):
        best.load_model()
    assert tracker.best_checkpoint("loss", experiment="cleaned") == best
    mlflow.MlflowClient().delete_logged_model(best.id)
    with pytest.raises(NotFoundError, match=r"was deleted in MLflow.*ask again"):
        best.load_model()
    assert tracker.best_checkpoint("loss", experiment="cleaned") == other


def test_what_is_deleted_and_restored_on_the_server_is_seen(
    server: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mirror, "_DELETED_RUNS_EVERY", 0)
    mlflow.set_tracking_uri(server)
    experiment_id = mlflow.create_experiment(
        "followed", artifact_location="mlflow-artifacts:/followed"
    )
    mlflow.set_experiment("followed")
    client, runs = mlflow.MlflowClient(), []
    for _ in range(2):
        with mlflow.start_run() as run:
            log(Net(hidden=4, depth=2), epoch=0)
            runs.append(run.info.run_id)
    client.delete_run(runs[0])
    client.rename_experiment(experiment_id, "renamed")
    assert [c.run_id for c in tracker.search_checkpoints(experiment="renamed")] == [runs[1]]
    client.restore_run(runs[0])
    assert {c.run_id for c in tracker.search_checkpoints(experiment="renamed")} == {*runs}
    client.delete_experiment(experiment_id)
    with pytest.raises(NotFoundError, match="'renamed'"):
        tracker.search_checkpoints(experiment="renamed")
