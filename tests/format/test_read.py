from __future__ import annotations

import pickle
import sys
from pathlib import Path

import pytest
import torch

from tracker.errors import (
    CorruptCheckpointError,
    FormatError,
    InvalidArgumentError,
    NotFoundError,
)
from tracker.format import MANIFEST, open_checkpoint, write_checkpoint

from .examples import TIED, bits, content, copy_of


@pytest.fixture
def copy(original, tmp_path):
    return copy_of(original[0], tmp_path / "copy")


def test_every_tensor_comes_back_bit_for_bit(original):
    stored = open_checkpoint(original[0], manifest_digest=original[1].manifest_digest)
    for group, tensors in content().tensors.items():
        read = stored.tensors(group)
        assert read.keys() == tensors.keys()
        for name, tensor in tensors.items():
            assert (read[name].dtype, read[name].shape) == (tensor.dtype, tensor.shape)
            assert bits(read[name]) == bits(tensor)
            assert stored.tensor(group, name) is read[name]


def test_tied_names_are_one_tensor_again(original):
    stored = open_checkpoint(original[0])
    head = stored.tensor("model", "head.weight")
    assert head is stored.tensor("model", "embed.weight")
    assert head is stored.tensors("model")["head.weight"]


def test_writing_to_a_tensor_leaves_the_file_alone_and_it_still_verifies(copy):
    stored = open_checkpoint(copy)
    stored.tensor("model", "embed.weight", verify=False).add_(1)
    stored.tensor("model", "embed.weight", verify=True).add_(1)
    stored.verify()
    assert torch.equal(open_checkpoint(copy).tensor("model", "embed.weight"), TIED)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_what_was_verified_is_the_memory_that_is_handed_out(copy):
    stored = open_checkpoint(copy)
    stored.verify("model", again=False)
    tensors = stored.tensors("model")
    assert tensors
    maps = Path("/proc/self/maps").read_text().splitlines()
    assert sum(line.endswith(str(copy / "model.safetensors")) for line in maps) == 1


def test_what_somebody_wrote_to_a_tensor_is_no_damage_to_others(copy):
    stored = open_checkpoint(copy)
    name, *others = [
        name for name, entry in stored.manifest.tensors["model"].items() if not entry.same_as
    ]
    stored.tensor("model", name).zero_()
    stored.verify("model", others, again=False)
    stored.verify("model")
    with open(copy / "model.safetensors", "r+b") as file:
        file.seek(-1, 2)
        last = file.read(1)
        file.seek(-1, 2)
        file.write(bytes([last[0] ^ 1]))
    with pytest.raises(CorruptCheckpointError):
        stored.verify("model")


def test_tensors_are_plain_and_need_no_gradient(original):
    tensor = open_checkpoint(original[0]).tensor("model", "embed.weight")
    assert type(tensor) is torch.Tensor
    assert not tensor.requires_grad


def test_a_file_is_read_with_its_digest_compared(original):
    stored = open_checkpoint(original[0])
    assert stored.read_file("source/vision/net.py") == b"class Net: ...\n"


def test_what_is_not_there_is_answered_with_what_is(original):
    stored = open_checkpoint(original[0])
    with pytest.raises(NotFoundError, match=r"head\.bias"):
        stored.tensor("model", "nothing")
    with pytest.raises(NotFoundError, match="MLmodel"):
        stored.read_file("nothing")
    with pytest.raises(InvalidArgumentError, match="holds tensors"):
        stored.read_file("model.safetensors")
    assert stored.tensors("nothing") == {}


def test_a_damaged_tensor_is_named_with_its_file_and_never_returned(copy):
    data = bytearray((copy / "model.safetensors").read_bytes())
    data[-1] ^= 1
    (copy / "model.safetensors").write_bytes(data)
    stored = open_checkpoint(copy)
    with pytest.raises(CorruptCheckpointError, match=r"model\.safetensors: tensor 'embed\.weight'"):
        stored.tensors("model")
    with pytest.raises(CorruptCheckpointError):
        stored.tensor("model", "head.weight")
    with pytest.raises(CorruptCheckpointError):
        stored.verify()
    assert stored.tensor("model", "steps").item() == 7


