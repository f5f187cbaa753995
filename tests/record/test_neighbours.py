"""Where the other checkpoints of a run are, from where one is."""

from __future__ import annotations

from pathlib import Path

import mlflow
import pytest
from mlflow.tracking import MlflowClient

from tracker.errors import NotFoundError, RecordError
from tracker.record.neighbours import beside, download_file

pytestmark = pytest.mark.usefixtures("workplace")


@pytest.mark.parametrize(
    "root", ["/data/mlruns/1", "file:///data/mlruns/1", "s3://bucket/x", "mlflow-artifacts:/1"]
)
def test_checkpoints_lie_side_by_side(root):
    assert beside(f"{root}/models/m-2/artifacts", "m-1") == f"{root}/models/m-1/artifacts"
    assert beside(f"{root}/models/m-2/artifacts/", "m-1") == f"{root}/models/m-1/artifacts"


@pytest.mark.parametrize("uri", ["/tmp/copy", "s3://bucket/artifacts", "models/m-1/files", ""])
def test_of_a_copy_it_is_not_known_what_lies_beside_it(uri):
    assert beside(uri, "m-1") is None


def test_mlflow_puts_them_where_we_look():
    client = MlflowClient()
    one, other = (client.create_logged_model("0", name="x") for _ in range(2))
    assert beside(one.artifact_location, other.model_id) == other.artifact_location


@pytest.fixture
def store(workplace: Path) -> str:
    folder = workplace / "store" / "inner"
    folder.mkdir(parents=True)
    (folder / "file").write_text("text")
    return (workplace / "store").as_uri()


@pytest.mark.parametrize("name", ["other", "inner/other", "nowhere/file"])
def test_a_file_that_is_not_there_is_not_found(store, workplace, name):
    with pytest.raises(NotFoundError, match=f"There is no file .*{name}"):
        download_file(store, name, workplace / "here")


def test_one_file_is_downloaded_alone(store, workplace):
    (workplace / "here").mkdir()
    path = download_file(store, "inner/file", workplace / "here")
    assert path.read_text() == "text"
    assert [p for p in (workplace / "here").rglob("*") if p.is_file()] == [path]


def test_another_failure_is_not_taken_for_a_missing_file(store, workplace, monkeypatch):
    def refuse(**_: object) -> None:
        raise mlflow.MlflowException("no permission")

    monkeypatch.setattr(mlflow.artifacts, "download_artifacts", refuse)
    with pytest.raises(RecordError, match="no permission"):
        download_file(store, "inner/file", workplace)
