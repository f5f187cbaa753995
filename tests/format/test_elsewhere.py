"""A file of an earlier checkpoint is read with the same distrust as one of the checkpoint's own."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tracker.errors import CorruptCheckpointError, FormatError, NotFoundError
from tracker.format import MANIFEST, open_checkpoint, write_checkpoint
from tracker.format.reuse import SMALLEST

from .examples import content
from .run import Run

N = SMALLEST // 4


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return Run(tmp_path)


def two(run: Run) -> None:
    tensors = {"model": {"x": torch.randn(N)}}
    run.log(tensors)
    run.log(tensors | {"training": {"m": torch.randn(N)}})


def test_the_checkpoint_that_a_missing_file_belonged_to_is_named(run):
    two(run)
    shutil.rmtree(run.directory("m-0"))
    stored = run.open(1)
    for read in (stored.verify, lambda: stored.tensor("model", "x", verify=False)):
        with pytest.raises(NotFoundError, match=r"model\.safetensors of checkpoint m-0, .* gone"):
            read()
    stored.tensors("training")


def test_without_knowing_where_others_are_only_what_they_hold_is_refused(run):
    two(run)
    stored = open_checkpoint(run.directory("m-1"))
    assert stored.manifest.references == ["m-0"]
    stored.tensors("training")
    with pytest.raises(NotFoundError, match=r"checkpoint m-0.* open it with locate="):
        stored.tensors("model")


@settings(deadline=None, max_examples=150)
@given(st.integers(0), st.integers(1, 255))
def test_a_flipped_byte_in_the_other_checkpoint_is_never_loaded(damaged, position, difference):
    run, path, data = damaged
    changed = bytearray(data)
    changed[position % len(data)] ^= difference
    path.write_bytes(changed)
    with pytest.raises(FormatError):
        run.open(1).tensors("model")
    with pytest.raises(FormatError):
        run.open(1).verify()


@pytest.fixture(scope="module")
def damaged(tmp_path_factory):
    run = Run(tmp_path_factory.mktemp("damaged"))
    two(run)
    path = run.directory("m-0") / "model.safetensors"
    return run, path, path.read_bytes()


def test_a_shorter_or_longer_file_is_never_loaded(run):
    two(run)
    path = run.directory("m-0") / "model.safetensors"
    data = path.read_bytes()
    for other in (data[:-1], data + b"x", b""):
        path.write_bytes(other)
        with pytest.raises(CorruptCheckpointError):
            run.open(1).tensor("model", "x", verify=False)


def test_a_directory_that_holds_another_checkpoint_of_the_same_shape_is_noticed(run, tmp_path):
    two(run)
    shutil.rmtree(run.directory("m-0"))
    write_checkpoint(run.directory("m-0"), content(tensors={"model": {"x": torch.randn(N)}}))
    with pytest.raises(CorruptCheckpointError, match="tensor 'x' differs"):
        run.open(1).tensor("model", "x")


def test_a_link_out_of_the_other_checkpoint_is_not_followed(run):
    two(run)
    path = run.directory("m-0") / "model.safetensors"
    path.rename(run.folder / "secret")
    path.symlink_to(run.folder / "secret")
    with pytest.raises(FormatError, match="symbolic link"):
        run.open(1).tensor("model", "x")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"checkpoint": "../m-0"}, r"checkpoint must be a checkpoint's id"),
        ({"checkpoint": ""}, r"checkpoint must be a checkpoint's id"),
        ({"checkpoint": "/etc"}, r"checkpoint must be a checkpoint's id"),
        ({"checkpoint": "m-0\n"}, r"checkpoint must be a checkpoint's id"),
        ({"file": "../m-1/model.safetensors"}, "is not a file name"),
        ({"file": "/etc/passwd"}, "is not a file name"),
        ({"file": MANIFEST}, "is not a file name"),
        ({"size": -1}, "size must be"),
        ({"digest": "x"}, "digest must be"),
    ],
)
def test_a_name_that_leads_elsewhere_is_refused(run, change, message):
    two(run)
    edit(run, lambda data: data["elsewhere"]["m-0/model.safetensors"].update(change))
    with pytest.raises(FormatError, match=message):
        open_checkpoint(run.directory("m-1"))


def edit(run: Run, change) -> None:
    path = run.directory("m-1") / MANIFEST
    data = json.loads(path.read_bytes())
    change(data)
    path.write_text(json.dumps(data))


def test_a_file_that_is_its_own_and_elsewhere_is_refused(run):
    two(run)
    edit(run, lambda data: data["files"].update({"m-0/model.safetensors": entry_of(data)}))
    with pytest.raises(FormatError, match=r"elsewhere\.m-0/model\.safetensors is one of"):
        open_checkpoint(run.directory("m-1"))


def entry_of(data) -> dict:
    file = data["elsewhere"]["m-0/model.safetensors"]
    return {"size": file["size"], "digest": file["digest"]}


def test_another_name_for_a_tensor_of_its_own_file_is_refused(run):
    two(run)
    edit(run, lambda data: data["tensors"]["training"]["m"].update(tensor="other"))
    with pytest.raises(FormatError, match="under its own name"):
        open_checkpoint(run.directory("m-1"))


@pytest.mark.parametrize(
    "change",
    [{"tensor": "other"}, {"shape": [2, N // 2]}, {"dtype": "int32"}],
    ids=["name", "shape", "dtype"],
)
def test_a_tensor_that_the_other_file_does_not_have_so_is_refused(run, change):
    two(run)
    edit(run, lambda data: data["tensors"]["model"]["x"].update(change))
    with pytest.raises(FormatError, match=r"m-0/model\.safetensors"):
        open_checkpoint(run.directory("m-1"), locate=run.directory).tensors("model", verify=False)
    with pytest.raises(FormatError, match=r"m-0/model\.safetensors"):
        open_checkpoint(run.directory("m-1"), locate=run.directory).verify()
