"""How files leave the store: no more than those of the checkpoint, and the manifest first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository
from mlflow.tracking import MlflowClient

from tracker.errors import RecordError, StorageError
from tracker.format.layout import MANIFEST, REMOVED
from tracker.record import removal
from tracker.record.removal import remove_files

ID = "m-" + "a" * 32


@pytest.fixture
def client(workplace: Path) -> MlflowClient:
    return MlflowClient()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of a checkpoint, where MLflow puts them."""
    made = tmp_path / "models" / ID / "artifacts"
    (made / "source").mkdir(parents=True)
    for name in ("checkpoint.json", "model.safetensors", "training.safetensors", "source/a.py"):
        (made / name).write_text(name)
    return made


def test_all_files_go_and_their_folders(client: MlflowClient, folder: Path) -> None:
    remove_files(client, ID, str(folder))
    assert list(folder.parents[1].iterdir()) == []
    remove_files(client, ID, str(folder))  # again is right, too


def test_several_may_remove_the_same_at_the_same_time(client: MlflowClient, tmp_path: Path) -> None:
    for number in range(50):
        folder = tmp_path / str(number) / "m-1" / "artifacts"
        (folder / "source").mkdir(parents=True)
        for name in (MANIFEST, "model.safetensors", "source/net.py"):
            (folder / name).write_text("what was written")
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(lambda uri: remove_files(client, "m-1", uri), [folder.as_uri()] * 4))
        assert not folder.parent.exists()


def test_what_others_need_stays_without_the_manifest(client: MlflowClient, folder: Path) -> None:
    for _ in range(2):
        remove_files(client, ID, folder.as_uri(), keep=["model.safetensors"])
        assert {path.name for path in folder.iterdir()} == {"model.safetensors", REMOVED}
    remove_files(client, ID, str(folder))
    assert not folder.parent.exists()


def test_a_file_that_a_user_laid_beside_the_folder_stays(
    client: MlflowClient, folder: Path
) -> None:
    (folder.parent / "notes.txt").write_text("mine")
    remove_files(client, ID, str(folder))
    assert [path.name for path in folder.parent.iterdir()] == ["notes.txt"]


def test_links_are_removed_and_not_followed(
    client: MlflowClient, folder: Path, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "thesis.tex").write_text("years")
    (folder / "link").symlink_to(precious)
    (folder / "file").symlink_to(precious / "thesis.tex")
    remove_files(client, ID, str(folder))
    assert (precious / "thesis.tex").read_text() == "years"
    assert not folder.exists()


def test_a_folder_that_was_moved_and_linked_is_emptied(
    client: MlflowClient, folder: Path, tmp_path: Path
) -> None:
    folder.rename(tmp_path / "larger-disk")
    folder.symlink_to(tmp_path / "larger-disk")
    remove_files(client, ID, str(folder))
    assert not folder.is_symlink()
    assert list((tmp_path / "larger-disk").iterdir()) == []


@pytest.mark.parametrize(
    "place", ["", "/", "/models", "/models/m-other/artifacts", f"/{ID}", f"/{ID}/artifacts/source"]
)
def test_no_other_place_is_touched(client: MlflowClient, folder: Path, place: str) -> None:
    with pytest.raises(StorageError, match="is not where MLflow puts the files of"):
        remove_files(client, ID, f"{folder.parents[2]}{place}")
    assert len(list(folder.rglob("*"))) == 5


def test_a_store_that_deletes_nothing_is_told(
    client: MlflowClient, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Writable(LocalArtifactRepository):
        def delete_artifacts(self, artifact_path: str | None = None) -> None:
            raise NotImplementedError

    def store(*_: Any, **__: Any) -> Writable:
        return Writable(str(folder))

    monkeypatch.setattr(removal, "get_artifact_repository", store)
    with pytest.raises(RecordError, match="`mlflow gc` removes them later"):
        remove_files(client, ID, f"archive://tapes/{ID}/artifacts")
