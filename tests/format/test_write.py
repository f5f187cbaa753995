from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.system.processes import PYTHON, Finished, run
from tracker.errors import InvalidArgumentError, StorageError, UnstorableError
from tracker.format import (
    MANIFEST,
    SourceEntry,
    StoredCheckpoint,
    open_checkpoint,
    write_checkpoint,
)
from tracker.format.digests import digest
from tracker.format.header import read_header_bytes

from .examples import content


def files_of(directory: Path) -> list[str]:
    return sorted(str(p.relative_to(directory)) for p in directory.rglob("*") if p.is_file())


def test_a_checkpoint_is_these_files(original):
    assert files_of(original[0]) == [
        "MLmodel",
        "architecture.safetensors",
        "checkpoint.json",
        "model.safetensors",
        "source/vision/net.py",
        "training.safetensors",
    ]


def test_a_group_without_tensors_has_no_file(tmp_path):
    written = write_checkpoint(tmp_path, content(tensors={"model": {}}, source=[], extra_files={}))
    assert files_of(tmp_path) == [MANIFEST]
    assert written.manifest.tensors == {}


def test_what_is_returned_is_what_is_on_the_disk(original):
    directory, written = original
    data = (directory / MANIFEST).read_bytes()
    assert written.manifest_digest == digest(data)
    assert written.size == sum(p.stat().st_size for p in directory.rglob("*") if p.is_file())
    read = open_checkpoint(directory, manifest_digest=written.manifest_digest).manifest
    assert repr(read.metrics.pop("broken")) == "nan"
    assert read == replace(written.manifest, metrics={"val_loss": 0.25, "top": float("inf")})


def test_the_manifest_has_the_size_and_digest_of_every_other_file(original):
    directory, written = original
    entries = written.manifest.files
    assert sorted([*entries, MANIFEST]) == files_of(directory)
    for name, entry in entries.items():
        path = directory / name
        assert entry.size == path.stat().st_size
        data = path.read_bytes()
        if name.endswith(".safetensors"):
            with path.open("rb") as file:
                data = read_header_bytes(file, entry.size, name)
        assert entry.digest == digest(data)


def test_one_tensor_under_two_names_is_stored_once(original):
    entries = original[1].manifest.tensors["model"]
    assert entries["head.weight"].same_as == "embed.weight"
    assert entries["head.weight"].digest == entries["embed.weight"].digest
    assert entries["embed.weight"].same_as is None
    # 48 bytes of the tied tensor, 16 of the bias, 8 of the counter, after a header of full 64s.
    assert original[1].manifest.files["model.safetensors"].size % 64 == (48 + 16 + 8) % 64


def test_equal_content_gives_equal_files(tmp_path, original):
    write_checkpoint(tmp_path / "again", content())
    for name in files_of(original[0]):
        assert (tmp_path / "again" / name).read_bytes() == (original[0] / name).read_bytes()


def test_a_checkpoint_is_never_written_over(tmp_path):
    write_checkpoint(tmp_path, content())
    before = (tmp_path / MANIFEST).read_bytes()
    with pytest.raises(StorageError, match="already holds a checkpoint"):
        write_checkpoint(tmp_path, content(name="other"))
    assert (tmp_path / MANIFEST).read_bytes() == before


@pytest.mark.parametrize(
    "extra",
    ["../x", "/x", "checkpoint.json", "model.safetensors", "source/vision/net.py", "a\\b"],
)
def test_a_file_name_that_a_checkpoint_can_not_have_is_refused(tmp_path, extra):
    with pytest.raises(InvalidArgumentError):
        write_checkpoint(tmp_path / "x", content(extra_files={extra: b""}))
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize(
    "changes",
    [
        {"tensors": {"training": {"x": torch.zeros(2).to_sparse()}}},
        {"tensors": {"training": {"__metadata__": torch.zeros(2)}}},
        {"environment": {"x": object()}},
        {"tags": {"x": 1}},
        {"created_at": 1.5},
        {"source": [(SourceEntry("a", "", 1, False, "source/a.py"), b"")]},  # type: ignore
    ],
    ids=["sparse", "reserved name", "no JSON", "tag", "time", "source"],
)
def test_content_that_has_no_place_in_the_format_leaves_nothing_behind(tmp_path, changes):
    with pytest.raises(UnstorableError):
        write_checkpoint(tmp_path / "a" / "b", content(**changes))
    assert os.listdir(tmp_path) == []


