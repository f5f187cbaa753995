"""Gets the files of a checkpoint from a remote store into the cache, and opens them there."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from pathlib import Path

from tracker.errors import FormatError, NewerFormatError, TrackerError
from tracker.format import MANIFEST, Manifest, StoredCheckpoint, open_checkpoint
from tracker.loading import progress
from tracker.loading.fetch import Check
from tracker.record import cache
from tracker.record.download import Downloads, Wanted, bring
from tracker.record.locate import locator, places
from tracker.types import CheckpointRecord


def fetch_remote(
    record: CheckpointRecord, groups: Collection[str] | None, check: Check | None
) -> StoredCheckpoint:
    """Return a checkpoint in the cache, opened and held there; see `fetch.fetch`.

    Raises:
        NotFoundError: The files are gone.
        CorruptCheckpointError: The manifest, or the size of a file, is not what was written.
        RecordError: The artifact store can't be reached.
        StorageError: The cache can't be used.
    """
    stored = _brought(record, groups)
    if check is None:
        return stored
    try:
        check(stored)
    except FormatError:
        for name in stored.files_for(groups):
            try:
                stored.verify_file(name)
            except FormatError:
                cache.remove(wanted(record, stored.manifest, name).path)
        return _brought(record, groups)
    return stored


def is_cached(record: CheckpointRecord, groups: Collection[str]) -> bool:
    """Return whether everything is in the cache that is needed for groups of tensors."""
    held = cache.Held()
    try:
        stored = _opened(record, held)
    except TrackerError:
        return False
    every = (wanted(record, stored.manifest, name) for name in stored.files_for(groups))
    return all(held.add(each.path, each.size) for each in every)


def _brought(record: CheckpointRecord, groups: Collection[str] | None) -> StoredCheckpoint:
    """Return a checkpoint in the cache that has all that is needed, held while it is used."""
    held = cache.Held()
    stored = _with_manifest(record, held)
    every = [wanted(record, stored.manifest, name) for name in stored.files_for(groups)]
    missing = [each for each in every if not held.add(each.path, each.size)]
    if missing:
        cache.make_room(sum(each.size or 0 for each in missing))
        # The largest first: they take longest.
        downloads = Downloads(sorted(missing, key=lambda each: -(each.size or 0)), held)
        progress.wait(downloads, record.name)
        downloads.finish()
    return stored


def _with_manifest(record: CheckpointRecord, held: cache.Held) -> StoredCheckpoint:
    """Return a checkpoint whose manifest is in the cache, fetched if it is not, or damaged."""
    path = cache.place(record.id, MANIFEST)
    if held.add(path):
        try:
            return _opened(record, held)
        except NewerFormatError:
            raise
        except FormatError:
            cache.remove(path)
    # It is checked where it arrives, so another never enters the cache.
    accept = partial(open_checkpoint, manifest_digest=record.manifest_digest)
    bring(Wanted(record.id, MANIFEST, lambda: [record.artifact_uri], accept=accept), held)
    return _opened(record, held)


def _opened(record: CheckpointRecord, held: cache.Held) -> StoredCheckpoint:
    return open_checkpoint(
        cache.directory(record.id),
        manifest_digest=record.manifest_digest,
        locate=locator(record.artifact_uri, held),
    )


def wanted(record: CheckpointRecord, manifest: Manifest, name: str) -> Wanted:
    """Return where a file that a manifest names is in the store, and in the cache."""
    whole = partial(verify_alone, manifest, name)
    own = manifest.files.get(name)
    if own is not None:
        return Wanted(
            record.id, name, lambda: [record.artifact_uri], own.size, accept_resumed=whole
        )
    other = manifest.elsewhere[name]
    found = partial(places, record.artifact_uri, other.checkpoint)
    return Wanted(other.checkpoint, other.file, found, other.entry.size, accept_resumed=whole)


def verify_alone(manifest: Manifest, name: str, directory: Path) -> None:
    """Compare the digests of one file, in whatever checkpoint it is, that lies in a directory.

    Args:
        manifest: The manifest that says what it should be.
        name: What the manifest calls it.
        directory: Where it lies, under its own name.

    Raises:
        CorruptCheckpointError: It is not what was written.
        FormatError: It and the manifest disagree.
    """
    # Mapped anew for each file: a mapping keeps the room of a file that was removed.
    StoredCheckpoint(directory, manifest, partial(_here, directory)).verify_file(name)


def _here(directory: Path, checkpoint: str, file: str) -> Path:
    return directory
