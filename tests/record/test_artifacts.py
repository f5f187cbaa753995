from __future__ import annotations

from pathlib import Path

import pytest

from tests.training import log
from tracker.errors import NotFoundError, StorageError
from tracker.format import open_checkpoint
from tracker.record import artifacts

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.mark.parametrize(
    ("uri", "directory"),
    [
        ("/data/mlruns/1", Path("/data/mlruns/1")),
        ("file:///data/mlruns/1", Path("/data/mlruns/1")),
        ("file:/data/mlruns/1", Path("/data/mlruns/1")),
        ("file:///data/my%20runs/1", Path("/data/my runs/1")),
        ("mlruns/1", Path("mlruns/1")),
        ("C:/runs", Path("C:/runs")),
        ("s3://bucket/1", None),
        ("mlflow-artifacts:/1/models", None),
        ("http://host/api", None),
        ("dbfs:/mlflow", None),
    ],
)
def test_local_stores_are_told_from_remote_ones(uri: str, directory: Path | None) -> None:
    assert artifacts.local_directory(uri) == directory


def test_a_download_brings_every_file(tmp_path: Path) -> None:
    checkpoint = log(epoch=1)
    artifacts.download(checkpoint.record.artifact_uri, tmp_path / "there")
    open_checkpoint(tmp_path / "there").verify()


def test_a_download_from_a_store_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no files under"):
        artifacts.download(str(tmp_path / "nowhere"), tmp_path / "there")


def test_a_download_to_a_place_that_can_not_be_made_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StorageError, match="can't be created"):
        artifacts.download(str(tmp_path), tmp_path / "file" / "there")
