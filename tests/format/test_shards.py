"""What several processes write of a checkpoint, and what becomes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open

from tracker.errors import CorruptCheckpointError, FormatError, StorageError, UnstorableError
from tracker.format import (
    Content,
    Placed,
    Shard,
    content_of,
    joined,
    known_tensors,
    open_checkpoint,
    write_checkpoint,
    write_shards,
)
from tracker.format.shards import placed_from_json, placed_to_json
from tracker.types import Architecture

WEIGHT = torch.arange(21, dtype=torch.float32).reshape(7, 3)
CONTENT = Content("epoch-1", "0f3c", 0, Architecture("none", "net:Net", "Net()"))


def rows(rank: int) -> dict[str, list[Shard]]:
    first, last = [(0, 4), (4, 7)][rank]
    box = ((first, 0), (last - first, 3))
    return {"model": [Shard("weight", (7, 3), box, WEIGHT[first:last])]}


def written(directory: Path) -> Placed:
    both = [write_shards(directory, rank, rows(rank), {}) for rank in range(2)]
    return joined(both, {"model": {"tied": "weight"}})


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    whole = {"model": {"bias": torch.ones(3)}}
    write_checkpoint(tmp_path, replace(CONTENT, placed=written(tmp_path), tensors=whole))
    return tmp_path


def test_the_parts_are_read_as_one_tensor(checkpoint):
    stored = open_checkpoint(checkpoint)
    stored.verify()
    assert torch.equal(stored.tensor("model", "weight"), WEIGHT)
    assert stored.tensor("model", "tied") is stored.tensor("model", "weight")
    assert torch.equal(stored.tensor("model", "bias"), torch.ones(3))


def test_of_a_region_only_the_parts_that_have_something_of_it_are_read(checkpoint):
    path = checkpoint / "model-rank-00000.safetensors"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + b"\xff")
    stored = open_checkpoint(checkpoint)
    assert torch.equal(stored.region("model", "weight", ((4, 1), (2, 2))), WEIGHT[4:6, 1:3])
    with pytest.raises(CorruptCheckpointError, match="weight"):
        stored.region("model", "weight", ((3, 0), (2, 3)))


def test_a_region_of_a_whole_tensor_is_a_copy(checkpoint):
    stored = open_checkpoint(checkpoint)
    part = stored.region("model", "bias", ((1,), (2,)))
    part.zero_()
    assert torch.equal(stored.tensor("model", "bias"), torch.ones(3))


def test_a_file_says_where_its_parts_begin(checkpoint):
    with safe_open(checkpoint / "model-rank-00001.safetensors", "pt") as file:
        offsets = json.loads(file.metadata()["DCP_SHARDING_INFO"])
    assert offsets == {"weight": {"saved_offsets": [4, 0]}}


def test_a_missing_file_is_noticed(checkpoint):
    (checkpoint / "model-rank-00001.safetensors").unlink()
    with pytest.raises(CorruptCheckpointError, match="model-rank-00001"):
        open_checkpoint(checkpoint).tensor("model", "weight")


def test_parts_that_leave_a_gap_are_refused(tmp_path):
    only = joined([write_shards(tmp_path, 0, rows(0), {})], {})
    with pytest.raises(UnstorableError, match="12 of its 21 elements"):
        write_checkpoint(tmp_path, replace(CONTENT, placed=only))
    assert not (tmp_path / "checkpoint.json").exists()


def test_written_again_it_is_whole(checkpoint, tmp_path):
    whole = tmp_path / "whole"
    write_checkpoint(whole, content_of(open_checkpoint(checkpoint)))
    entry = open_checkpoint(whole).manifest.tensors["model"]["weight"]
    assert entry.parts == ()
    assert torch.equal(open_checkpoint(whole).tensor("model", "weight"), WEIGHT)


def test_later_checkpoints_do_not_refer_to_parts(checkpoint):
    assert known_tensors(open_checkpoint(checkpoint).manifest, "m-1") == {}


def test_two_processes_can_not_have_written_one_thing(tmp_path):
    one = write_shards(tmp_path, 0, rows(0), {})
    with pytest.raises(FormatError, match="model-rank-00000"):
        joined([one, one], {})
    other = write_shards(tmp_path, 1, {}, {"model": {"weight": WEIGHT}})
    with pytest.raises(FormatError, match="different tensors 'weight'"):
        joined([one, other], {})


def test_what_was_written_travels_as_json(tmp_path):
    placed = write_shards(tmp_path, 1, rows(1), {"training": {"rank-1.seed": torch.ones(2)}})
    sent = json.loads(json.dumps(placed_to_json(placed)))
    assert placed_from_json(sent, "rank 1") == placed


def test_a_disk_that_refuses_leaves_nothing(tmp_path):
    (tmp_path / "model-rank-00001.safetensors").mkdir()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(StorageError):
        write_shards(tmp_path, 1, rows(1), {})
    assert sorted(tmp_path.rglob("*")) == before


def test_no_memory_is_taken_for_parts_that_no_file_holds(checkpoint):
    # A manifest of others may claim anything.
    manifest = json.loads((checkpoint / "checkpoint.json").read_text())
    weight = manifest["tensors"]["model"]["weight"]
    weight["shape"] = [2**40, 3]
    weight["parts"][1]["shape"] = [2**40 - 4, 3]
    manifest["tensors"]["model"]["tied"] |= {"shape": weight["shape"], "parts": weight["parts"]}
    (checkpoint / "checkpoint.json").write_text(json.dumps(manifest))
    stored = open_checkpoint(checkpoint)
    for verify in (True, False):
        with pytest.raises(FormatError, match="weight"):
            stored.tensor("model", "weight", verify=verify)
