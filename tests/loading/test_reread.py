"""Verifying a checkpoint of a remote store reads what the store holds, and leaves nothing here."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.models import Net
from tests.training import log
from tracker import Checkpoint
from tracker.format import MANIFEST
from tracker.loading.verify import verify
from tracker.record import artifacts, cache, neighbours

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def two(monkeypatch: pytest.MonkeyPatch) -> list[Checkpoint]:
    """Two checkpoints that count as remote; the second has tensors in the file of the first."""
    model = Net(hidden=64, depth=3)
    first = log(model, epoch=1)
    with torch.no_grad():
        model.head.weight.add_(1)
    second = log(model, epoch=2)
    monkeypatch.setattr(artifacts, "local_directory", lambda uri: None)
    return [first, second]


def directory(checkpoint: Checkpoint) -> Path:
    return Path(checkpoint.record.artifact_uri)


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_everything_is_read_also_where_earlier_checkpoints_hold_it(two: list[Checkpoint]) -> None:
    for checkpoint in two:
        found = verify(checkpoint.record)
        assert (found.condition, found.reason) == ("ok", "")
        assert found.tensors == len(checkpoint.load_state_dict())
    flip_a_byte(directory(two[0]) / "model.safetensors")
    assert [verify(each.record).condition for each in two] == ["damaged", "damaged"]


def test_what_the_cache_has_does_not_count(two: list[Checkpoint]) -> None:
    two[1].load_model()
    flip_a_byte(directory(two[1]) / "model.safetensors")
    assert two[1].load_model()
    found = verify(two[1].record)
    assert found.condition == "damaged"
    assert "model.safetensors: tensor 'head." in found.reason


@pytest.mark.parametrize("name", [MANIFEST, "model.safetensors", "source"])
def test_what_is_gone_from_the_store_is_missing(two: list[Checkpoint], name: str) -> None:
    two[0].load_model()
    path = directory(two[0]) / name
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    assert verify(two[0].record).condition == "missing"


def test_damage_in_the_cache_is_no_damage_of_the_checkpoint(two: list[Checkpoint]) -> None:
    two[0].load_model()
    flip_a_byte(cache.place(two[0].id, "model.safetensors"))
    assert verify(two[0].record).condition == "ok"


def test_a_file_at_a_time_takes_room_and_none_stays(
    two: list[Checkpoint], workplace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there: list[int] = []
    original = neighbours.download_file

    def watched(uri: str, name: str, into: Path) -> Path:
        there.append(sum(path.is_file() for path in (workplace / "cache").rglob("*")))
        return original(uri, name, into)

    monkeypatch.setattr(neighbours, "download_file", watched)
    assert verify(two[1].record).condition == "ok"
    assert len(there) > 3
    assert set(there) == {0}
    assert not any(path.is_file() for path in (workplace / "cache").rglob("*"))
