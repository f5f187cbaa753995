"""Where a checkpoint's files come from, and what is said if they are not what was written."""

from __future__ import annotations

import dataclasses
import gc
import json
import os
import pickle
import shutil
from functools import partial
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
from tracker.loading.fetch import fetch, is_at_hand, is_local
from tracker.record import artifacts, cache

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


def cached(workplace: Path) -> set[str]:
    """Return the names of the files in the cache that have any content."""
    files = (workplace / "cache" / "checkpoints").rglob("*")
    return {path.name for path in files if path.is_file() and path.stat().st_size}


def test_files_of_a_remote_store_are_brought_once(checkpoint: Checkpoint, remote: Path) -> None:
    checkpoint.load_model()
    shutil.rmtree(remote)
    assert checkpoint.load_model()


def test_only_what_is_needed_is_brought(
    checkpoint: Checkpoint, remote: Path, workplace: Path
) -> None:
    assert checkpoint.environment
    assert cached(workplace) == {MANIFEST}
    checkpoint.load_model()
    assert "model.safetensors" in cached(workplace)
    assert "training.safetensors" not in cached(workplace)
    model = Net(hidden=4, depth=2)
    checkpoint.resume(model=model, optimizer=torch.optim.Adam(model.parameters()))
    assert "training.safetensors" in cached(workplace)


def test_a_checkpoint_is_at_hand_once_its_model_can_be_loaded_without_the_store(
    checkpoint: Checkpoint, remote: Path, workplace: Path
) -> None:
    assert not is_at_hand(checkpoint.record)
    assert checkpoint.environment
    assert not is_at_hand(checkpoint.record)
    checkpoint.load_model()
    shutil.rmtree(remote)
    assert is_at_hand(checkpoint.record)


def test_what_a_remote_store_lost_is_not_found_and_nothing_stays_in_the_cache(
    checkpoint: Checkpoint, remote: Path, workplace: Path
) -> None:
    shutil.rmtree(remote)
    with pytest.raises((NotFoundError, RecordError)):
        checkpoint.load_model()
    assert cached(workplace) == set()


def test_an_interrupted_fetch_goes_on_with_the_files_that_are_missing(
    checkpoint: Checkpoint, remote: Path, workplace: Path
) -> None:
    (remote / "training.safetensors").rename(workplace / "training")
    with pytest.raises(NotFoundError, match=r"training\.safetensors"):
        checkpoint.resume(model=Net(hidden=4, depth=2))
    assert {MANIFEST, "model.safetensors"} <= cached(workplace)
    (workplace / "training").rename(remote / "training.safetensors")
    (remote / "model.safetensors").unlink()
    checkpoint.resume(model=Net(hidden=4, depth=2))


def test_a_manifest_that_arrived_changed_never_enters_the_cache(
    checkpoint: Checkpoint, remote: Path, workplace: Path
) -> None:
    flip_a_byte(remote / MANIFEST, -3)
    with pytest.raises(CorruptCheckpointError):
        checkpoint.load_model()
    assert cached(workplace) == set()


def damage(path: Path) -> None:
    flip_a_byte(path, -1)


def damage_its_beginning(path: Path) -> None:
    flip_a_byte(path, 0)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-8])


@pytest.mark.parametrize("name", [MANIFEST, "model.safetensors"])
@pytest.mark.parametrize("harm", [damage, damage_its_beginning, cut])
def test_a_damaged_file_in_the_cache_is_brought_again(
    checkpoint: Checkpoint, remote: Path, workplace: Path, name: str, harm: Any
) -> None:
    loads = [
        checkpoint.load_model,
        checkpoint.load_state_dict,
        partial(checkpoint.resume, model=Net(hidden=4, depth=2)),
        partial(checkpoint.load_into, Net(hidden=4, depth=2)),
    ]
    path = workplace / "cache" / "checkpoints" / checkpoint.id / name
    for load in loads:
        load()
        harm(path)
        load()
        assert path.read_bytes() == (remote / name).read_bytes()
    harm(path)
    assert checkpoint.explain().loads


def test_source_in_the_cache_that_is_damaged_is_brought_again(
    checkpoint: Checkpoint, remote: Path, workplace: Path
) -> None:
    checkpoint.load_model()
    (source,) = (workplace / "cache").rglob("models.py")
    damage(source)
    assert checkpoint.load_model(trust="source")
    assert source.read_bytes() == next(remote.rglob("models.py")).read_bytes()


def test_what_is_damaged_in_the_store_is_never_loaded_and_found_once_it_is_repaired(
    checkpoint: Checkpoint, remote: Path
) -> None:
    flip_a_byte(remote / "model.safetensors", -1)
    for _ in range(2):
        with pytest.raises(CorruptCheckpointError, match=r"model\.safetensors: tensor"):
            checkpoint.load_model()
    flip_a_byte(remote / "model.safetensors", -1)
    assert checkpoint.load_model()


def test_of_a_part_no_other_tensor_is_verified_in_the_cache(
    checkpoint: Checkpoint, remote: Path, workplace: Path
) -> None:
    checkpoint.load_state_dict()
    path = workplace / "cache" / "checkpoints" / checkpoint.id / "model.safetensors"
    weight = checkpoint.load_state_dict()["head.weight"].numpy().tobytes()
    flip_a_byte(path, path.read_bytes().index(weight))
    damaged = path.read_bytes()
    checkpoint.load_state_dict(prefix="layers")
    assert path.read_bytes() == damaged
    checkpoint.load_state_dict(prefix="head")
    assert path.read_bytes() != damaged


def test_files_stay_in_the_cache_while_they_are_in_use(
    checkpoint: Checkpoint, remote: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKER_CACHE_SIZE", "0")
    stored = fetch(checkpoint.record)
    cache.make_room(0)
    stored.verify()
    del stored
    gc.collect()
    cache.make_room(0)
    assert cached(workplace) == set()


def test_a_model_keeps_its_weights_when_its_files_leave_the_cache(
    checkpoint: Checkpoint, remote: Path, workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {name: value.clone() for name, value in checkpoint.load_state_dict().items()}
    model = checkpoint.load_model()
    monkeypatch.setenv("TRACKER_CACHE_SIZE", "0")
    gc.collect()
    cache.make_room(0)
    assert cached(workplace) == set()
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())


def test_a_cache_that_can_not_be_written_is_named(
    checkpoint: Checkpoint, remote: Path, workplace: Path
) -> None:
    (workplace / "cache").write_text("in the way")
    with pytest.raises(StorageError, match=r"The cache .* can't be used"):
        checkpoint.load_model()
