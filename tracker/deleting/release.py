"""Frees the files of one that is no checkpoint any more, but holds files that others need.

Who begins to refer to it at this moment says so and then looks which files stay; who frees its
files says which stay and then looks who refers. So at least one of the two sees the other.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from tracker.errors import TrackerError
from tracker.format import MANIFEST, Manifest, open_checkpoint
from tracker.record import artifacts, inventory, mlflow_bar, neighbours, retention
from tracker.record.inventory import Holding
from tracker.record.removal import announce, remove_files

if TYPE_CHECKING:
    from tracker.record.boundary import Client


def release(client: Client, holder: Holding) -> bool:
    """Remove what nobody needs of the files of one that is kept for others.

    Args:
        client: MLflow.
        holder: The one that is kept.

    Returns:
        Whether that could be told. If not, because a checkpoint is being written at this moment,
        or a manifest can't be read, all stay; `tracker collect` tries again.

    Raises:
        RecordError: MLflow refused or could not be reached, or the store deletes nothing.
        StorageError: The disk refused.
    """
    needed = files_needed(client, holder.id, inventory.referrers(client, holder, ""))
    if not needed:
        return False
    retention.keep_files(client, holder.id, needed)
    again = files_needed(client, holder.id, inventory.referrers(client, holder, ""))
    if again is None or not again <= needed:
        retention.keep_files(client, holder.id, None)
        return False
    announce("released", holder.id)
    remove_files(client, holder.id, holder.artifact_uri, keep=needed)
    return True


def files_needed(
    client: Client, model_id: str, referrers: Iterable[Holding]
) -> frozenset[str] | None:
    """Return the names of a logged model's files that others need; None: that can't be told."""
    needed: set[str] = set()
    for each in referrers:
        manifest = _manifest(client, each)
        if manifest is None:
            return None
        elsewhere = manifest.elsewhere.values()
        needed.update(file.file for file in elsewhere if file.checkpoint == model_id)
    return frozenset(needed)


def _manifest(client: Client, holding: Holding) -> Manifest | None:
    if holding.record is None:
        return None
    digest = holding.record.manifest_digest
    try:
        directory = artifacts.local_directory(holding.artifact_uri)
        if directory is not None:
            return open_checkpoint(directory, manifest_digest=digest).manifest
        with tempfile.TemporaryDirectory() as temporary, mlflow_bar.hidden():
            path = neighbours.download_file(
                holding.artifact_uri, MANIFEST, Path(temporary), client.tracking_uri
            )
            return open_checkpoint(path.parent, manifest_digest=digest).manifest
    except TrackerError:
        return None
