"""Checkpoints made by somebody who wants more than to be loaded: all are refused, nothing happens.

The attacker writes the manifest, so every digest in it is right.
"""

from __future__ import annotations

import json
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tracker.errors import FormatError
from tracker.format import MANIFEST, Content, open_checkpoint, write_checkpoint
from tracker.format.digests import digest
from tracker.types import Architecture


class Attack:
    """A checkpoint directory whose files the attacker changes, digests included."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        content = Content(
            name="x",
            run_id="r",
            created_at=0,
            architecture=Architecture("none", "m:N", "N()"),
            tensors={"model": {"a": torch.zeros(4), "b": torch.ones(4)}},
            extra_files={"MLmodel": b"flavors: {}"},
        )
        write_checkpoint(directory, content)

    def manifest(self, change: Callable[[dict[str, Any]], None]) -> None:
        path = self.directory / MANIFEST
        data = json.loads(path.read_bytes())
        change(data)
        path.write_text(json.dumps(data))

    def tensor_file(self, header: bytes, data: bytes, length: int | None = None) -> None:
        """Replace the tensor file; its size and its header's digest are put into the manifest."""
        count = len(header) if length is None else length
        head = count.to_bytes(8, "little") + header
        (self.directory / "model.safetensors").write_bytes(head + data)
        entry = {"size": len(head + data), "digest": digest(head)}
        self.manifest(lambda m: m["files"].update({"model.safetensors": entry}))

    def file(self, old: str, new: str) -> None:
        """Let the manifest call a file by another name."""

        def rename(data: dict[str, Any]) -> None:
            data["files"][new] = data["files"].pop(old)
            for entry in data["tensors"]["model"].values():
                entry["file"] = new if entry["file"] == old else entry["file"]

        self.manifest(rename)

    def check_refused(self) -> None:
        with pytest.raises(FormatError):
            open_checkpoint(self.directory).verify()
        with pytest.raises(FormatError):
            open_checkpoint(self.directory).tensors("model", verify=False)


@pytest.fixture
def attack(tmp_path: Path) -> Attack:
    return Attack(tmp_path / "checkpoint")


def header(**slots: tuple[list[int], list[int]]) -> bytes:
    content = {
        name: {"dtype": "F32", "shape": shape, "data_offsets": offsets}
        for name, (shape, offsets) in slots.items()
    }
    return json.dumps(content).encode()


def test_the_attacker_could_write_a_checkpoint_that_loads(attack):
    attack.tensor_file(header(a=([4], [0, 16]), b=([4], [16, 32])), bytes(32))
    assert open_checkpoint(attack.directory).tensors("model", verify=False)["b"].sum() == 0


@pytest.mark.parametrize(
    "name",
    ["../secret", "/etc/hostname", "a/../../secret", "..\\secret", "C:\\secret", "./x", "x\x00"],
)
@pytest.mark.parametrize("old", ["MLmodel", "model.safetensors"])
def test_a_name_outside_the_checkpoint_is_not_opened(attack, name, old):
    attack.file(old, name)
    attack.check_refused()


@pytest.mark.parametrize("old", ["MLmodel", "model.safetensors"])
def test_a_symbolic_link_to_a_file_outside_is_not_followed(attack, old):
    target = attack.directory.parent / "secret"
    (attack.directory / old).rename(target)
    (attack.directory / old).symlink_to(target)
    with pytest.raises(FormatError, match="symbolic link"):
        open_checkpoint(attack.directory).verify()


def test_a_symbolic_link_to_a_directory_outside_is_not_followed(attack):
    (attack.directory.parent / "secrets").mkdir()
    (attack.directory / "MLmodel").rename(attack.directory.parent / "secrets" / "key")
    (attack.directory / "source").symlink_to(attack.directory.parent / "secrets")
    attack.file("MLmodel", "source/key")
    with pytest.raises(FormatError, match="symbolic link"):
        open_checkpoint(attack.directory).read_file("source/key")


def test_a_manifest_that_is_a_link_to_a_file_outside_is_not_followed(attack):
    (attack.directory / MANIFEST).rename(attack.directory.parent / "elsewhere.json")
    (attack.directory / MANIFEST).symlink_to(attack.directory.parent / "elsewhere.json")
    with pytest.raises(FormatError, match="symbolic link"):
        open_checkpoint(attack.directory)


@pytest.mark.parametrize("name", ["MLmodel", "model.safetensors", MANIFEST])
def test_a_pipe_in_place_of_a_file_is_not_waited_for(attack, name):
    (attack.directory / name).unlink()
    os.mkfifo(attack.directory / name)
    with pytest.raises(FormatError):
        open_checkpoint(attack.directory).verify()


