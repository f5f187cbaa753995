"""Finds the files that earlier checkpoints of a run hold for later ones."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from tracker.errors import NotFoundError, StorageError
from tracker.format import Locate
from tracker.record import artifacts, cache, neighbours


def locator(artifact_uri: str) -> Locate:
    """Return what finds the checkpoints that lie in the same store as a checkpoint.

    Files of a local store stay where they are. From a remote one only the file that is needed
    comes into the cache; checkpoints don't change, so what is there is good.

    Args:
        artifact_uri: Where the files are of the checkpoint that refers to others.
    """

    def locate(checkpoint_id: str, file: str) -> Path:
        for cached in cache.directories(checkpoint_id):
            if (cached / file).is_file():
                return cached
        for uri in _places(artifact_uri, checkpoint_id):
            directory = _directory(uri, checkpoint_id, file)
            if directory is not None:
                return directory
        raise NotFoundError(
            f"the file {file} of checkpoint {checkpoint_id} is gone: it was deleted or moved"
        )

    return locate


def _places(artifact_uri: str, checkpoint_id: str) -> Iterator[str]:
    """Yield where a checkpoint's files may be; MLflow is asked only if that was not enough."""
    beside = neighbours.beside(artifact_uri, checkpoint_id)
    if beside is not None:
        yield beside
    # The checkpoint that refers to it may be a copy, which MLflow's own tools download.
    from tracker.record import logged_models

    try:
        yield logged_models.artifact_uri(checkpoint_id)
    except NotFoundError:
        return  # it was deleted in MLflow


def _directory(uri: str, checkpoint_id: str, file: str) -> Path | None:
    local = artifacts.local_directory(uri)
    if local is not None:
        return local if os.path.lexists(local / file) else None
    try:
        return _fetched(uri, checkpoint_id, file)
    except NotFoundError:
        return None


def _fetched(uri: str, checkpoint_id: str, file: str) -> Path:
    directory = cache.folder() / checkpoint_id
    with cache.arriving(checkpoint_id) as temporary:
        path = neighbours.download_file(uri, file, temporary)
        try:
            (directory / file).parent.mkdir(parents=True, exist_ok=True)
            os.replace(path, directory / file)
        except OSError as error:
            raise StorageError(f"{directory} can't be written: {error.strerror}.") from error
    return directory
