"""A checkpoint as content again: written once more, it holds all of its tensors itself."""

from __future__ import annotations

from tracker.format.read import StoredCheckpoint
from tracker.format.write import Content


def content_of(stored: StoredCheckpoint) -> Content:
    """Return what a checkpoint holds, verified, wherever its tensors are.

    Raises:
        NotFoundError: The file of an earlier checkpoint that holds some of them is gone.
        CorruptCheckpointError: Something differs from what was written.

    Example:
        >>> write_checkpoint(Path("whole"), content_of(open_checkpoint(Path("epoch-7"), locate=…)))
    """
    manifest = stored.manifest
    source = [(entry, stored.read_file(entry.file)) for entry in manifest.source]
    others = (
        manifest.files.keys() - manifest.tensor_files - {entry.file for entry in manifest.source}
    )
    return Content(
        name=manifest.name,
        run_id=manifest.run_id,
        created_at=manifest.created_at,
        architecture=manifest.architecture,
        epoch=manifest.epoch,
        step=manifest.step,
        metrics=manifest.metrics,
        tags=manifest.tags,
        tensors={group: stored.tensors(group) for group in manifest.tensors},
        state_values=manifest.state_values,
        training=manifest.training,
        environment=manifest.environment,
        example=manifest.example,
        source=source,
        extra_files={name: stored.read_file(name) for name in sorted(others)},
    )
