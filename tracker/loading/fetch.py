"""Gets the files of a checkpoint: local ones stay where they are, others come into the cache.

Only what is needed comes: a model is loaded without the optimizer's state.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator

from tracker.errors import NotFoundError
from tracker.format import StoredCheckpoint, open_checkpoint
from tracker.format.files import was_removed
from tracker.record import artifacts
from tracker.record.locate import locator
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
    with told_if_gone(record):
        return _fetched(record, groups, check)


@contextlib.contextmanager
def told_if_gone(record: CheckpointRecord) -> Iterator[None]:
    """Where files are not found, say whether the checkpoint was deleted in MLflow.

    Raises:
        NotFoundError: The files are gone.
    """
    try:
        yield
    except NotFoundError as error:
        from tracker.loading.gone import forgotten

        gone = forgotten(record)
        if gone is None:
            raise
        raise gone from error


def _fetched(
    record: CheckpointRecord, groups: Collection[str] | None, check: Check | None
) -> StoredCheckpoint:
    directory = artifacts.local_directory(record.artifact_uri)
    if directory is None:
        # Here, because most stores are local, and imports cost more than opening files does.
        from tracker.loading.remote import fetch_remote

        return fetch_remote(record, groups, check)
    if not directory.is_dir():
        raise NotFoundError(
            f"The files of checkpoint {record.id} are not in {directory}: they were deleted or "
            "moved, or lie on another machine."
        )
    if was_removed(directory):
        raise NotFoundError(f"Checkpoint {record.id} in {directory} was deleted.")
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
    from tracker.loading.remote import is_cached

    return is_cached(record, FOR_MODEL)
