"""Writes the files of a registered version: whole, verified, needing no other checkpoint's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.format import (
    MANIFEST,
    StoredCheckpoint,
    Written,
    content_of,
    write_checkpoint,
)
from tracker.loading.fetch import fetch, verified
from tracker.record import artifacts, cache, copies, flavor_file, transfer
from tracker.types import CheckpointRecord

if TYPE_CHECKING:
    from tracker.record.boundary import Client


def write_whole(client: Client, record: CheckpointRecord, copy: copies.Copy) -> Written:
    """Write a checkpoint once more, as a logged model that needs no other.

    Args:
        client: MLflow.
        record: The checkpoint; one of a remote store is fetched first.
        copy: The PENDING logged model.

    Raises:
        NotFoundError: Files of the checkpoint are gone.
        CorruptCheckpointError: They are not what was written.
        RecordError: The artifact store refused or could not be reached.
        StorageError: The disk refused.
    """
    stored = fetch(record, check=verified(None))
    directory = artifacts.local_directory(copy.artifact_uri)
    if directory is not None:
        return _write(stored, directory, copy)
    with cache.arriving() as temporary:
        written = _write(stored, temporary / copy.id, copy)
        transfer.upload(client, copy.id, temporary / copy.id, last=MANIFEST)
        return written


def _write(stored: StoredCheckpoint, directory: Path, copy: copies.Copy) -> Written:
    # No hard links, though they would be free: who writes into the checkpoint's file would write
    # into the version's.
    content = content_of(stored)
    files = {**content.extra_files, **_files_of_its_own(stored, copy)}
    return write_checkpoint(directory, replace(content, extra_files=files))


def _files_of_its_own(stored: StoredCheckpoint, copy: copies.Copy) -> Mapping[str, bytes]:
    """Return the files that a version has instead of the checkpoint's, or beside them."""
    manifest = stored.manifest
    return flavor_file.flavor_files(
        copy.id,
        manifest.run_id,
        manifest.architecture,
        manifest.example,
        partial(stored.tensor, "example"),
        manifest.environment,
    )
