"""Files beside the model come back as they were, and only when somebody asks for them."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest

import tracker
from tests.models import Net
from tests.training import log
from tracker import Checkpoint
from tracker.errors import CorruptCheckpointError, InvalidArgumentError, NotFoundError
from tracker.record import artifacts

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.fixture
def checkpoint() -> Checkpoint:
    return log(epoch=1, files={"vocab/en.txt": b"a b", "classes.json": b"[]"})


def test_files_are_listed_and_read_by_their_names(checkpoint: Checkpoint) -> None:
    assert checkpoint.files == ("classes.json", "vocab/en.txt")
    assert checkpoint.read_file("vocab/en.txt") == b"a b"
    assert log(epoch=2).files == ()


def test_a_name_that_there_is_not_is_answered_with_those_that_there_are(
    checkpoint: Checkpoint,
) -> None:
    with pytest.raises(NotFoundError, match=r"no file 'classes\.jsn'.*'classes\.json'\?"):
        checkpoint.read_file("classes.jsn")
    with pytest.raises(NotFoundError, match=r"no file 'MLmodel'"):
        checkpoint.read_file("MLmodel")
    with pytest.raises(NotFoundError, match="none"):
        log(epoch=2).read_file("x")
    with pytest.raises(InvalidArgumentError):
        checkpoint.read_file(3)  # type: ignore[arg-type]


def test_a_changed_byte_is_noticed(checkpoint: Checkpoint) -> None:
    (Path(checkpoint.record.artifact_uri) / "files" / "classes.json").write_bytes(b"[1")
    with pytest.raises(CorruptCheckpointError, match=r"files/classes\.json"):
        checkpoint.read_file("classes.json")
    assert checkpoint.load_model()


def test_of_a_remote_store_they_come_when_they_are_asked_for(
    checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch, workplace: Path
) -> None:
    monkeypatch.setattr(artifacts, "local_directory", lambda uri: None)
    checkpoint.load_model()
    assert not list((workplace / "cache").rglob("classes.json"))
    assert checkpoint.read_file("classes.json") == b"[]"


def test_a_registered_version_has_them_too(checkpoint: Checkpoint, tmp_path: Path) -> None:
    version = checkpoint.register("net")
    folder = mlflow.artifacts.download_artifacts(version.uri, dst_path=str(tmp_path / "version"))
    assert (Path(folder) / "files" / "classes.json").read_bytes() == b"[]"


def test_a_checkpoint_that_was_in_the_spool_has_them_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRACKER_OFFLINE", "1")
    tracker.log_checkpoint(Net(hidden=4, depth=2), epoch=1, files={"a": b"1"}, wait=True)
    monkeypatch.delenv("TRACKER_OFFLINE")
    from tracker.api import sync

    sync()
    assert tracker.get_checkpoint(epoch=1).read_file("a") == b"1"
