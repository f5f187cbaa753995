"""Gets the files of a checkpoint: local ones stay where they are, others come into the cache.

Only what is needed comes: a model is loaded without the optimizer's state.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

from tracker.errors import FormatError, NewerFormatError, NotFoundError, TrackerError
from tracker.format import MANIFEST, StoredCheckpoint, open_checkpoint
from tracker.loading import progress
from tracker.record import artifacts, cache
from tracker.record.download import Downloads, Wanted, bring
from tracker.record.locate import locator, places
from tracker.types import CheckpointRecord

FOR_WEIGHTS = ("model", "architecture")
"""The groups of tensors that a state_dict consists of."""

FOR_MODEL = (*FOR_WEIGHTS, "example")
"""The groups of tensors that a model is rebuilt from, and tried with."""

Check = Callable[[StoredCheckpoint], object]


def fetch(
    record: CheckpointRecord, groups: Collection[str] | None = None, *, check: Check | None = None
) -> StoredCheckpoint:
    """Return the checkpoint's files, opened, its manifest checked against the record's digest.

    Args:
        record: The checkpoint.
        groups: The groups of tensors that are needed, and every file that holds no tensors; all by
            default, and the manifest alone if there is none.
        check: Reads what will be used of files in the cache, and raises if it is damaged. Then
            what is damaged is fetched again, once, and not checked again: who loads it does.

    Raises:
        NotFoundError: The files are gone.
        CorruptCheckpointError: The manifest is not the one that was written.
        RecordError: The artifact store can't be reached.
        StorageError: The cache can't be used.
    """
    directory = artifacts.local_directory(record.artifact_uri)
    if directory is None:
        return _cached(record, groups, check)
    if not directory.is_dir():
        raise NotFoundError(
            f"The files of checkpoint {record.id} are not in {directory}: they were deleted or "
            "moved, or lie on another machine."
        )
    return open_checkpoint(
        directory,
        manifest_digest=record.manifest_digest,
        locate=locator(record.artifact_uri),
    )


def verified(groups: Collection[str] | None) -> Check:
    """Return what reads every file that is needed for groups of tensors."""

    def check(stored: StoredCheckpoint) -> None:
        for name in stored.files_for(groups):
            stored.verify_file(name)

    return check


def is_local(record: CheckpointRecord) -> bool:
    """Return whether the files lie in a store on this machine."""
    return artifacts.local_directory(record.artifact_uri) is not None


def is_at_hand(record: CheckpointRecord) -> bool:
    """Return whether the model's files lie on this machine, in a local store or fetched before."""
    if is_local(record):
        return True
    held = cache.Held()
    try:
        stored = _opened(record, held)
    except TrackerError:
        return False
    wanted = (_wanted(record, stored, name) for name in stored.files_for(FOR_MODEL))
    return all(held.add(each.path, each.size) for each in wanted)


def _cached(
    record: CheckpointRecord, groups: Collection[str] | None, check: Check | None
) -> StoredCheckpoint:
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
                cache.remove(_wanted(record, stored, name).path)
        return _brought(record, groups)
    return stored


def _brought(record: CheckpointRecord, groups: Collection[str] | None) -> StoredCheckpoint:
    """Return a checkpoint in the cache that has all that is needed, held while it is used."""
    held = cache.Held()
    stored = _with_manifest(record, held)
    wanted = [_wanted(record, stored, name) for name in stored.files_for(groups)]
    missing = [each for each in wanted if not held.add(each.path, each.size)]
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


def _wanted(record: CheckpointRecord, stored: StoredCheckpoint, name: str) -> Wanted:
    """Return what a file that a manifest names is in the cache."""
    own = stored.manifest.files.get(name)
    if own is not None:
        return Wanted(record.id, name, lambda: [record.artifact_uri], own.size)
    other = stored.manifest.elsewhere[name]
    found = partial(places, record.artifact_uri, other.checkpoint)
    return Wanted(other.checkpoint, other.file, found, other.entry.size)
