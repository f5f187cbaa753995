"""Gets the files of a checkpoint: local ones stay where they are, others come into the cache."""

from __future__ import annotations

import os
from pathlib import Path

from tracker.errors import NotFoundError, StorageError
from tracker.format import MANIFEST, StoredCheckpoint, open_checkpoint
from tracker.record import artifacts, cache
from tracker.record.locate import locator
from tracker.types import CheckpointRecord


def fetch(record: CheckpointRecord) -> StoredCheckpoint:
    """Return the checkpoint's files, opened, its manifest checked against the record's digest.

    Raises:
        NotFoundError: The files are gone.
        CorruptCheckpointError: The manifest is not the one that was written.
        RecordError: The artifact store can't be reached.
    """
    directory = artifacts.local_directory(record.artifact_uri)
    if directory is None:
        directory = _cached(record)
    elif not directory.is_dir():
        raise NotFoundError(
            f"The files of checkpoint {record.id} are not in {directory}: they were deleted or "
            "moved, or lie on another machine."
        )
    return open_checkpoint(
        directory,
        manifest_digest=record.manifest_digest,
        locate=locator(record.artifact_uri),
    )


def is_local(record: CheckpointRecord) -> bool:
    """Return whether the files lie in a store on this machine."""
    return artifacts.local_directory(record.artifact_uri) is not None


def is_at_hand(record: CheckpointRecord) -> bool:
    """Return whether the files lie on this machine, in a local store or fetched before."""
    return is_local(record) or (_cache(record) / MANIFEST).is_file()


def _cache(record: CheckpointRecord) -> Path:
    name = f"{record.id}-{record.manifest_digest[:16]}"
    return cache.folder() / name


def _cached(record: CheckpointRecord) -> Path:
    """Return the cached files; they are downloaded beside and renamed, so never seen half there."""
    target = _cache(record)
    if (target / MANIFEST).is_file():
        return target
    with cache.arriving(record.id) as temporary:
        artifacts.download(record.artifact_uri, temporary)
        manifest = open_checkpoint(temporary, manifest_digest=record.manifest_digest).manifest
        # What is in the cache can be loaded without the store, so all that it needs is there.
        for file in manifest.elsewhere.values():
            locator(record.artifact_uri)(file.checkpoint, file.file)
        _rename(temporary, target)
    return target


def _rename(temporary: Path, target: Path) -> None:
    try:
        os.rename(temporary, target)
    except OSError as error:
        # Another process was faster: its copy is as good.
        if not (target / MANIFEST).is_file():
            raise StorageError(f"{target} can't be written: {error.strerror}.") from error
