"""What a checkpoint is to hold, from what was accepted."""

from __future__ import annotations

from collections.abc import Mapping

from tracker.architecture import source
from tracker.format import Content, SourceEntry
from tracker.saving.environment import environment
from tracker.saving.request import Request
from tracker.saving.snapshot import Snapshot


def content(
    snapshot: Snapshot,
    request: Request,
    *,
    run_id: str,
    created_at: int,
    extra_files: Mapping[str, bytes] | None = None,
) -> Content:
    """Return the content of a checkpoint.

    Args:
        snapshot: The model and its training state.
        request: Epoch, step, metrics and tags.
        run_id: The run, or "" if that is yet to be made.
        created_at: Milliseconds since 1970-01-01 UTC.
        extra_files: More files by name, such as ``MLmodel``.
    """
    description = snapshot.description
    files = source.archive(sorted(description.modules))
    return Content(
        name=request.name,
        run_id=run_id,
        created_at=created_at,
        epoch=request.epoch,
        step=request.step,
        metrics=request.metrics,
        tags=request.tags,
        architecture=description.architecture,
        state_values=dict(description.state_values),
        training=snapshot.training,
        environment=environment(description.modules),
        example=None if snapshot.example is None else snapshot.example.document,
        tensors={
            **snapshot.groups,
            "example": {} if snapshot.example is None else snapshot.example.tensors,
        },
        source=[
            (SourceEntry(f.module, f.path, f.script, f.package, f"source/{f.file}"), f.content)
            for f in files
        ],
        extra_files={**snapshot.files, **(extra_files or {})},
    )
