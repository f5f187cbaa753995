"""Reads what a remote store holds of a checkpoint: past the cache, and one file at a time.

So that a file takes room on the disk only as long as it is read.
"""

from __future__ import annotations

from tracker.format import MANIFEST, Manifest, open_checkpoint
from tracker.loading.remote import verify_alone, wanted
from tracker.record import cache
from tracker.record.download import Wanted, download
from tracker.types import CheckpointRecord


def reread(record: CheckpointRecord) -> Manifest:
    """Fetch every file that a checkpoint consists of and compare its digests; keep none.

    Returns:
        The manifest, whose files are all as they were written.

    Raises:
        NotFoundError: A file is gone.
        CorruptCheckpointError: A file is not what was written.
        RecordError: The artifact store can't be reached.
        StorageError: There is no room for a file beside the cache.
    """
    with cache.arriving() as directory:
        download(Wanted(record.id, MANIFEST, lambda: [record.artifact_uri]), directory)
        stored = open_checkpoint(directory, manifest_digest=record.manifest_digest)
    for name in stored.files_for():
        with cache.arriving() as directory:
            download(wanted(record, stored.manifest, name), directory)
            verify_alone(stored.manifest, name, directory)
    return stored.manifest