def test_files_of_others_in_the_directory_stay(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(UnstorableError):
        write_checkpoint(tmp_path, content(environment={"x": object()}))
    assert files_of(tmp_path) == ["notes.txt"]


def test_a_file_where_a_directory_must_be_is_a_storage_error(tmp_path):
    (tmp_path / "source").write_text("mine")
    with pytest.raises(StorageError, match="source"):
        write_checkpoint(tmp_path, content())
    assert files_of(tmp_path) == ["source"]


def test_a_directory_that_may_not_be_written_is_a_storage_error():
    # Even root can't create files in /proc.
    with pytest.raises(StorageError, match="/proc"):
        write_checkpoint(Path("/proc/checkpoint"), content())


def test_the_checkpoint_is_a_snapshot_that_later_changes_do_not_touch(tmp_path):
    weight = torch.zeros(3)
    write_checkpoint(tmp_path, content(tensors={"model": {"w": weight}}))
    weight.fill_(1)
    stored = open_checkpoint(tmp_path)
    assert isinstance(stored, StoredCheckpoint)
    assert stored.tensor("model", "w").sum() == 0


def test_every_file_is_flushed_before_it_gets_its_name_and_the_manifest_is_the_last(
    tmp_path, monkeypatch
):
    events: list[tuple[str, str]] = []
    fsync, replace_file = os.fsync, os.replace

    def recording_fsync(descriptor: int) -> None:
        fsync(descriptor)
        events.append(("flush", os.readlink(f"/proc/self/fd/{descriptor}")))

    def recording_replace(source: Path, target: Path) -> None:
        replace_file(source, target)
        events.append((str(source), str(target)))

    monkeypatch.setattr(os, "fsync", recording_fsync)
    monkeypatch.setattr(os, "replace", recording_replace)
    directory = tmp_path.resolve() / "x"
    write_checkpoint(directory, content())

    named = [(source, target) for source, target in events if source != "flush"]
    assert all(events.index(("flush", s)) < events.index((s, t)) for s, t in named)
    manifest = events.index((named[-1][0], str(directory / MANIFEST)))
    before, after = events[:manifest], events[manifest + 1 :]
    flushed = {path for kind, path in before if kind == "flush"}
    folders = {directory, directory / "source", directory / "source" / "vision", tmp_path.resolve()}
    assert flushed >= {str(path) for path in folders}
    assert after == [("flush", str(directory))]


_WRITER = """
import resource, signal, sys
from pathlib import Path
import torch
from tracker.errors import StorageError
from tracker.format import Content, write_checkpoint
from tracker.types import Architecture

directory, die, sizes = Path(sys.argv[1]), sys.argv[2] == "die", map(int, sys.argv[3:])
model, training, manifest = (size << 10 for size in sizes)
content = Content(
    name="x", run_id="r", created_at=0, architecture=Architecture("none", "m:N", "N()"),
    tensors={"model": {"w": torch.zeros(model, dtype=torch.uint8)},
             "training": {"m": torch.zeros(training, dtype=torch.uint8)}},
    environment={"text": "x" * manifest},
)
# The kernel ends a process that writes beyond its limit, there and then, like kill -9.
signal.signal(signal.SIGXFSZ, signal.SIG_DFL if die else signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))
try:
    write_checkpoint(directory, content)
except StorageError as error:
    sys.exit(f"StorageError: {error}")
"""

# Kilobytes of model, training state and manifest, of which one does not fit into 1 MB.
_TOO_LARGE = [(3000, 1, 1), (1, 3000, 1), (1, 1, 3000)]


def run_writer(directory: Path, end: str, sizes: tuple[int, ...]) -> Finished:
    command = (PYTHON, "-c", _WRITER, str(directory), end, *map(str, sizes))
    return run(*command, directory=directory.parent, variables=dict(os.environ))


@pytest.mark.parametrize("sizes", _TOO_LARGE, ids=["model", "training", "manifest"])
def test_a_process_that_dies_in_a_write_leaves_no_manifest(tmp_path, sizes):
    result = run_writer(tmp_path / "x", "die", sizes)
    assert result.returncode < 0, result.stderr
    left = files_of(tmp_path / "x")
    assert MANIFEST not in left
    assert any(name.endswith(".partial") for name in left)


@pytest.mark.parametrize("sizes", _TOO_LARGE, ids=["model", "training", "manifest"])
def test_a_full_disk_is_a_storage_error_that_leaves_nothing_behind(tmp_path, sizes):
    result = run_writer(tmp_path / "x", "raise", sizes)
    assert "StorageError" in result.stderr
    assert "larger than this system or file system allows" in result.stderr
    assert "It needs 3" in result.stderr
    assert os.listdir(tmp_path) == []


def test_the_writer_of_these_tests_writes_what_fits(tmp_path):
    result = run_writer(tmp_path / "x", "raise", (1, 1, 1))
    assert result.returncode == 0, result.stderr
    open_checkpoint(tmp_path / "x").verify()


def test_a_manifest_that_nobody_could_read_is_not_written(tmp_path, monkeypatch):
    monkeypatch.setattr("tracker.format.commit.MAX_PLAIN_FILE", 10_000)
    with pytest.raises(UnstorableError, match="The manifest would have"):
        write_checkpoint(tmp_path / "x", content(environment={"long": "x" * 10_000}))
    assert os.listdir(tmp_path) == []