def test_damage_after_the_first_reading_is_found_by_verify(copy):
    stored = open_checkpoint(copy)
    stored.tensors("model")
    with (copy / "model.safetensors").open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"\xff")
    with pytest.raises(CorruptCheckpointError):
        stored.verify("model")
    stored.verify("training")


@pytest.mark.parametrize("name", ["MLmodel", "source/vision/net.py"])
def test_a_changed_plain_file_is_refused(copy, name):
    (copy / name).write_bytes((copy / name).read_bytes().upper())
    with pytest.raises(CorruptCheckpointError, match=name):
        open_checkpoint(copy).read_file(name)
    with pytest.raises(CorruptCheckpointError, match=name):
        open_checkpoint(copy).verify()


@pytest.mark.parametrize("name", ["MLmodel", "model.safetensors"])
@pytest.mark.parametrize("change", [lambda d: d[:-1], lambda d: d + b"x", lambda d: b""])
def test_a_file_of_another_length_is_refused(copy, name, change):
    (copy / name).write_bytes(change((copy / name).read_bytes()))
    with pytest.raises(CorruptCheckpointError, match=name):
        open_checkpoint(copy).verify()


@pytest.mark.parametrize("name", ["MLmodel", "model.safetensors"])
def test_a_missing_file_is_named(copy, name):
    (copy / name).unlink()
    with pytest.raises(CorruptCheckpointError, match=f"{name}: is missing"):
        open_checkpoint(copy).verify()


def test_tensor_files_of_two_checkpoints_can_not_be_swapped(copy, tmp_path):
    other = {"model": {**content().tensors["model"], "steps": torch.tensor(8)}}
    write_checkpoint(tmp_path / "other", content(tensors=other))
    (tmp_path / "other" / "model.safetensors").replace(copy / "model.safetensors")
    with pytest.raises(CorruptCheckpointError, match="steps"):
        open_checkpoint(copy).tensors("model")


def test_a_manifest_that_is_not_the_recorded_one_is_refused(copy):
    write_checkpoint(copy / "other", content(epoch=7))
    (copy / "other" / MANIFEST).replace(copy / MANIFEST)
    with pytest.raises(CorruptCheckpointError, match=r"checkpoint\.json: differs"):
        open_checkpoint(copy, manifest_digest="0" * 64)
    assert open_checkpoint(copy).manifest.epoch == 7


def test_a_directory_without_a_manifest_says_what_is_there(tmp_path):
    with pytest.raises(FormatError, match=r"holds no checkpoint\.json, because .* is empty"):
        open_checkpoint(tmp_path)
    (tmp_path / "model.pth").touch()
    with pytest.raises(FormatError, match=r"only model\.pth"):
        open_checkpoint(tmp_path)
    (tmp_path / ".1234.partial").touch()
    with pytest.raises(FormatError, match="interrupted"):
        open_checkpoint(tmp_path)
    with pytest.raises(FormatError, match="No such file"):
        open_checkpoint(tmp_path / "nowhere")


def _zip(path):
    torch.save({"w": torch.zeros(1000)}, path)


def _pickle(path):
    path.write_bytes(pickle.dumps({"w": [0.0] * 1000}))


@pytest.mark.parametrize("save", [_zip, _pickle])
@pytest.mark.parametrize("name", [MANIFEST, "model.safetensors"])
def test_a_pickle_in_place_of_a_file_is_recognised_and_not_opened(copy, save, name):
    save(copy / name)
    with pytest.raises(FormatError, match="Pickles can run any code"):
        open_checkpoint(copy).verify()


def test_a_checkpoint_larger_than_its_manifest_says_is_not_read_into_memory(copy):
    with (copy / MANIFEST).open("r+b") as file:
        file.truncate(1 << 40)
    with pytest.raises(FormatError, match="not read"):
        open_checkpoint(copy)