@pytest.mark.parametrize("name", ["MLmodel", "model.safetensors", MANIFEST])
def test_a_loop_of_links_ends(attack, name):
    (attack.directory / name).unlink()
    (attack.directory / name).symlink_to(name)
    with pytest.raises(FormatError):
        open_checkpoint(attack.directory).verify()


class Payload:
    """Runs a command when it is unpickled."""

    def __init__(self, marker: Path) -> None:
        self._marker = marker

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self._marker}",)


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", ["MLmodel", "model.safetensors", MANIFEST])
def test_a_pickle_is_never_opened(attack, name, protocol):
    marker = attack.directory.parent / "opened"
    data = pickle.dumps(Payload(marker), protocol=protocol)
    (attack.directory / name).write_bytes(data)
    if name != MANIFEST:
        entry = {"size": len(data), "digest": digest(data)}
        attack.manifest(lambda m: m["files"].update({name: entry}))
    try:
        open_checkpoint(attack.directory).verify()
    except FormatError:
        assert not marker.exists()
    else:
        # Any bytes are an MLmodel file to the format; it only returns them.
        assert name == "MLmodel"
        assert not marker.exists()


def test_a_torch_save_file_is_never_opened(attack):
    torch.save(Payload(attack.directory / "opened"), attack.directory / "model.safetensors")
    attack.check_refused()
    assert not (attack.directory / "opened").exists()


@pytest.mark.parametrize("length", [0, 1, 1 << 27, 1 << 40, (1 << 63) - 1, 1 << 63, (1 << 64) - 1])
def test_a_header_of_absurd_length_is_not_read(attack, length):
    attack.tensor_file(header(a=([4], [0, 16]), b=([4], [16, 32])), bytes(32), length)
    attack.check_refused()


@pytest.mark.parametrize(
    "slots",
    [
        {"a": ([4], [0, 16]), "b": ([4], [0, 16])},
        {"a": ([4], [0, 16]), "b": ([4], [8, 24])},
        {"a": ([4], [0, 16]), "b": ([4], [20, 36])},
        {"a": ([4], [0, 16]), "b": ([4], [1 << 40, (1 << 40) + 16])},
        {"a": ([4], [0, 16]), "b": ([8], [16, 32])},
        {"a": ([1 << 62, 1 << 62], [0, 16]), "b": ([4], [16, 32])},
        {"a": ([4], [16, 32]), "b": ([4], [16, 32])},
        {"a": ([2, 2], [0, 16]), "b": ([4], [16, 32])},
        {"a": ([4], [0, 16])},
        {"a": ([4], [0, 16]), "c": ([4], [16, 32])},
    ],
)
def test_tensors_that_overlap_or_leave_the_file_are_refused(attack, slots):
    attack.tensor_file(header(**slots), bytes(32))
    attack.check_refused()


def test_a_tensor_that_stands_twice_in_a_header_is_refused(attack):
    one = header(a=([4], [0, 16]), b=([4], [16, 32]))
    attack.tensor_file(one[:-1] + b"," + one[1:], bytes(32))
    attack.check_refused()


@pytest.mark.parametrize("depth", [600, 100_000])
def test_endless_nesting_ends(attack, depth):
    deep = b'{"a":' * depth + b"1" + b"}" * depth
    attack.tensor_file(deep, bytes(32))
    attack.check_refused()
    (attack.directory / MANIFEST).write_bytes(deep)
    attack.check_refused()


def test_a_key_that_stands_twice_in_the_manifest_is_refused(attack):
    data = (attack.directory / MANIFEST).read_bytes()
    (attack.directory / MANIFEST).write_bytes(b'{"name":"other",' + data[1:])
    with pytest.raises(FormatError, match="twice"):
        open_checkpoint(attack.directory)


def test_a_shape_of_many_zeros_and_huge_lengths_costs_no_memory(attack):
    shape = [1 << 62, 1 << 62, 0]
    attack.tensor_file(header(a=(shape, [0, 0]), b=([4], [0, 16])), bytes(16))

    def change(data: dict[str, Any]) -> None:
        data["tensors"]["model"]["a"].update(shape=shape, digest=digest(b""))

    attack.manifest(change)
    with pytest.raises(FormatError):
        open_checkpoint(attack.directory).tensors("model", verify=False)


def test_a_plain_file_of_a_terabyte_is_not_read(attack):
    with (attack.directory / "MLmodel").open("r+b") as file:
        file.truncate(1 << 40)
    attack.manifest(lambda m: m["files"]["MLmodel"].update(size=1 << 40))
    with pytest.raises(FormatError, match="not read"):
        open_checkpoint(attack.directory).read_file("MLmodel")
