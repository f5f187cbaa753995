from __future__ import annotations

import errno
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import mlflow
import pytest
import requests
from mlflow.exceptions import MlflowException
from mlflow.tracking import MlflowClient

from tests.training import log
from tracker import Checkpoint
from tracker.errors import RecordError, RecordUnreachableError, StorageError
from tracker.format import MANIFEST, open_checkpoint
from tracker.record import transfer
from tracker.record.boundary import connect, tracking_uri

pytestmark = pytest.mark.usefixtures("workplace")


@dataclass(frozen=True)
class Store:
    """A logged model without files, in a local store that MLflow's client copies to."""

    model_id: str
    directory: Path

    def upload(self, source: Path, **options: Any) -> None:
        transfer.upload(connect(tracking_uri()), self.model_id, source, last=MANIFEST, **options)


@pytest.fixture
def store() -> Store:
    with mlflow.start_run(nested=True):
        model = mlflow.initialize_logged_model(name="copy")
    return Store(model.model_id, Path(model.artifact_location))


@pytest.fixture
def checkpoint() -> Checkpoint:
    return log(epoch=1)


def files_of(checkpoint: Checkpoint) -> Path:
    return Path(checkpoint.record.artifact_uri)


def assert_whole(directory: Path, checkpoint: Checkpoint) -> None:
    open_checkpoint(directory, manifest_digest=checkpoint.record.manifest_digest).verify()
    assert names(directory) == names(files_of(checkpoint))


def names(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


def on_each_upload(monkeypatch: pytest.MonkeyPatch, act: Callable[[str], None]) -> None:
    """Call ``act`` with the name of each file before MLflow's client uploads it."""
    upload = MlflowClient.log_model_artifact

    def uploading(self: MlflowClient, model_id: str, path: str, *rest: object) -> None:
        act(Path(path).name)
        upload(self, model_id, path, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(MlflowClient, "log_model_artifact", uploading)


def test_a_directory_is_uploaded_whole_the_manifest_last(
    checkpoint: Checkpoint, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    on_each_upload(monkeypatch, order.append)
    store.upload(files_of(checkpoint))
    assert order[-1] == MANIFEST
    assert_whole(store.directory, checkpoint)


def test_files_are_uploaded_several_at_a_time(
    checkpoint: Checkpoint, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = threading.Barrier(2, timeout=30)
    on_each_upload(monkeypatch, lambda name: together.wait() if name != MANIFEST else None)
    source = files_of(checkpoint)
    assert len(names(source)) % 2 == 1, "the manifest aside they meet in pairs"
    store.upload(source)
    assert_whole(store.directory, checkpoint)


def test_who_asks_is_told_of_every_byte(checkpoint: Checkpoint, store: Store) -> None:
    sizes: list[int] = []
    store.upload(files_of(checkpoint), sent=sizes.append)
    assert sum(sizes) == checkpoint.size


def test_a_store_that_does_not_answer_is_asked_again(
    checkpoint: Checkpoint, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    failures = iter([requests.ConnectionError("gone"), requests.ConnectionError("gone")])

    def fail(name: str) -> None:
        if name == "model.safetensors" and (error := next(failures, None)):
            raise error

    on_each_upload(monkeypatch, fail)
    store.upload(files_of(checkpoint))
    assert_whole(store.directory, checkpoint)


@pytest.mark.parametrize(
    ("error", "kind", "attempts"),
    [
        (requests.ConnectionError("gone"), RecordUnreachableError, 3),
        (MlflowException("no"), RecordError, 1),
    ],
)
def test_a_store_that_goes_on_not_answering_or_refuses_gets_no_manifest(
    checkpoint: Checkpoint,
    store: Store,
    monkeypatch: pytest.MonkeyPatch,
    error: Exception,
    kind: type[Exception],
    attempts: int,
) -> None:
    tried: list[str] = []

    def fail(name: str) -> None:
        tried.append(name)
        if name == "model.safetensors":
            raise error

    on_each_upload(monkeypatch, fail)
    with pytest.raises(kind):
        store.upload(files_of(checkpoint))
    assert tried.count("model.safetensors") == attempts
    assert MANIFEST not in tried


def test_a_local_store_gets_links_and_the_checkpoint_outlives_where_it_came_from(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    source, target = tmp_path / "spool", tmp_path / "store" / "artifacts"
    shutil.copytree(files_of(checkpoint), source)
    (source / ".0f3c.partial").write_text("of a process that died")
    for _ in range(2):
        transfer.place(source, target, last=MANIFEST)
        assert_whole(target, checkpoint)
    assert (target / MANIFEST).samefile(source / MANIFEST)
    shutil.rmtree(source)
    assert_whole(target, checkpoint)


def test_a_local_store_on_another_file_system_gets_copies(
    checkpoint: Checkpoint, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", refuse)
    target = tmp_path / "store"
    transfer.place(files_of(checkpoint), target, last=MANIFEST)
    assert_whole(target, checkpoint)
    assert not (target / MANIFEST).samefile(files_of(checkpoint) / MANIFEST)


def test_a_local_store_that_can_not_be_made_is_a_storage_error(
    checkpoint: Checkpoint, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="file"):
        transfer.place(files_of(checkpoint), tmp_path / "file" / "there", last=MANIFEST)


def test_a_part_without_a_manifest_is_uploaded_and_its_sizes_are_told(
    store: Store, tmp_path: Path
) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "model-rank-00001.safetensors").write_bytes(b"12345")
    client = connect(tracking_uri())
    transfer.upload(client, store.model_id, tmp_path / "part")
    assert transfer.sizes(client, store.model_id) == {"model-rank-00001.safetensors": 5}


def test_what_is_missing_before_the_last_file_keeps_that_here(
    store: Store, checkpoint: Checkpoint
) -> None:
    seen: list[list[str]] = []

    def look() -> None:
        seen.append(names(store.directory))
        raise RecordError("a part is missing.")

    with pytest.raises(RecordError, match="a part is missing"):
        store.upload(files_of(checkpoint), before_last=look)
    assert sorted([*seen[0], MANIFEST]) == sorted(names(files_of(checkpoint)))
    assert MANIFEST not in names(store.directory)
