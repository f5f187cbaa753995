"""Writes the files of a checkpoint, without the tensors that its run has stored already."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tracker.errors import StorageError
from tracker.format import Content, Written, withdraw_manifest, write_checkpoint
from tracker.record import logged_models, retention
from tracker.saving import stored

if TYPE_CHECKING:
    from tracker.catalog import Engine
    from tracker.record.boundary import Client


def write_files(
    client: Client,
    engine: Engine,
    directory: Path,
    content: Content,
    created: logged_models.Created,
) -> Written:
    """Write a checkpoint, and say in MLflow which earlier ones it needs.

    Args:
        client: MLflow.
        engine: The catalog.
        directory: Where to.
        content: What to write.
        created: The logged model, PENDING.

    Raises:
        RecordError: MLflow refused or could not be reached.
        StorageError: The files could not be written.
    """
    known = stored.known(content.run_id, created.artifact_uri, engine)
    written = write_checkpoint(directory, content, known=known)
    references = written.manifest.references
    if not references or retention.refer(client, created.id, references, _needed(written)):
        return written
    # One of them is being replaced at this moment, or somebody deleted it.
    stored.forget(content.run_id)
    withdraw_manifest(directory)
    written = write_checkpoint(directory, content)
    retention.refer(client, created.id, [])
    return written


def _needed(written: Written) -> dict[str, set[str]]:
    """Return by id the names of the files that a checkpoint needs of earlier ones."""
    needed: dict[str, set[str]] = {}
    for file in written.manifest.elsewhere.values():
        needed.setdefault(file.checkpoint, set()).add(file.file)
    return needed


def make_folder(directory: Path) -> None:
    """Create a folder with its parents, if it is not there.

    Raises:
        StorageError: The disk refused.
    """
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise StorageError(f"The folder {directory} can't be created: {error.strerror}.") from error
