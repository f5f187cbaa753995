from __future__ import annotations

import os
from pathlib import Path

import pytest
import safetensors.torch
import torch
from safetensors import safe_open

from tracker.errors import CorruptCheckpointError, StorageError
from tracker.format import export_state_dict, open_checkpoint, write_checkpoint

from .examples import bits, content, copy_of


def test_safetensors_reads_every_key_with_its_values(original, tmp_path):
    export_state_dict(open_checkpoint(original[0]), tmp_path / "weights.safetensors")
    read = safetensors.torch.load_file(tmp_path / "weights.safetensors")
    expected = content().tensors["model"]
    assert read.keys() == expected.keys()
    for name, tensor in expected.items():
        assert bits(read[name]) == bits(tensor)


def test_the_metadata_tells_where_the_weights_come_from(original, tmp_path):
    export_state_dict(open_checkpoint(original[0]), tmp_path / "weights.safetensors")
    with safe_open(tmp_path / "weights.safetensors", "pt") as file:
        assert file.metadata() == {
            "format": "pt",
            "tracker.name": "epoch-6",
            "tracker.run_id": "0f3c",
            "tracker.epoch": "6",
            "tracker.step": "1200",
            "tracker.model_class": "vision.net:Net",
            "tracker.model": "Net(hidden=384)",
            "tracker.params": '{"hidden":"384"}',
            "tracker.metrics": '{"broken":"nan","top":"inf","val_loss":"0.25"}',
            "tracker.state_values": '{"extra":{"$tuple":[1,2]}}',
        }


def test_dtypes_that_safetensors_has_no_name_for_are_told_in_the_metadata(tmp_path):
    tensors = {"model": {"z": torch.ones(2, dtype=torch.complex128), "x": torch.ones(2)}}
    write_checkpoint(tmp_path / "x", content(tensors=tensors))
    export_state_dict(open_checkpoint(tmp_path / "x"), tmp_path / "weights.safetensors")
    with safe_open(tmp_path / "weights.safetensors", "pt") as file:
        assert file.metadata()["tracker.dtypes"] == '{"z":"complex128"}'
        assert file.get_tensor("z").tolist() == [[1, 0], [1, 0]]


def test_damaged_weights_are_not_exported_and_an_older_export_stays(original, tmp_path):
    copy = copy_of(original[0], tmp_path / "copy")
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    target = tmp_path / "weights.safetensors"
    target.write_bytes(b"older")
    with pytest.raises(CorruptCheckpointError):
        export_state_dict(open_checkpoint(copy), target)
    assert target.read_bytes() == b"older"
    assert sorted(os.listdir(tmp_path)) == ["copy", "weights.safetensors"]


def test_a_directory_that_is_not_there_is_a_storage_error(original, tmp_path):
    with pytest.raises(StorageError, match="nowhere"):
        export_state_dict(open_checkpoint(original[0]), tmp_path / "nowhere" / "x")


def test_an_export_in_the_working_directory_needs_no_folder(original, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    export_state_dict(open_checkpoint(original[0]), Path("x.safetensors"))
    assert (tmp_path / "x.safetensors").exists()
