"""Where a checkpoint's files come from, and what is said if they are not what was written."""

from __future__ import annotations

import dataclasses
import json
import os
import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.models import Net
from tests.training import log, train_epoch
from tracker import Checkpoint
from tracker.errors import (
    CorruptCheckpointError,
    FormatError,
    NewerFormatError,
    NotFoundError,
    RecordError,
    StorageError,
    TrackerError,
)
from tracker.format import MANIFEST
from tracker.format.digests import digest
from tracker.loading.fetch import fetch, is_local
from tracker.record import artifacts

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def checkpoint() -> Checkpoint:
    model = Net(hidden=4, depth=2)
    optimizer = torch.optim.Adam(model.parameters())
    train_epoch(model, optimizer, 1)
    return log(model, epoch=1, optimizer=optimizer)


def directory(checkpoint: Checkpoint) -> Path:
    return Path(checkpoint.record.artifact_uri)


def flip_a_byte(path: Path, position: int) -> None:
    data = bytearray(path.read_bytes())
    data[position] ^= 1
    path.write_bytes(data)


def test_local_files_are_read_where_they_are(checkpoint: Checkpoint, workplace: Path) -> None:
    assert is_local(checkpoint.record)
    assert fetch(checkpoint.record).directory == directory(checkpoint)
    assert not (workplace / "cache").exists()


def test_files_that_are_gone_are_not_found(checkpoint: Checkpoint) -> None:
    shutil.rmtree(directory(checkpoint))
    with pytest.raises(NotFoundError, match="were deleted or moved, or lie on another machine"):
        checkpoint.load_model()


def test_a_manifest_that_is_gone_is_named(checkpoint: Checkpoint) -> None:
    (directory(checkpoint) / MANIFEST).unlink()
    with pytest.raises(FormatError, match=r"holds no checkpoint\.json"):
        checkpoint.load_model()


def test_a_tensor_file_that_is_gone_is_named(checkpoint: Checkpoint) -> None:
    (directory(checkpoint) / "model.safetensors").unlink()
    with pytest.raises(TrackerError, match=r"model\.safetensors"):
        checkpoint.load_model()


def test_a_flipped_bit_is_found_and_file_and_tensor_are_named(checkpoint: Checkpoint) -> None:
    flip_a_byte(directory(checkpoint) / "model.safetensors", -1)
    for load in (checkpoint.load_model, checkpoint.load_state_dict):
        with pytest.raises(
            CorruptCheckpointError, match=r"model\.safetensors: tensor '[\w.]+' differs"
        ):
            load()


def test_without_verification_a_flipped_bit_is_the_users_choice(checkpoint: Checkpoint) -> None:
    flip_a_byte(directory(checkpoint) / "model.safetensors", -1)
    assert checkpoint.load_model(verify=False)


def test_a_truncated_tensor_file_is_found(checkpoint: Checkpoint) -> None:
    file = directory(checkpoint) / "model.safetensors"
    file.write_bytes(file.read_bytes()[:-8])
    for verify in (True, False):
        with pytest.raises(CorruptCheckpointError, match=r"model\.safetensors: is \d+ bytes long"):
            checkpoint.load_model(verify=verify)


def test_a_changed_manifest_is_found(checkpoint: Checkpoint) -> None:
    file = directory(checkpoint) / MANIFEST
    file.write_bytes(file.read_bytes().replace(b'"epoch-1"', b'"epoch-2"'))
    with pytest.raises(
        CorruptCheckpointError, match=r"checkpoint\.json: differs from what was written"
    ):
        checkpoint.load_model()


def test_a_newer_format_says_so(checkpoint: Checkpoint) -> None:
    file = directory(checkpoint) / MANIFEST
    content: dict[str, Any] = json.loads(file.read_bytes())
    content["version"] = "99.0"
    data = json.dumps(content).encode()
    file.write_bytes(data)
    record = dataclasses.replace(checkpoint.record, manifest_digest=digest(data))
    with pytest.raises(NewerFormatError, match="99"):
        Checkpoint(record).load_model()


class Evil:
    def __reduce__(self) -> Any:
        return os.mkdir, ("executed",)


@pytest.mark.parametrize("name", ["model.safetensors", MANIFEST])
@pytest.mark.parametrize("write", [pickle.dump, torch.save], ids=["pickle", "torch.save"])
def test_a_pickle_in_place_of_a_file_is_never_run(
    checkpoint: Checkpoint, workplace: Path, name: str, write: Any
) -> None:
    with open(directory(checkpoint) / name, "wb") as file:
        write(Evil(), file)
    for verify in (True, False):
        with pytest.raises(FormatError, match=name.replace(".", r"\.")):
            checkpoint.load_model(verify=verify)
    assert not (workplace / "executed").exists()


def test_a_corrupt_checkpoint_changes_nothing_of_what_it_is_resumed_into(
    checkpoint: Checkpoint,
) -> None:
    model = Net(hidden=4, depth=2)
    optimizer = torch.optim.Adam(model.parameters())
    before = {k: v.clone() for k, v in model.state_dict().items()}
    flip_a_byte(directory(checkpoint) / "training.safetensors", -1)
    with pytest.raises(CorruptCheckpointError, match=r"training\.safetensors"):
        checkpoint.resume(model=model, optimizer=optimizer)
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())
    assert optimizer.state_dict()["state"] == {}


@pytest.fixture
def remote(checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The checkpoint's store counts as one that files have to be brought from."""
    monkeypatch.setattr(artifacts, "local_directory", lambda uri: None)
    return directory(checkpoint)


def cached(workplace: Path) -> list[Path]:
    return list((workplace / "cache" / "checkpoints").iterdir())


def test_files_of_a_remote_store_are_brought_once(
    checkpoint: Checkpoint, remote: Path, workplace: Path
) -> None:
    checkpoint.load_model()
    shutil.rmtree(remote)
    assert checkpoint.load_model()
    (folder,) = cached(workplace)
    assert folder.name.startswith(checkpoint.id)


def test_what_a_remote_store_lost_is_not_found_and_nothing_stays_in_the_cache(
    checkpoint: Checkpoint, remote: Path, workplace: Path
) -> None:
    shutil.rmtree(remote)
    with pytest.raises((NotFoundError, RecordError)):
        checkpoint.load_model()
    assert cached(workplace) == []


def test_a_manifest_that_arrived_changed_never_enters_the_cache(
    checkpoint: Checkpoint, remote: Path, workplace: Path
) -> None:
    flip_a_byte(remote / MANIFEST, -3)
    with pytest.raises(CorruptCheckpointError):
        checkpoint.load_model()
    assert cached(workplace) == []


def test_a_cache_that_can_not_be_written_is_named(
    checkpoint: Checkpoint, remote: Path, workplace: Path
) -> None:
    (workplace / "cache").write_text("in the way")
    with pytest.raises(StorageError, match=r"The cache .* can't be written"):
        checkpoint.load_model()


def test_another_process_that_was_faster_is_as_good(
    checkpoint: Checkpoint, remote: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def overtaken(source: Path, target: Path) -> None:
        shutil.copytree(source, target)
        rename(source, target)

    monkeypatch.setattr(os, "rename", overtaken)
    assert checkpoint.load_model()
    assert len(cached(workplace)) == 1
