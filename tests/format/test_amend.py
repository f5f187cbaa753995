"""A checkpoint that waited on the disk gets its run and its ``MLmodel``; all else stays."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from tracker.errors import FormatError, InvalidArgumentError, StorageError
from tracker.format import MANIFEST, Written, amend_manifest, open_checkpoint, write_checkpoint
from tracker.format.digests import digest
from tracker.format.manifest import to_bytes

from .examples import bits, content

MLMODEL = b"model_id: m-1\n"


@pytest.fixture
def waiting(tmp_path: Path) -> tuple[Path, Written]:
    directory = tmp_path / "checkpoint"
    return directory, write_checkpoint(directory, content(run_id="", extra_files={}))


def amend(directory: Path, run_id: str = "9a1b", mlmodel: bytes = MLMODEL) -> Written:
    return amend_manifest(directory, run_id=run_id, extra_files={"MLmodel": mlmodel})


def test_it_has_its_run_and_the_file_and_is_otherwise_as_it_was(waiting):
    directory, before = waiting
    after = amend(directory)
    stored = open_checkpoint(directory, manifest_digest=after.manifest_digest)
    stored.verify()
    assert stored.read_file("MLmodel") == MLMODEL
    files = {name: entry for name, entry in after.manifest.files.items() if name != "MLmodel"}
    assert files == before.manifest.files
    unchanged = replace(after.manifest, run_id="", files=files)
    assert to_bytes(unchanged) == to_bytes(before.manifest)
    assert after.manifest.run_id == "9a1b"


def test_it_is_what_would_have_been_written_at_once(waiting, tmp_path):
    at_once = write_checkpoint(
        tmp_path / "other", content(run_id="9a1b", extra_files={"MLmodel": MLMODEL})
    )
    amended = amend(waiting[0])
    assert (amended.manifest_digest, amended.size) == (at_once.manifest_digest, at_once.size)
    assert amended.manifest_digest == digest((waiting[0] / MANIFEST).read_bytes())


def test_amending_again_is_amending_once(waiting):
    assert amend(waiting[0]).manifest_digest == amend(waiting[0]).manifest_digest


def test_the_last_amendment_counts(waiting):
    amend(waiting[0], "first", b"model_id: m-0\n")
    after = amend(waiting[0], "second", MLMODEL)
    stored = open_checkpoint(waiting[0], manifest_digest=after.manifest_digest)
    stored.verify()
    assert (stored.manifest.run_id, stored.read_file("MLmodel")) == ("second", MLMODEL)


@pytest.mark.parametrize(
    "name", ["model.safetensors", "source/vision/net.py", MANIFEST, "../x", "/x", "a//b"]
)
def test_nothing_that_it_has_can_be_replaced(waiting, name):
    before = {path: path.read_bytes() for path in waiting[0].rglob("*") if path.is_file()}
    with pytest.raises(InvalidArgumentError):
        amend_manifest(waiting[0], run_id="9a1b", extra_files={"notes": b"", name: b"x"})
    assert {p: p.read_bytes() for p in waiting[0].rglob("*") if p.is_file()} == before


def test_a_directory_without_a_manifest_is_none_to_amend(tmp_path):
    with pytest.raises(FormatError, match=r"holds no checkpoint\.json"):
        amend(tmp_path)
    assert os.listdir(tmp_path) == []


def test_a_disk_that_refuses_the_manifest_leaves_the_checkpoint_as_it_was(waiting, monkeypatch):
    directory, before = waiting
    rename = os.replace

    def refuse(source: Path, target: Path) -> None:
        if Path(target).name == MANIFEST:
            raise OSError(28, "No space left on device")
        rename(source, target)

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StorageError, match="the disk is full"):
        amend(directory)
    stored = open_checkpoint(directory, manifest_digest=before.manifest_digest)
    stored.verify()
    weights = content().tensors["model"]
    assert bits(stored.tensor("model", "steps")) == bits(weights["steps"])
    monkeypatch.undo()
    amend(directory)
    open_checkpoint(directory).verify()


def test_the_file_is_on_the_disk_before_the_manifest_that_names_it(waiting, monkeypatch):
    named: list[str] = []
    rename = os.replace

    def recording(source: Path, target: Path) -> None:
        rename(source, target)
        named.append(Path(target).name)

    monkeypatch.setattr(os, "replace", recording)
    amend(waiting[0])
    assert named == ["MLmodel", MANIFEST]
