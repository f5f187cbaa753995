"""What a checkpoint consists of, and what is said where that can't be read."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import pytest
from torch import nn

import tracker
from tests.catalog.examples import record
from tracker.errors import RecordUnreachableError
from tracker.server import contents
from tracker.server.contents import Contents, Reader, Unavailable
from tracker.types import CheckpointRecord


@pytest.fixture
def logged(workplace: Path) -> CheckpointRecord:
    """The second epoch of a run whose body did not change after the first."""
    model = nn.Sequential(nn.Linear(100, 100), nn.Linear(100, 2))
    for epoch in (0, 1):
        model[1].bias.data += 1.0
        tracker.log_checkpoint(model, epoch=epoch, metrics={"val_loss": 0.5}, wait=True)
    return tracker.get_checkpoint(epoch=1).record


def test_a_manifest_tells_tree_files_references_and_provenance(logged: CheckpointRecord) -> None:
    first = tracker.get_checkpoint(epoch=0)

    found = Reader().read(logged)

    assert isinstance(found, Contents)
    assert found.tree is not None
    assert found.tree.root.parameters == 10_302
    assert dict(found.files)["model.safetensors"] > 0
    assert sum(size for _, size in found.files) == logged.size
    assert {file.checkpoint for file in found.elsewhere} == {first.id}
    assert found.tensors == {"model": 4}
    assert "Host" in dict(found.provenance)
    assert found.packages["torch"]


def test_what_was_damaged_is_told_and_not_shown(logged: CheckpointRecord) -> None:
    manifest = Path(logged.artifact_uri.removeprefix("file://")) / "checkpoint.json"
    manifest.write_bytes(manifest.read_bytes().replace(b"val_loss", b"val_lost"))

    found = Reader().read(logged)

    assert isinstance(found, Unavailable)
    assert "checkpoint.json" in found.message


def test_a_manifest_too_large_for_a_page_is_not_read(
    logged: CheckpointRecord, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contents, "LARGEST_MANIFEST", 100)

    found = Reader().read(logged)

    assert isinstance(found, Unavailable)
    assert "pages show those up to 100" in found.message


def test_files_that_are_gone_are_told_apart_from_a_store_that_does_not_answer(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def unreachable(*_: Any) -> None:
        raise RecordUnreachableError("The store can't be reached.")

    gone = Reader().read(record(1, artifact_uri="/nowhere/m-1/artifacts"))
    monkeypatch.setattr(contents, "fetch", unreachable)
    away = Reader().read(record(1))

    assert gone == Unavailable(True, "The files were deleted or moved, or lie on another machine.")
    assert away == Unavailable(False, "The store can't be reached.")


def test_a_store_that_hangs_keeps_neither_this_page_nor_the_next_waiting(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    over = threading.Event()

    def hanging(*_: Any) -> None:
        over.wait(60)
        raise RecordUnreachableError("at last")

    monkeypatch.setattr(contents, "fetch", hanging)
    monkeypatch.setattr(contents, "SECONDS", 0.05)
    reader = Reader()

    try:
        first = [reader.read(record(number)) for number in range(4)]
        fifth = reader.read(record(5))
    finally:
        over.set()

    assert all(isinstance(each, Unavailable) and not each.gone for each in first)
    assert isinstance(fifth, Unavailable)
    assert "other pages wait for it already" in fifth.message
