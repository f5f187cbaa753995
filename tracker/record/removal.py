"""How the files of a checkpoint leave the artifact store: the manifest first.

In a local store the manifest gets another name, so that whoever finds the rest of the directory,
after a death in the middle, knows that it was to be removed. A reader meanwhile finds no manifest,
or what it has mapped already stays mapped.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import re
from collections.abc import Collection
from pathlib import Path

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking import MlflowClient

from tracker.errors import RecordError, RecordUnreachableError, StorageError
from tracker.format.files import PARTIAL
from tracker.format.layout import MANIFEST, REMOVED
from tracker.record import artifacts
from tracker.record.boundary import mlflow_errors

_log = logging.getLogger("tracker.deleting")


def announce(step: str, model_id: str) -> None:
    """Say which step of a deletion is done, to whoever debugs or tests it."""
    _log.debug("%s: %s", step, model_id)


def remove_files(
    client: MlflowClient, model_id: str, artifact_uri: str, *, keep: Collection[str] = ()
) -> None:
    """Remove the files of a logged model that is no checkpoint any more; again is right, too.

    Args:
        client: MLflow.
        model_id: The logged model.
        artifact_uri: Where its files are.
        keep: The names of those that stay, because others need them.

    Raises:
        StorageError: The disk refused, or this is not a place where MLflow puts the files of this
            logged model, and of nothing else.
        RecordError: The store does not let them be deleted. If its logged model is deleted, `mlflow
            gc` does it later.
        RecordUnreachableError: The store could not be reached.
    """
    _check_place(model_id, artifact_uri)
    directory = artifacts.local_directory(artifact_uri)
    if directory is not None:
        _remove_local(model_id, directory, keep)
    else:
        _remove_remote(client, model_id, artifact_uri, keep)


def _check_place(model_id: str, artifact_uri: str) -> None:
    # MLflow lets anyone say where the files of a logged model are: never more than its own folder.
    place = re.fullmatch(r".+/([^/]+)/artifacts/?", artifact_uri)
    if place is None or place[1] != model_id or "/../" in artifact_uri:
        raise StorageError(
            f"{artifact_uri} is not where MLflow puts the files of {model_id}, which end with "
            f"/{model_id}/artifacts; nothing is removed there."
        )


def _remove_local(model_id: str, directory: Path, keep: Collection[str]) -> None:
    try:
        if not directory.is_dir():
            return
        manifest, removed = directory / MANIFEST, directory / REMOVED
        # Whatever is here may go at any moment: another process may be removing the same.
        with contextlib.suppress(FileNotFoundError):
            os.replace(manifest, removed)
        announce("manifest removed", model_id)
        for root, folders, files in os.walk(directory, topdown=False):
            for name in files:
                path = Path(root, name)
                if path != removed and path.relative_to(directory).as_posix() not in keep:
                    path.unlink(missing_ok=True)
            for name in folders:
                _remove_folder(Path(root, name))
        announce("files removed", model_id)
        if not keep:
            _remove_folder_of(removed)
            _remove_folder(directory.parent)
    except OSError as error:
        raise StorageError(
            f"The files of {model_id} in {directory} can't be removed: {error.strerror}."
        ) from error


def _remove_folder(path: Path) -> None:
    """Remove a folder, if it is empty and there; of a link to one, the link."""
    if path.is_symlink():
        path.unlink(missing_ok=True)
        return
    try:
        path.rmdir()
    except FileNotFoundError:
        return
    except OSError as error:
        if error.errno not in (errno.ENOTEMPTY, errno.EEXIST):
            raise


def _remove_folder_of(removed: Path) -> None:
    """Remove an artifacts folder that holds no more than what the manifest is called now."""
    # Moved out of the way first: a reader finds the folder with its mark, or none.
    directory = removed.parent
    if directory.is_symlink() or not removed.exists():
        removed.unlink(missing_ok=True)
        _remove_folder(directory)
        return
    aside = directory.with_name(f".{directory.name}{PARTIAL}")
    try:
        os.replace(directory, aside)
    except FileNotFoundError:
        return
    (aside / removed.name).unlink(missing_ok=True)
    _remove_folder(aside)


def _remove_remote(
    client: MlflowClient, model_id: str, artifact_uri: str, keep: Collection[str]
) -> None:
    try:
        with mlflow_errors(f"removing the files of {model_id}", client.tracking_uri):
            store = get_artifact_repository(artifact_uri, tracking_uri=client.tracking_uri)
            store.delete_artifacts(MANIFEST)  # type: ignore[no-untyped-call]
            announce("manifest removed", model_id)
            if keep:
                for entry in store.list_artifacts():
                    if not any(f"{name}/".startswith(f"{entry.path}/") for name in keep):
                        store.delete_artifacts(entry.path)  # type: ignore[no-untyped-call]
            else:
                store.delete_artifacts()  # type: ignore[no-untyped-call]
            announce("files removed", model_id)
    except RecordUnreachableError:
        raise
    except RecordError as error:
        raise RecordError(
            f"The artifact store does not let the files of {model_id} be deleted; `mlflow gc` "
            f"removes them later. ({error})"
        ) from error
