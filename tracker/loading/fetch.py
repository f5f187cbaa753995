"""Gets the files of a checkpoint: local ones stay where they are, others come into the cache."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from tracker import settings
from tracker.errors import NotFoundError, StorageError
from tracker.format import MANIFEST, StoredCheckpoint, open_checkpoint
from tracker.record import artifacts
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
    return open_checkpoint(directory, manifest_digest=record.manifest_digest)


def is_local(record: CheckpointRecord) -> bool:
    """Return whether the files lie in a store on this machine."""
    return artifacts.local_directory(record.artifact_uri) is not None


def is_at_hand(record: CheckpointRecord) -> bool:
    """Return whether the files lie on this machine, in a local store or fetched before."""
    return is_local(record) or (_cache(record) / MANIFEST).is_file()


def _cache(record: CheckpointRecord) -> Path:
    name = f"{record.id}-{record.manifest_digest[:16]}"
    return settings.cache_directory() / "checkpoints" / name


def _cached(record: CheckpointRecord) -> Path:
    """Return the cached files; they are downloaded beside and renamed, so never seen half there."""
    target = _cache(record)
    folder = target.parent
    if (target / MANIFEST).is_file():
        return target
    try:
        folder.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(prefix=f".{record.id}-", dir=folder))
    except OSError as error:
        raise StorageError(f"The cache {folder} can't be written: {error.strerror}.") from error
    try:
        artifacts.download(record.artifact_uri, temporary)
        open_checkpoint(temporary, manifest_digest=record.manifest_digest)
        _rename(temporary, target)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return target


def _rename(temporary: Path, target: Path) -> None:
    try:
        os.rename(temporary, target)
    except OSError as error:
        # Another process was faster: its copy is as good.
        if not (target / MANIFEST).is_file():
            raise StorageError(f"{target} can't be written: {error.strerror}.") from error
